"""Imaging devices that send files by C-STORE, each until it is told that it is stored."""

import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

CT = "1.2.840.10008.5.1.4.1.1.2"
AGAIN_S = 0.2
"""A device that was refused, or lost its association, waits this long before it sends again."""


class Device(threading.Thread):
    """Sends images one after another, over as many associations as it takes.

    Parameters
    ----------
    pace_s : from one image to the next; 0 sends each as soon as the one before is stored.
    patience_s : how long it waits for an answer.
    within_s : after which it gives up.
    """

    def __init__(
        self,
        title: str,
        port: int,
        images: Sequence[Dataset],
        *,
        pace_s: float = 0.0,
        patience_s: float = 30.0,
        within_s: float = 240.0,
    ) -> None:
        super().__init__(daemon=True)
        self.stored: list[str] = []
        self.failed = 0
        self._address = ("127.0.0.1", port)
        self._images = images
        self._pace_s = pace_s
        self._within_s = within_s
        self._ae = AE(title)
        self._ae.add_requested_context(CT)
        self._ae.acse_timeout = self._ae.dimse_timeout = patience_s
        self._ae.connection_timeout = patience_s

    @property
    def done(self) -> bool:
        """Return whether it was told of every image that it is stored."""
        return len(self.stored) == len(self._images)

    def run(self) -> None:
        """Send all."""
        began_s = time.monotonic()
        while not self.done and time.monotonic() < began_s + self._within_s:
            association = self._ae.associate(*self._address, ae_title="LESIONSTREAM")
            while association.is_established and not self.done:
                due_s = began_s + self._pace_s * len(self.stored)
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not self._sent_next(association):
                    break
            association.release() if self.done else association.abort()
            self.failed += not self.done
            time.sleep(AGAIN_S)

    def _sent_next(self, association: Association) -> bool:
        """Send one image; return whether it is stored."""
        one = self._images[len(self.stored)]
        status = None
        with contextlib.suppress(RuntimeError):  # it ended between the check and the send
            status = association.send_c_store(one).get("Status")
        if status != 0x0000:
            return False
        self.stored.append(one.SOPInstanceUID)
        return True


class Ward:
    """One device for each patient of a folder of scans; they send side by side."""

    def __init__(self, port: int, scans: Path, *, seconds: float, patience_s: float) -> None:
        patients: dict[str, list[Dataset]] = {}
        for path in sorted(scans.iterdir()):
            image = pydicom.dcmread(path)
            patients.setdefault(str(image.PatientID), []).append(image)
        self.devices = [
            Device(
                titles([name])[0],
                port,
                images,
                pace_s=seconds / len(images),
                patience_s=patience_s,
                within_s=seconds + 200.0,
            )
            for name, images in patients.items()
        ]
        for device in self.devices:
            device.start()

    @property
    def done(self) -> bool:
        """Return whether every device has ended; fail where one gave up."""
        if any(device.is_alive() for device in self.devices):
            return False
        assert all(device.done for device in self.devices), "a device gave up"
        return True


def titles(patients: Iterable[str]) -> list[str]:
    """Return the AE titles of the devices of these patients."""
    return [f"DEVICE{name}" for name in patients]
