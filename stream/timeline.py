"""A patient's studies in the order in which they were made, and the lesions followed through them.

Pure. A study is known by the series of it that has most scored slices; other series of the same
study (another kernel, another thickness) are compared with the studies before it, never with one
another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from stream import tracking
from stream.lesions import Confirmation, merge
from wire.assessment import Point
from wire.patient import Lung, Seen, SeriesState
from wire.records import SignOff

NEVER = datetime.max.replace(tzinfo=UTC)

Verdict = Callable[[Literal["new-lesion", "lesion-gone"], str, UUID], SignOff]
"""(claim, SeriesInstanceUID, lesion id) -> what a clinician said of it."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One series as a whole.

    lesions : the largest first.
    lungs : from the feet to the head.
    """

    uid: str
    state: SeriesState
    lesions: tuple[Seen, ...]
    lungs: tuple[Lung, ...]

    @property
    def order(self) -> tuple[datetime, str]:
        """Return what visits are sorted by."""
        return self.state.first_time or NEVER, self.uid


@dataclass(slots=True)
class Followed:
    """A lesion that is followed.

    found : number of the visit in which it was first confirmed.
    places : visit -> where it was.
    sizes_mm : visit -> longest diameter; visits that do not show it are absent.
    """

    id: UUID
    label: str
    found: int
    places: dict[int, Point] = field(default_factory=dict)
    sizes_mm: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Timeline:
    """The visits of one modality, one a study, and the lesions followed through them.

    shown : (visit, lesion id) -> what that visit shows of it.
    """

    visits: list[Visit]
    baseline: int
    followed: list[Followed] = field(default_factory=list)
    shown: dict[tuple[int, UUID], Seen] = field(default_factory=dict)


def visit_of(uid: str, state: SeriesState, confirmation: Confirmation) -> Visit:
    """Return a series with its slices put together."""
    lesions = state.sealed
    if lesions is None:
        lesions = merge(state.slices, pitch_mm=state.pitch_mm, confirmation=confirmation)
    return Visit(uid, state, lesions, tracking.lungs_of(state.slices.values()))


def measured(visit: Visit) -> bool:
    """Tell whether a series can be compared at all: a localizer has no scored slice."""
    return _weight(visit)[0] > 0 or visit.state.sealed is not None


def studies(visits: Iterable[Visit]) -> list[Visit]:
    """Return one visit a study, in order of time: that with most scored slices."""
    best: dict[str, Visit] = {}
    for visit in visits:
        known = best.get(study_of(visit))
        if known is None or _weight(visit) > _weight(known):
            best[study_of(visit)] = visit
    return sorted(best.values(), key=lambda visit: visit.order)


def study_of(visit: Visit) -> str:
    """Return the StudyInstanceUID; a series that names none is a study of its own."""
    return visit.state.study_instance_uid or visit.uid


def follow(patient_id: str, visits: Sequence[Visit], *, therapy_start: datetime | None) -> Timeline:
    """Follow lesions from visit to visit.

    Parameters
    ----------
    visits : one a study, in order of time.
    therapy_start : the last visit up to then is the baseline; None: the first visit is.
    """
    line = Timeline(list(visits), _baseline(visits, therapy_start))
    for number, visit in enumerate(visits):
        found = find_again(line, number, visit)
        for lesion in line.followed:
            if lesion.id in found:
                _record(line, lesion, number, visit.lesions[found[lesion.id]])
        taken = set(found.values())
        fresh = [
            seen
            for index, seen in enumerate(visit.lesions)
            if seen.confirmed and index not in taken
        ]
        for rank, seen in enumerate(fresh, start=1):
            lesion = Followed(
                uuid5(NAMESPACE_OID, f"{patient_id}|lesion|{visit.uid}|{rank}"),
                f"L{len(line.followed) + 1}",
                number,
            )
            line.followed.append(lesion)
            _record(line, lesion, number, seen)
    return line


def find_again(line: Timeline, number: int, visit: Visit) -> Mapping[UUID, int]:
    """Return which lesions, followed before visit `number` or in it, a visit shows: id -> index.

    Each is looked for from where it was last seen, the studies being laid over one another.
    """
    last: dict[int, dict[UUID, Point]] = {}
    for lesion in line.followed:
        before = [at for at in lesion.places if at <= number]
        if before:
            last.setdefault(max(before), {})[lesion.id] = lesion.places[max(before)]
    expected: dict[UUID, Point] = {}
    for at, places in last.items():
        moved = tracking.shift(line.visits[at].lungs, visit.lungs)
        for name, place in places.items():
            expected[name] = tracking.plus(place, moved)
    return tracking.match(expected, visit.lesions)


def _record(line: Timeline, lesion: Followed, number: int, seen: Seen) -> None:
    lesion.places[number] = seen.centre
    lesion.sizes_mm[number] = seen.diameter_mm
    line.shown[number, lesion.id] = seen


def _baseline(visits: Sequence[Visit], therapy_start: datetime | None) -> int:
    if therapy_start is None:
        return 0
    before = [n for n, visit in enumerate(visits) if visit.order[0] <= therapy_start]
    return before[-1] if before else 0


def _weight(visit: Visit) -> tuple[int, str]:
    scored = sum(seen.probability is not None for seen in visit.state.slices.values())
    return scored, visit.uid
