"""What a user writes around the engine: pydicom to read a frame, the engine to score it.

The contenders that are not Lesionstream use it. It trusts every byte: no process of its own for
decoding, no identity of the frame, no check of what the engine says, no dead letters.
"""

from __future__ import annotations

import json
from io import BytesIO

import cv2
import numpy as np
import pydicom

from engines import CtSlice, load_engine


class Scores:
    """The shipped engine behind a function from a message's value to its answer."""

    def __init__(self, threads: int) -> None:
        cv2.setNumThreads(1)  # as Lesionstream does: its threads cost more than they win
        self._engine = load_engine("lesion", threads=threads)

    def of(self, payload: bytes, received: str = "") -> bytes:
        """Return the answer as JSON.

        Parameters
        ----------
        received : when the producer had the frame, passed on; RFC 3339.
        """
        ds = pydicom.dcmread(BytesIO(payload))
        rows, columns = map(float, ds.PixelSpacing)
        score = self._engine.score(CtSlice(hu(ds), (rows, columns)))
        answer = {
            "patient_id": ds.PatientID,
            "sop_instance_uid": ds.SOPInstanceUID,
            "received_time": received,
            "lesion_probability": score.lesion_probability,
            "lesions": [
                {"probability": c.probability, "x_px": c.x_px, "y_px": c.y_px}
                for c in score.lesions
            ],
        }
        return json.dumps(answer).encode()


def hu(ds: pydicom.Dataset) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the pixels of a CT image in Hounsfield units."""
    values = ds.pixel_array.astype(np.float32)
    values *= np.float32(ds.RescaleSlope)
    values += np.float32(ds.RescaleIntercept)
    return values
