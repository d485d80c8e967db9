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
from stream.series import scored
from wire.assessment import Point
from wire.patient import Lung, Seen, SeriesState
from wire.records import SignOff

NEVER = datetime.max.replace(tzinfo=UTC)

Claim = Literal["new-lesion", "lesion-gone"]

Verdict = Callable[[Claim, str, UUID], SignOff]
"""(claim, SeriesInstanceUID, lesion id) -> what a clinician said of it."""

Name = tuple[str, UUID]
"""A lesion as one series names it: (SeriesInstanceUID, lesion id)."""


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
    names : how the series of that study name it: a question may have been asked of any of them.
    places : visit -> where it was.
    sizes_mm : visit -> longest diameter; visits that do not show it are absent.
    """

    id: UUID
    label: str
    found: int
    names: frozenset[Name]
    places: dict[int, Point] = field(default_factory=dict)
    sizes_mm: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Timeline:
    """The visits of one modality, one a study, and the lesions followed through them.

    therapies : when they started, in order.
    """

    visits: list[Visit]
    therapies: tuple[datetime, ...]
    followed: list[Followed] = field(default_factory=list)

    def baseline(self, number: int) -> int:
        """Return the visit with which visit `number` is compared: itself if it is a baseline.

        The last one up to the start of the therapy under which the patient was then, else the
        first. A therapy that starts later does not change what was said before.
        """
        before = self._before_therapy(number)
        return before[-1] if before else 0

    def begun_before(self, number: int) -> bool:
        """Tell whether the therapy of a visit started before the first study: no baseline then."""
        return self._before_therapy(number) == []

    def _before_therapy(self, number: int) -> list[int] | None:
        """Return the visits before the therapy of visit `number` started; None without one."""
        starts = [start for start in self.therapies if start <= self.visits[number].order[0]]
        if not starts:
            return None
        return [n for n in range(number) if self.visits[n].order[0] <= starts[-1]]


def visit_of(
    uid: str, state: SeriesState, pitch_mm: float | None, confirmation: Confirmation
) -> Visit:
    """Return a series with its slices put together; see `stream.lesions.merge`."""
    lesions = state.sealed
    if lesions is None:
        lesions = merge(state.slices, pitch_mm=pitch_mm, confirmation=confirmation)
    return Visit(uid, state, lesions, state.lungs or tracking.lungs_of(state.slices.values()))


def measured(visit: Visit) -> bool:
    """Tell whether a series can be compared at all: a localizer has no scored slice."""
    return scored(visit.state)


def studies(visits: Iterable[Visit]) -> list[tuple[Visit, ...]]:
    """Return the series of each study, that with most scored slices first, in order of time."""
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(study_of(visit), []).append(visit)
    ranked = [tuple(sorted(study, key=_weight, reverse=True)) for study in found.values()]
    return sorted(ranked, key=lambda study: study[0].order)


def study_of(visit: Visit) -> str:
    """Return the StudyInstanceUID; a series that names none is a study of its own."""
    return visit.state.study_instance_uid or visit.uid


def follow(
    patient_id: str, found: Sequence[tuple[Visit, ...]], therapies: tuple[datetime, ...]
) -> Timeline:
    """Follow lesions from visit to visit.

    Parameters
    ----------
    found : the series of each study, see `studies`.
    therapies : when they started, in order.
    """
    line = Timeline([study[0] for study in found], therapies)
    for number, (visit, *others) in enumerate(found):
        known = find_again(line, number, visit)
        for lesion in line.followed:
            if lesion.id in known:
                _record(lesion, number, visit.lesions[known[lesion.id]])
        taken = set(known.values())
        for index, seen in enumerate(visit.lesions):
            if seen.confirmed and index not in taken:
                own = names_of(patient_id, visit.uid, seen)
                names = frozenset([*own, *_also(patient_id, visit, others, seen)])
                label = f"L{len(line.followed) + 1}"
                line.followed.append(Followed(own[0][1], label, number, names))
                _record(line.followed[-1], number, seen)
    return line


def names_of(patient_id: str, uid: str, seen: Seen) -> list[Name]:
    """Return how a series names a lesion: by its most probable mark; and how it may have before.

    Late slices may bring a more probable mark. What was said of the lesion by another of its marks
    still counts, and slices of other lesions change nothing.
    """
    marks = zip(seen.findings, seen.peaks, strict=True)
    ids = [uuid5(NAMESPACE_OID, f"{patient_id}|lesion|{uid}|{f}|{peak}") for f, peak in marks]
    return [(uid, name) for name in ids]


def _also(patient_id: str, visit: Visit, others: Sequence[Visit], seen: Seen) -> Iterable[Name]:
    """Yield how the other series of a study name a lesion."""
    one = UUID(int=0)
    for other in others:
        moved = tracking.shift(visit.lungs, other.lungs)
        index = tracking.match({one: tracking.plus(seen.centre, moved)}, other.lesions).get(one)
        if index is not None:
            yield from names_of(patient_id, other.uid, other.lesions[index])


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


def _record(lesion: Followed, number: int, seen: Seen) -> None:
    lesion.places[number] = seen.centre
    lesion.sizes_mm[number] = seen.diameter_mm


def _weight(visit: Visit) -> tuple[int, str]:
    slices = sum(seen.probability is not None for seen in visit.state.slices.values())
    return slices, visit.uid
