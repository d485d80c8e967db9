"""Lesions in three dimensions: the marks of a series' slices, merged.

Pure. The order of the slices and their repetition leave no trace. Marks on neighbouring slices that
lie over one another are one lesion; its diameter is the longest on any one axial slice, as RECIST
1.1 measures. A lesion is *confirmed* once it is at the engine's `alarm` point in k of n
neighbouring slices: a single frame is weak evidence. More slices never take that back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, inf
from uuid import UUID

from wire.assessment import Point
from wire.patient import Mark, Seen, Slice

REACH_MM = 5.0
"""Marks of neighbouring slices are one lesion where their centres lie this near in the plane, or
within half the larger one's diameter."""

SAME_PLACE_MM = 0.5
"""Slices this near are one place: the same slice again, or another reconstruction of it."""

UNKNOWN_PITCH_MM = 5.0
"""Between slices that do not say how far apart they lie: more is not scored (`stream.quality`)."""

CLEAR = 0.5
"""Each engine's `screen`, by construction."""

EVIDENCE = 8
"""Findings that stand for a lesion, the most probable first."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many slices must show a lesion at `alarm`: `slices` of `of` neighbouring ones."""

    slices: int = 2
    of: int = 3


@dataclass(frozen=True, slots=True)
class _At:
    finding: UUID
    mark: Mark


def merge(
    slices: Mapping[UUID, Slice], *, pitch_mm: float | None, confirmation: Confirmation
) -> tuple[Seen, ...]:
    """Return the lesions of a series, the largest first.

    Parameters
    ----------
    slices : finding id -> what it says of its slice.
    pitch_mm : between neighbouring slices, as the device says; None where it does not.
    """
    pitch = pitch_mm or UNKNOWN_PITCH_MM
    marks = sorted(
        (_At(finding, mark) for finding, seen in slices.items() for mark in seen.marks),
        key=lambda at: (at.mark.z_mm, at.mark.x_mm, at.mark.y_mm, -at.mark.probability, at.finding),
    )
    lesions = (_lesion(group, pitch, confirmation) for group in _groups(marks, pitch))
    return tuple(sorted(lesions, key=lambda seen: (-seen.diameter_mm, seen.centre)))


def confirmed(at_mm: Iterable[float], pitch_mm: float | None, needed: Confirmation) -> bool:
    """Tell whether places lie in k of n neighbouring slices.

    Parameters
    ----------
    at_mm : where along the normal of the slices something was seen.
    """
    places = distinct(at_mm)
    window = (needed.of - 1) * (pitch_mm or UNKNOWN_PITCH_MM) + SAME_PLACE_MM
    last = needed.slices - 1
    return any(
        places[first + last] - places[first] <= window for first in range(len(places) - last)
    )


def distinct(at_mm: Iterable[float]) -> list[float]:
    """Return places in order, each once: those within `SAME_PLACE_MM` of the last are the same."""
    kept: list[float] = []
    for place in sorted(at_mm):
        if place - (kept[-1] if kept else -inf) > SAME_PLACE_MM:
            kept.append(place)
    return kept


def gaps(at_mm: Iterable[float], pitch_mm: float | None) -> list[tuple[float, float]]:
    """Return where slices are missing: (from, to) between two that lie more than 1.5 pitches apart.

    Without a pitch the usual distance of the series (its median) is taken for it.
    """
    places = distinct(at_mm)
    pitch = pitch_mm or usual_step(places)
    if pitch is None:
        return []
    return [(a, b) for a, b in pairwise(places) if b - a > 1.5 * pitch + SAME_PLACE_MM]


def usual_step(at_mm: Iterable[float]) -> float | None:
    """Return the median distance between neighbouring places; None where there are none."""
    steps = sorted(after - before for before, after in pairwise(distinct(at_mm)))
    return steps[len(steps) // 2] if steps else None


def _groups(marks: Sequence[_At], pitch: float) -> Iterable[list[_At]]:
    """Join marks that touch, in the plane and from slice to slice (one may be missing)."""
    parent = list(range(len(marks)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for i, one in enumerate(marks):
        for j in range(i + 1, len(marks)):
            other = marks[j]
            if other.mark.z_mm - one.mark.z_mm > 2 * pitch + SAME_PLACE_MM:
                break
            if _touch(one.mark, other.mark):
                parent[root(j)] = root(i)
    groups: dict[int, list[_At]] = defaultdict(list)
    for index, at in enumerate(marks):
        groups[root(index)].append(at)
    return groups.values()


def _touch(one: Mark, other: Mark) -> bool:
    reach = max(REACH_MM, one.diameter_mm / 2, other.diameter_mm / 2)
    across = one.x_mm - other.x_mm
    return -reach <= across <= reach and hypot(across, one.y_mm - other.y_mm) <= reach


def _sure(group: list[_At]) -> list[_At]:
    """Return the marks that measure a lesion: a faint one beside clear ones may be a shadow."""
    return [at for at in group if at.mark.probability >= CLEAR] or group


def _lesion(group: list[_At], pitch: float, needed: Confirmation) -> Seen:
    likeliest = sorted(group, key=lambda at: (-at.mark.probability, at.finding))
    weight = sum(at.mark.probability for at in group)
    x, y, z = (
        sum(at.mark.probability * at.mark[axis] for at in likeliest) / weight for axis in (1, 2, 3)
    )
    places = [at.mark.z_mm for at in group]
    alarming = [at.mark.z_mm for at in group if at.mark.alarming]
    peaks: dict[UUID, Point] = {}
    for at in likeliest:
        peaks.setdefault(at.finding, Point(at.mark.x_mm, at.mark.y_mm, at.mark.z_mm))
    return Seen(
        centre=Point(round(x, 2), round(y, 2), round(z, 2)),
        diameter_mm=max(at.mark.diameter_mm for at in _sure(group)),
        extent_mm=round(max(places) - min(places) + pitch, 2),
        probability=likeliest[0].mark.probability,
        slices=len(distinct(places)),
        alarming=len(distinct(alarming)),
        confirmed=confirmed(alarming, pitch, needed),
        findings=tuple(peaks)[:EVIDENCE],
        peaks=tuple(peaks.values())[:EVIDENCE],
    )
