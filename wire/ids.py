"""Identities: a replay makes the same ids.

Every id is a uuid5 of what the thing *is*: never an offset, a clock or the order of arrival. Two
processes that see the same pixels, the same engine and the same rule give the same id.
"""

import hashlib
from collections.abc import Iterable
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
from numpy.typing import NDArray


def pixel_sha256(
    pixels: NDArray[np.generic],
    *,
    rescale_slope: str,
    rescale_intercept: str,
    pixel_spacing: str,
    image_position_patient: str,
    image_orientation_patient: str,
) -> str:
    r"""Return the sha256 (hex) over stored pixel values and what turns them into a measurement.

    Parameters
    ----------
    pixels : (rows, columns) or (rows, columns, samples), stored values of any numeric dtype.
    rescale_slope, rescale_intercept, pixel_spacing, image_position_patient,
    image_orientation_patient : DICOM DS text as in the data set, values joined by ``\``, stripped
        of padding; "" where absent.

    Notes
    -----
    The hash covers, in this order: the values as little-endian bytes in C order; then one ASCII
    line ``\n{shape}|{dtype}|{slope}|{intercept}|{spacing}|{position}|{orientation}``, the shape
    as ``512x512`` and the dtype as numpy writes it in little-endian form (``<i2``, ``|u1``).
    """
    dtype = pixels.dtype.newbyteorder("<")
    values = np.ascontiguousarray(pixels.astype(dtype, copy=False))
    shape = "x".join(str(n) for n in pixels.shape)
    digest = hashlib.sha256(values.tobytes() if values.size == 0 else values.data)
    tail = (
        f"\n{shape}|{dtype.str}|{rescale_slope}|{rescale_intercept}|{pixel_spacing}"
        f"|{image_position_patient}|{image_orientation_patient}"
    )
    digest.update(tail.encode("ascii", "backslashreplace"))
    return digest.hexdigest()


def frame_id(sop_instance_uid: str | None, frame_number: int, sha256: str) -> UUID:
    """Return the id of a decoded frame: the same UID with other pixels is another frame."""
    return uuid5(NAMESPACE_OID, f"{sop_instance_uid or ''}|{frame_number}|{sha256}")


def payload_id(payload: bytes | None) -> UUID:
    """Return the frame id of a message or file that cannot be decoded (None: a tombstone)."""
    return payload_id_of(hashlib.sha256(payload or b"").hexdigest())


def payload_id_of(sha256: str, frame_number: int | None = None) -> UUID:
    """Return the same for a payload known by its sha256 (hex).

    Parameters
    ----------
    frame_number : of a broken frame among others, from 1; the first is known by the payload alone.
    """
    number = frame_number if frame_number is not None and frame_number > 1 else ""
    return uuid5(NAMESPACE_OID, f"|{number}|{sha256}")


def finding_id(frame: UUID, engine_name: str, engine_version: str, engine_sha256: str) -> UUID:
    """Return the id of what this engine says of this frame, on any backend and precision."""
    return uuid5(frame, f"{engine_name}|{engine_version}|{engine_sha256}")


def recommendation_id(
    patient_id: str, policy: str, version: str, rule: str, phase: str, about: Iterable[str]
) -> UUID:
    """Return the id of a recommendation or clinical alert.

    Parameters
    ----------
    about : the series UID, or the ids of the evidence; sorted here.
    """
    return uuid5(
        NAMESPACE_OID, "|".join([patient_id, policy, version, rule, phase, *sorted(about)])
    )
