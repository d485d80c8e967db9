"""The scanner as a DICOM device: sends its images by C-STORE, and what devices do wrong.

A device keeps an image until it was taken: where the association is lost, or the other side has
no resources (A7xx), it tries again. What the other side cannot understand (Cxxx) it gives up.
"""

import copy
import random
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import stamina
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from producers.pace import Pace

SUCCESS = 0x0000
REJECTED_TRANSIENT = 2
PATIENCE_S = 120.0
"""How long a device tries to get one image rid."""

TIMEOUT_S = 60.0
"""For one answer."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the device does wrong, each with a probability for every image.

    duplicates : sends it twice.
    out_of_order : sends it after the next one.
    dropped : drops the association before it, and begins a new one.
    truncated : sends, before it, an image whose pixel data end early.
    """

    duplicates: float = 0.0
    out_of_order: float = 0.0
    dropped: float = 0.0
    truncated: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One image and the status of its C-STORE.

    status : as answered (PS3.4 B.2.3).
    comment : the other side's ErrorComment.
    """

    sop_instance_uid: str
    patient_id: str
    status: int
    comment: str = ""
    fault: str = ""


class NotTaken(Exception):
    """The other side took no image, and will not take it later either.

    Operator action: see that the listener runs at this address, that its AE title is the one
    called, and that it allows the title of this device (``listen --allow``).
    """


class NotYet(NotTaken):
    """The other side took no image for now: it is busy, away or has no room.

    Operator action: see that the listener and its broker run; the device tries again by itself.
    """


class Device:
    """One scanner, with one association at a time.

    Parameters
    ----------
    address : (host, port) of the listener.
    ae_title, called : AE titles of the device and of the listener.
    seed : of what goes wrong.
    tls : from `producers.tls.client_context`; None for none.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        ae_title: str,
        called: str,
        faults: Faults | None = None,
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._tls = tls
        self._called = called
        self._faults = faults or Faults()
        self._random = random.Random(seed)
        self._association: Association | None = None
        self._ae = AE(ae_title)
        self._ae.acse_timeout = 10
        self._ae.dimse_timeout = self._ae.network_timeout = TIMEOUT_S
        self._ae.add_requested_context(
            CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        )

    def send(
        self,
        images: Iterable[FileDataset],
        *,
        fps: float | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Sent]:
        """Send the images, and yield what was answered to each.

        Raises
        ------
        NotTaken   the association is rejected, or nobody took an image for `PATIENCE_S`.
        """
        pace = Pace(fps)
        for image, fault in self._disturbed(images):
            if stop():
                return
            pace.wait()
            if fault == "dropped":
                self._drop()
            try:
                yield self._delivered(image, fault, stop)
            except NotYet:
                if stop():
                    return
                raise

    def close(self) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _disturbed(self, images: Iterable[FileDataset]) -> Iterator[tuple[FileDataset, str]]:
        """Yield what is sent, and what is wrong with it."""
        late: FileDataset | None = None
        for image in images:
            if late is None and self._happens(self._faults.out_of_order):
                late = image
                continue
            if self._happens(self._faults.truncated):
                yield _truncated(image), "truncated"
            yield image, "dropped" if self._happens(self._faults.dropped) else ""
            if self._happens(self._faults.duplicates):
                yield image, "duplicate"
            if late is not None:
                yield late, "out-of-order"
                late = None
        if late is not None:
            yield late, "out-of-order"

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _delivered(self, image: FileDataset, fault: str, stop: Callable[[], bool]) -> Sent:
        """Send until there is an answer that stands."""
        for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, NotYet) and not stop(),
            attempts=None,
            timeout=PATIENCE_S,
            wait_initial=0.2,
            wait_max=5.0,
        ):
            with attempt:
                return self._sent(image, fault)
        raise AssertionError("a retry ends by a return or an exception")

    def _sent(self, image: FileDataset, fault: str) -> Sent:
        association = self._established()
        try:
            answer = association.send_c_store(image)
        except RuntimeError as error:  # the other side has aborted since we looked
            raise NotYet("the association was lost before the image was sent") from error
        status = answer.get("Status")
        if status is None:
            self._drop()
            raise NotYet("the association was lost before an answer came")
        comment = str(answer.get("ErrorComment", ""))
        if status & 0xFF00 == 0xA700:
            raise NotYet(f"refused for now, status {status:04X}: {comment}")
        return Sent(image.SOPInstanceUID, image.PatientID, int(status), comment, fault)

    def _established(self) -> Association:
        if self._association is None or not self._association.is_established:
            host, port = self._address
            tls_args = (self._tls, host) if self._tls else None
            self._association = self._ae.associate(
                host, port, ae_title=self._called, tls_args=tls_args
            )
            if self._association.is_rejected and not _for_now(self._association):
                raise NotTaken(f"{self._called} at {host}:{port} rejected the association")
            if not self._association.is_established:
                raise NotYet(f"{self._called} at {host}:{port}: no answer")
            if not self._association.accepted_contexts:
                raise NotTaken(f"{self._called} at {host}:{port} takes no CT images")
        return self._association

    def _drop(self) -> None:
        if self._association is not None and self._association.is_established:
            self._association.abort()
        self._association = None


def _for_now(association: Association) -> bool:
    """Tell whether a rejection is transient (PS3.8 9.3.4): the other side is full."""
    answer = association.acceptor.primitive
    return answer is not None and answer.result == REJECTED_TRANSIENT


def _truncated(image: FileDataset) -> FileDataset:
    """Return an image of its own whose pixel data end at two thirds."""
    broken = copy.deepcopy(image)
    broken.SOPInstanceUID = f"{image.SOPInstanceUID[:60]}.1"
    broken.file_meta.MediaStorageSOPInstanceUID = broken.SOPInstanceUID
    broken.PixelData = image.PixelData[: len(image.PixelData) * 2 // 3 & ~1]
    return broken
