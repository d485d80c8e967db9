"""What can be wrong with a frame, in one place.

Every reason a frame is not scored has a code. Codes are part of the wire format: people and
programs filter on them (``Reason`` in the finding's schema).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wire.frame import Attributes


class Reason(StrEnum):
    """Why a frame was not scored."""

    NOT_AN_IMAGE = "not-an-image"
    MODALITY_NOT_SUPPORTED = "modality-not-supported"
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too-large"
    NO_LUNGS = "no-lungs"
    QUALITY = "quality"
    NOT_DEIDENTIFIED = "not-deidentified"
    ENGINE_FAILED = "engine-failed"


class FrameError(Exception):
    """A file or message holds no frame that can be used; `reason` says why, `detail` in words.

    The words never repeat a value of the data set: they go to logs and topics. `about` says which
    frame, as far as it could be read and is de-identified.

    Operator action: none for a single frame. Many from one device: look at its transfer syntaxes
    and at ``lesionstream dead-letters list``.
    """

    def __init__(self, reason: Reason, detail: str, about: Attributes | None = None) -> None:
        super().__init__(reason, detail, about)
        self.reason = reason
        self.detail = detail
        self.about = about

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def remedy_of(error: Exception) -> str:
    """Return what its docstring tells the operator to do."""
    return " ".join((type(error).__doc__ or "").rpartition("Operator action:")[2].split())
