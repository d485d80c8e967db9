"""Finding lesions again: the same id in every study.

Pure. A study is laid over the one before by the position of the lungs; a lesion is found again
where the nearest one lies within reach. What has no place in the study before is new.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import dist
from statistics import median
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from stream.lesions import SAME_PLACE_MM
from wire.assessment import Point
from wire.patient import Lung, Seen, Slice

REACH_MM = 15.0
"""Lungs lie within this of where they should after registration: breath, posture."""

FAINT_REACH_MM = 8.0
"""The same for what only few slices or low probabilities show: a shadow nearby is soon found."""

LEFT_OVER_MM = 25.0
"""Registration by the lungs is nearer than this; several lesions together say by how much."""

FIT_MM = 5.0
"""Lesions that moved together lie this near after the move."""

SEARCH_MM = 150.0
"""Tables are moved by less between two scans of one chest."""

STEP_MM = 2.5
LEAST_OVERLAP = 0.6
"""Of the shorter scan: fewer slices than that fit anywhere."""

PREFER_STILL_CM2_PER_MM = 0.02
"""Of equally good fits the smaller shift: the middle of a lung looks alike over centimetres."""


def lungs_of(slices: Iterable[Slice]) -> tuple[Lung, ...]:
    """Return where the lungs lie, from the feet to the head, one a place."""
    lungs: list[Lung] = []
    for lung in sorted({seen.lung for seen in slices if seen.lung is not None}, key=_by_place):
        if not lungs or lung.z_mm - lungs[-1].z_mm > SAME_PLACE_MM:
            lungs.append(lung)
    return tuple(lungs)


def shift(before: Sequence[Lung], now: Sequence[Lung]) -> Point:
    """Return what has to be added to a place in the study before to find it in the one of now, mm.

    Along the body by the profile of the lungs' area, across it by their middle. (0, 0, 0) where
    either study does not say where its lungs are.
    """
    if not before or not now or before == now:
        return Point(0.0, 0.0, 0.0)
    z = _along(before, now)
    pairs = [(a, min(now, key=lambda b: abs(b.z_mm - a.z_mm - z))) for a in before]
    near = [(a, b) for a, b in pairs if abs(b.z_mm - a.z_mm - z) <= 2 * STEP_MM] or pairs
    x = median(b.x_mm - a.x_mm for a, b in near)
    y = median(b.y_mm - a.y_mm for a, b in near)
    return Point(round(x, 2), round(y, 2), round(z, 2))


def match(expected: Mapping[UUID, Point], now: Sequence[Seen]) -> dict[UUID, int]:
    """Find lesions again, the nearest pairs first: lesion -> index in `now`.

    Parameters
    ----------
    expected : where each should be by the position of the lungs, in the coordinates of now.
    """
    rest = _residual(expected, now)
    return _nearest({name: plus(place, rest) for name, place in expected.items()}, now)


def _nearest(expected: Mapping[UUID, Point], now: Sequence[Seen]) -> dict[UUID, int]:
    pairs = sorted(
        (apart, str(name), index)
        for name, place in expected.items()
        for index, seen in enumerate(now)
        if (apart := dist(place, seen.centre)) <= _reach(seen)
    )
    names = {str(name): name for name in expected}
    found: dict[UUID, int] = {}
    taken: set[int] = set()
    # What is confirmed is found first: a shadow nearer by must not take a lesion's place.
    for confirmed in (True, False):
        for _, text, index in pairs:
            name = names[text]
            if now[index].confirmed == confirmed and name not in found and index not in taken:
                found[name] = index
                taken.add(index)
    return found


def _reach(seen: Seen) -> float:
    return max(REACH_MM, seen.diameter_mm / 2) if seen.confirmed else FAINT_REACH_MM


def _residual(expected: Mapping[UUID, Point], now: Sequence[Seen]) -> Point:
    """Return what registration by the lungs left over: the shift that fits most lesions.

    One lesion alone moves nothing: it would take whatever is nearest for itself.
    """
    sure = [seen.centre for seen in now if seen.confirmed]
    still = Point(0.0, 0.0, 0.0)
    best, fits = still, max(1, _fitting(expected.values(), sure, still))
    shifts = (minus(there, place) for there in sure for place in expected.values())
    for moved in sorted(shifts, key=lambda by: (dist(by, still), by)):
        if dist(moved, still) > LEFT_OVER_MM:
            break
        fit = _fitting(expected.values(), sure, moved)
        if fit > fits:
            best, fits = moved, fit
    return best


def _fitting(expected: Iterable[Point], now: Sequence[Point], moved: Point) -> int:
    return sum(
        any(dist(plus(place, moved), there) <= FIT_MM for there in now) for place in expected
    )


def _along(before: Sequence[Lung], now: Sequence[Lung]) -> float:
    """Return the shift along the body at which the profiles of the lungs' area fit best."""
    at_before, area_before = _profile(before)
    at_now, area_now = _profile(now)
    shorter = min(at_before[-1] - at_before[0], at_now[-1] - at_now[0])
    best, least = 0.0, np.inf
    for moved in np.arange(-SEARCH_MM, SEARCH_MM + STEP_MM / 2, STEP_MM / 2):
        inside = (at_before + moved >= at_now[0]) & (at_before + moved <= at_now[-1])
        covered = np.ptp(at_before[inside]) if inside.any() else 0.0
        if covered < LEAST_OVERLAP * shorter:
            continue
        there = np.interp(at_before[inside] + moved, at_now, area_now)
        misfit = float(np.sqrt(np.mean((there - area_before[inside]) ** 2)))
        misfit += PREFER_STILL_CM2_PER_MM * abs(float(moved))
        if misfit < least:
            best, least = float(moved), misfit
    return best


def _by_place(lung: Lung) -> tuple[float, ...]:
    return (lung.z_mm, *lung)


def _profile(lungs: Sequence[Lung]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([lung.z_mm for lung in lungs]), np.array([lung.area_cm2 for lung in lungs])


def plus(place: Point, moved: Point) -> Point:
    """Return a place that was moved."""
    return Point(*(a + b for a, b in zip(place, moved, strict=True)))


def minus(place: Point, other: Point) -> Point:
    """Return what leads from the other place to this one."""
    return Point(*(a - b for a, b in zip(place, other, strict=True)))
