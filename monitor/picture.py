"""One frame as a PNG: what the drawing processes run. Pure: bytes in, bytes out."""

from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wire import part10
from wire.errors import FrameError, Reason
from wire.frame import Frame, decode_frame

Layer = Literal["image", "heat"]
Window = Literal["lung", "soft", "auto"]

WINDOWS_HU = {"lung": (-600.0, 1500.0), "soft": (40.0, 400.0)}
"""Centre and width."""

MOST_HEAT = 64
"""Cells of a heat map in each direction (`Finding.heat_map`)."""

OPAQUE = 220
"""Of 255, where the heat map says 1: the frame still shows through."""

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def draw(
    payload: bytes,
    frame_number: int | None,
    frame_id: str,
    layer: Layer,
    window: Window,
    heat_map: bytes | None,
) -> Iterator[bytes | None]:
    """Yield one PNG, or None where the message holds another frame than `frame_id`.

    A task for `wire.decode_pool`.

    Raises
    ------
    FrameError   the message, or the heat map, cannot be decoded.
    """
    frame = decode_frame(payload, frame_number)
    if str(frame.frame_id) != frame_id:
        yield None
        return
    with part10.guard("drawing"):
        if layer == "heat":
            shown = heat(heat_map, frame.pixels.shape[0], frame.pixels.shape[1])
        else:
            shown = image(frame, window, part10.parse(payload))
        fine, png = cv2.imencode(".png", shown, _FAST)
        if not fine:
            raise FrameError(Reason.UNDECODABLE, "no PNG can be made of it")
        yield png.tobytes()


def image(frame: Frame, window: Window, dataset: Dataset) -> NDArray[np.uint8]:
    """Return a frame as grey (rows, columns), or (rows, columns, BGR) uint8.

    `lung` and `soft` are for frames in Hounsfield units; any other is shown as by `auto`.
    """
    if frame.pixels.ndim == 3:
        colours = _stretched(frame.pixels[..., :3].astype(np.float32))
        return np.ascontiguousarray(colours[..., ::-1])
    dark_is_high = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    found = WINDOWS_HU.get(window)
    if found is not None and frame.about.modality == "CT":
        try:
            return windowed(frame.hu(), *found)
        except FrameError:
            pass  # values with no known relation to HU
    slope, intercept = frame.about.rescale or (1.0, 0.0)
    values = frame.pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    voi = _voi(dataset)
    shown = _stretched(values) if voi is None else windowed(values, *voi)
    return 255 - shown if dark_is_high else shown


def windowed(values: NDArray[np.float32], centre: float, width: float) -> NDArray[np.uint8]:
    """Return values as grey by a linear window (PS3.3 C.11.2.1.2.1)."""
    share = (values - (centre - 0.5)) / max(1.0, width - 1) + 0.5
    return np.asarray(np.clip(np.nan_to_num(share) * 255, 0, 255).round(), np.uint8)


def heat(heat_map: bytes | None, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a heat map over a whole frame: (rows, columns, BGRA), clear where it says 0."""
    clear = np.zeros((rows, columns, 4), np.uint8)
    if heat_map is None:
        return clear
    cells = cv2.imdecode(np.frombuffer(heat_map, np.uint8), cv2.IMREAD_GRAYSCALE)
    if cells is None or max(cells.shape) > MOST_HEAT:
        raise FrameError(Reason.UNDECODABLE, "not a heat map")
    wide = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_LINEAR)
    clear[..., :3] = cv2.applyColorMap(wide, cv2.COLORMAP_PLASMA)
    clear[..., 3] = wide.astype(np.float32) * (OPAQUE / 255)
    return clear


def _stretched(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values as grey from the least to the greatest."""
    finite = np.nan_to_num(values)
    least, greatest = float(finite.min()), float(finite.max())
    return np.asarray((finite - least) * (255 / max(greatest - least, 1e-6)), np.uint8)


def _voi(dataset: Dataset) -> tuple[float, float] | None:
    """Return the window the device wrote (centre, width); None where it is not usable."""

    def first(keyword: str) -> float | None:
        value: Any = dataset.get(keyword)
        try:
            return float(value[0] if hasattr(value, "__len__") and len(value) else value)
        except (TypeError, ValueError):
            return None

    centre, width = first("WindowCenter"), first("WindowWidth")
    usable = centre is not None and width is not None and width >= 1
    return (centre, width) if usable and centre is not None and width is not None else None
