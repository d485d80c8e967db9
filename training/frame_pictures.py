"""Whole frames as pictures: what the readers outlined, what the engine found, its heat map."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import Candidate, Score
from engines.preprocess import HU_WINDOW
from training.lidc import Frame

Picture = NDArray[np.uint8]

SIDE = 320
READER, FOUND = (80, 220, 80), (255, 160, 60)  # BGR
_HEAT_ALPHA = 0.5
_LEAST_SHOWN = 0.1


def draw(frame: Frame, threshold: float) -> Picture:
    """Draw one frame: (320, 320, 3) uint8 BGR; candidates from `threshold` on have boxes."""
    small = cv2.resize(grey_of(frame.ct.hu), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    picture = _with_heat(grey, frame.score)
    height, width = frame.ct.hu.shape
    scale = np.array([SIDE / width, SIDE / height])
    outlines = [np.rint(contour * scale).astype(np.int32) for contour in frame.contours]
    cv2.polylines(picture, outlines, True, READER, 1, cv2.LINE_AA)
    for lesion in frame.score.lesions:
        if lesion.probability >= threshold:
            _box(picture, lesion, scale)
    return picture


def grey_of(hu: NDArray[np.float32]) -> Picture:
    """Map HU -1000..400 to 0..255: (H, W) uint8."""
    low, high = HU_WINDOW
    return np.asarray(np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255), dtype=np.uint8)


def _with_heat(picture: Picture, score: Score) -> Picture:
    """Lay the heat map over the picture, the more opaque the hotter; none below `screen`."""
    if score.heat_map is None:
        return picture
    heat = cv2.resize(score.heat_map, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    colours = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)
    share = heat.astype(np.float32)[..., None] / 255
    share = np.where(share < _LEAST_SHOWN, 0.0, share) * _HEAT_ALPHA
    return np.asarray(picture * (1 - share) + colours * share, dtype=np.uint8)


def _box(picture: Picture, lesion: Candidate, scale: NDArray[np.float64]) -> None:
    x, y, width, height = lesion.box
    corners = np.array([[x, y], [x + width, y + height]]) * scale
    (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
    cv2.rectangle(picture, (left - 2, top - 2), (right + 2, bottom + 2), FOUND, 1)
    said = f"{lesion.probability:.2f}"
    cv2.putText(picture, said, (right + 4, top + 8), cv2.FONT_HERSHEY_SIMPLEX, 0.35, FOUND, 1)
