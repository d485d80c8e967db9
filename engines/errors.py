"""What can go wrong between a slice and its score.

::

    EngineError
    ├── NotScorable      this slice, not the engine: answer it with a `not-scored` finding
    ├── NotForecastable  this course or lesion, not the engine: answer without a forecast
    ├── EngineFailed     the runtime, not the slice: close the engine and load it again
    └── CatalogueError   the files of an engine: nothing was loaded
"""

from __future__ import annotations

from typing import Literal, get_args

NotScorableReason = Literal["no-lungs", "quality"]


class EngineError(Exception):
    """Base of all errors of this package; raised itself when a device cannot be had.

    Operator action: read the message, it names what is missing and what to use instead.
    """


class NotScorable(EngineError):
    """The slice cannot be scored by this engine, however often it is tried.

    Operator action: none for a single slice; if a whole series ends so, check that it is a
    chest CT and that its pixel spacing and rescale values are right.

    Parameters
    ----------
    reason : "no-lungs" (nothing in the slice looks like a lung) or "quality" (pixels or spacing
        that no scanner produces), as in the `reason` of a finding.
    detail : what was found, in words for the person who reads the dead letter.
    """

    def __init__(self, reason: NotScorableReason, detail: str) -> None:
        if reason not in get_args(NotScorableReason):
            raise ValueError(f"reason {reason!r} is not one of {get_args(NotScorableReason)}")
        super().__init__(f"{reason}: {detail}")
        self.reason: NotScorableReason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[NotScorable], tuple[NotScorableReason, str]]:
        """Pickle by both arguments, so that a worker process can hand the error back."""
        return type(self), (self.reason, self.detail)


class NotForecastable(EngineError):
    """A course of readings, or a lesion, is like nothing the engine was trained on, or is none.

    Operator action: none; the message is the reason that stands where the forecast would.
    """


class EngineFailed(EngineError):
    """The runtime raised, or answered with a wrong shape or a number that is not finite.

    Operator action: restart the worker; if it comes back for the same engine, run
    `lesionstream engines info NAME` and go back to the version that worked.
    """


class CatalogueError(EngineError):
    """An engine's folder is missing, incomplete, altered, or its engine.json is not valid.

    Operator action: restore the named file from the release it came from (`git checkout` or a
    new install); never edit `sha256` by hand to silence this.
    """
