"""Find the lungs in one axial CT slice, in two dimensions, by thresholds and shape.

The steps follow Armato & Sensakovic, "Automated lung segmentation for thoracic CT" (Acad Radiol
2004, doi:10.1016/j.acra.2004.06.005): air, less the air around the patient, less what is not lung,
closed and filled. Everything happens on a 1 mm grid, so lengths below are millimetres and pixels
alike. Thresholds were set by eye and count on 992 LUNA16 slices, 39 slices of LIDC-IDRI and 40
public CT files of other regions.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]  # (H, W), 0 or 1

_FLOOR_HU = -1000.0
_AIR_HU = -420.0  # about halfway between aerated lung (-850) and soft tissue (40)
_TISSUE_HU = -300.0
_ROOM_AIR_HU = -955.0  # lung, emphysema included, has a higher local mean; room air a lower one
_ROOM_RIM_MM = 5  # partial volume between room air and skin
_FLOOR_RIM_MM = 3  # the same where the room is exactly floor
_LUNG_MEDIAN_HU = (-965.0, -450.0)  # bowel gas and airways lie below: they are pure air
_LEAST_PART_MM2 = 60
_LEAST_LUNG_MM2 = 250
_LEAST_TOTAL_MM2 = 1250  # below: sinuses, bowel loops, the first and last slice of a lung
_BODY_OPENING_MM = 3  # takes away table shells, blankets and wires, leaves a thin chest wall
_BODY_PART_SHARE = 0.2  # of the largest part of the body: arms and cut lungs stay, wires go
_LEAST_ENCLOSED = 0.9  # of a lung part; the rest may be a notch of the body's outline
_CUT_FLOOR_SHARE = 0.98  # of the outside that is exactly floor: the image was cut by someone
_CLOSE_MM = 12  # nodules on the pleura leave notches this wide; see tests on LIDC-IDRI
_KEEP_WALL_MM = 4
_SPLIT_SEARCH_MM = 45


@dataclass(frozen=True, slots=True)
class Lungs:
    """Masks of the lungs of one slice on its 1 mm grid.

    Attributes
    ----------
    masks : one (H, W) mask of 0 and 1 a lung, that at the image's left first; 1 or 2, never empty.
        Nodules, vessels and a rim of 4 mm of wall are inside.
    area_mm2 : air of all lungs, before closing.
    median_hu : of that air.
    """

    masks: tuple[Mask, ...]
    area_mm2: float
    median_hu: float


def find_lungs(hu: NDArray[np.float32]) -> Lungs | None:
    """Find the lungs, or None where nothing looks like one.

    Parameters
    ----------
    hu : (H, W) float32, finite, 1 mm pixels; anything below -1000 HU is taken for -1000.

    Returns
    -------
    Lungs or None
        The trachea and main bronchi may remain when they touch a lung.
    """
    hu = np.maximum(hu, np.float32(_FLOOR_HU))
    smooth = np.asarray(cv2.medianBlur(hu, 3), dtype=np.float32)
    air = (smooth < _AIR_HU).astype(np.uint8)
    outside, at_floor = _outside(hu, smooth, air)
    inside = air & (1 - outside)
    tissue = (smooth > _TISSUE_HU).astype(np.uint8)
    was_cut = at_floor and int(tissue.sum()) < int(inside.sum())
    body = np.ones_like(air) if was_cut else _body(tissue, hull=False)
    aerated = _lung_parts(smooth, inside, body)
    area = int(aerated.sum())
    if area < _LEAST_TOTAL_MM2 and not was_cut:  # a chest wall that is open or thin
        aerated = _lung_parts(smooth, inside, _body(tissue, hull=True))
        area = int(aerated.sum())
    if area < _LEAST_TOTAL_MM2:
        return None
    sides = _split(aerated, _midline(smooth))
    masks = tuple(_close(side) for side in sides if int(side.sum()) >= _LEAST_LUNG_MM2)
    if not masks:
        return None
    return Lungs(masks, float(area), float(np.median(smooth[aerated > 0])))


def _disk(radius: int) -> Mask:
    size = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)


def _dilate(mask: Mask, radius: int) -> Mask:
    return np.asarray(cv2.dilate(mask, _disk(radius)), dtype=np.uint8)


def _held(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns that hold all of `mask`: less to look through."""
    x, y, width, height = cv2.boundingRect(mask)
    return slice(y, y + height), slice(x, x + width)


def _components(mask: Mask) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Label 4-connected parts: (count with background, labels (H, W), statistics (count, 5))."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return count, np.asarray(labels, dtype=np.int32), np.asarray(stats, dtype=np.int32)


def _touching_border(mask: Mask) -> Mask:
    """Keep the parts of `mask` that reach the image's edge: what a flood from there comes to."""
    ringed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(ringed, None, (0, 0), 2, flags=4)
    return np.asarray(ringed[1:-1, 1:-1] == 2, dtype=np.uint8)


def _outside(hu: NDArray[np.float32], smooth: NDArray[np.float32], air: Mask) -> tuple[Mask, bool]:
    """Air around the patient, and whether nearly all of it is exactly floor.

    Only *empty* air is followed from the edge, so that a lung at the edge of a narrow field of
    view, or one cut out without its wall, is not lost with the room.
    """
    mean = np.asarray(cv2.blur(smooth, (5, 5), borderType=cv2.BORDER_REPLICATE))
    room = _touching_border(((mean < _ROOM_AIR_HU) & (air > 0)).astype(np.uint8))
    if not room.any():
        return room, False
    floor_share = float(np.mean(hu[room > 0] <= _FLOOR_HU))
    at_floor = floor_share > _CUT_FLOOR_SHARE
    rim = _dilate(room, _FLOOR_RIM_MM if at_floor else _ROOM_RIM_MM)
    return rim & air, at_floor


def _body(tissue: Mask, *, hull: bool) -> Mask:
    """Fill the patient's outline, lungs included: what lies between skin and table is not in it.

    With `hull` it is the convex hull of all large parts, for a chest wall that is not closed.
    """
    opened = np.asarray(cv2.morphologyEx(tissue, cv2.MORPH_OPEN, _disk(_BODY_OPENING_MM)))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(outline) for outline in outlines]
    least = _BODY_PART_SHARE * max(areas, default=0.0)
    large = [line for line, area in zip(outlines, areas, strict=True) if area >= least]
    filled: Mask = np.zeros_like(tissue)
    drawn = [np.asarray(cv2.convexHull(np.concatenate(large)))] if hull and large else large
    cv2.drawContours(filled, drawn, -1, color=1, thickness=cv2.FILLED)
    return filled


def _lung_parts(smooth: NDArray[np.float32], air: Mask, body: Mask) -> Mask:
    """Keep the parts of `air` that have a lung's density and lie in the body."""
    all_kept: Mask = np.zeros_like(air)
    if not air.any():
        return all_kept
    held = _held(air)
    smooth, air, body, kept = smooth[held], air[held], body[held], all_kept[held]
    count, labels, stats = _components(air)
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        if area < _LEAST_PART_MM2:
            continue
        box = (slice(y, y + h), slice(x, x + w))
        part = labels[box] == label
        median = float(np.median(smooth[box][part]))
        dense_as_lung = _LUNG_MEDIAN_HU[0] <= median <= _LUNG_MEDIAN_HU[1]
        if dense_as_lung and float(np.mean(body[box][part])) >= _LEAST_ENCLOSED:
            kept[box] |= part.astype(np.uint8)
    return all_kept


def _midline(smooth: NDArray[np.float32]) -> int:
    """Column halfway between the left and right edge of the patient."""
    tissue = (smooth > _TISSUE_HU).astype(np.uint8)
    body = np.asarray(cv2.morphologyEx(tissue, cv2.MORPH_OPEN, _disk(2)), dtype=np.uint8)
    count, _, stats = _components(body if body.any() else tissue)
    if count < 2:
        return int(smooth.shape[1]) // 2
    large = stats[1:][stats[1:, 4] >= 0.2 * stats[1:, 4].max()]
    left, right = (int(large[:, 0].min()), int((large[:, 0] + large[:, 2]).max()))
    return (left + right) // 2


def _split(aerated: Mask, midline: int) -> tuple[Mask, Mask]:
    """Divide the parts into those at the image's left and right.

    A part that lies for 70 % on one side goes there whole; one that spans both (lungs joined in
    front of the aorta) is cut at the column near the midline that has least of it.
    """
    left: Mask = np.zeros_like(aerated)
    right: Mask = np.zeros_like(aerated)
    count, labels, stats = _components(aerated)
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        first = max(0, x - 1)  # a free column at either side, where a part may be left whole
        box = (slice(y, y + h), slice(first, x + w + 1))
        part = (labels[box] == label).astype(np.uint8)
        middle = max(midline - first, 0)
        share = float(part[:, :middle].sum()) / area
        if 0.3 < share < 0.7:
            column = _thinnest(part, middle)
        else:
            column = part.shape[1] if share >= 0.7 else 0
        left[box][:, :column] |= part[:, :column]
        right[box][:, column:] |= part[:, column:]
    return left, right


def _thinnest(part: Mask, midline: int) -> int:
    """Find the column near the midline that has least of `part`; of equals the nearest."""
    low = max(0, midline - _SPLIT_SEARCH_MM)
    columns = np.arange(low, min(part.shape[1], midline + _SPLIT_SEARCH_MM + 1))
    height = part[:, columns].sum(axis=0, dtype=np.int64)
    return int(columns[np.lexsort((np.abs(columns - midline), height))[0]])


def _close(lung: Mask) -> Mask:
    """Bridge notches of the pleura, fill everything enclosed, keep a rim of wall."""
    pad = _CLOSE_MM + _KEEP_WALL_MM
    rows, columns = _held(lung)  # a closing reaches no further than its pad
    wide = cv2.copyMakeBorder(lung[rows, columns], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, _disk(_CLOSE_MM))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: Mask = np.zeros(closed.shape, dtype=np.uint8)
    cv2.drawContours(filled, outlines, -1, color=1, thickness=cv2.FILLED)
    walled = _dilate(filled, _KEEP_WALL_MM)
    whole = cv2.copyMakeBorder(lung, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    whole[rows.start : rows.stop + 2 * pad, columns.start : columns.stop + 2 * pad] = walled
    return np.ascontiguousarray(whole[pad:-pad, pad:-pad])
