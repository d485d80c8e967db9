"""What has become of a patient's lesions at one visit: RECIST 1.1 on what is followed.

Pure. What the engine does not see is not simply gone: a lesion that was large may have been missed.
That it is gone, and that one is new, counts once a clinician has said so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from stream import growth, recist, tracking
from stream.growth import DAY_S
from stream.lesions import gaps
from stream.series import pitch_of
from stream.timeline import Claim, Followed, Timeline, Verdict, Visit, find_again
from wire.assessment import NO_COMPARISON, Lesion, Response, Role, Trend
from wire.patient import Seen
from wire.records import SignOff

SOON_TOO_SMALL_MM = 8.0
"""A lesion that was smaller, and is a third smaller now, is too small to measure; a larger one that
is not seen may have been missed."""

ORDER: tuple[Role, ...] = ("target", "new", "non-target", "minor", "found", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer for one visit; see `wire.assessment.Assessment`.

    others : indexes of the visit's lesions that are not followed.
    sums_mm : of the targets, from the baseline to this visit; None: not evaluated.
    """

    lesions: tuple[Lesion, ...]
    others: tuple[int, ...]
    response: Response
    clauses: tuple[str, ...]
    sum_mm: float | None = None
    baseline_sum_mm: float | None = None
    nadir_sum_mm: float | None = None
    sums_mm: tuple[float | None, ...] = ()
    trend: Trend = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """One visit, beside the others.

    number : of its study in the timeline.
    assumed_mm : (visit, lesion) -> diameter as it was taken at visits before; None: not evaluated.
    least_mm : smaller lesions are shown, and not judged.
    """

    line: Timeline
    number: int
    visit: Visit
    assumed_mm: Mapping[tuple[int, UUID], float | None]
    least_mm: float
    verdict: Verdict

    @property
    def baseline(self) -> int:
        """Return the visit with which this one is compared."""
        return self.line.baseline(self.number)


@dataclass(frozen=True, slots=True)
class _Now:
    """What a visit says of one followed lesion. note : what has to be said of its size."""

    seen: Seen | None
    diameter_mm: float | None
    note: str = ""
    asked: bool = False


@dataclass(slots=True)
class _Sheet:
    """A visit's lesions while it is judged."""

    lesions: list[Lesion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    confirmed: list[Lesion] = field(default_factory=list)

    def of(self, role: Role) -> list[Lesion]:
        """Return the lesions in one role."""
        return [lesion for lesion in self.lesions if lesion.role == role]


def judge(reading: Reading) -> Judged:
    """Judge one visit."""
    found = find_again(reading.line, reading.number, reading.visit)
    taken = set(found.values())
    others = tuple(n for n in range(len(reading.visit.lesions)) if n not in taken)
    sheet = _read(reading, found)
    lesions = tuple(sorted(sheet.lesions, key=lambda lesion: ORDER.index(lesion.role)))
    targets = sheet.of("target")
    sum_mm = _sum([lesion.diameter_mm for lesion in targets])
    if reading.number == reading.baseline:
        return Judged(
            lesions,
            others,
            NO_COMPARISON,
            ("this is the baseline",),
            sum_mm=sum_mm,
            baseline_sum_mm=sum_mm,
            sums_mm=(sum_mm,),
        )
    sums = _earlier_sums(reading, [lesion.id for lesion in targets])
    known = [value for value in sums if value is not None]
    response, clauses = _response(sheet, sums)
    if reading.line.begun_before(reading.number) and response not in ("PD", "NE"):
        response = NO_COMPARISON  # growth shows all the same; what the therapy did, does not
        clauses.append("the therapy started before the first study: there is no baseline")
    return Judged(
        lesions,
        others,
        response,
        (*sheet.notes, *clauses),
        sum_mm=sum_mm,
        baseline_sum_mm=sums[0],
        nadir_sum_mm=min(known, default=None),
        sums_mm=(*sums, sum_mm),
        trend=_trend(sheet, known, sum_mm),
    )


def _read(reading: Reading, found: Mapping[UUID, int]) -> _Sheet:
    """Measure each lesion that is followed."""
    sheet = _Sheet()
    chosen = _targets(reading.line, reading.baseline)
    for followed in reading.line.followed:
        if followed.found > reading.number:
            continue
        index = found.get(followed.id)
        seen = None if index is None else reading.visit.lesions[index]
        now = _Now(seen, seen.diameter_mm) if seen else _unseen(reading, followed)
        said = _said_of_new(reading, followed, now.diameter_mm)
        role = _role(reading, followed, now.diameter_mm, chosen, said)
        asked: Claim | None = None
        if role == "new" and said == "needs-sign-off":
            asked = "new-lesion" if seen else None  # what is not seen any more is no new lesion
        elif role != "minor" and now.asked:
            asked = "lesion-gone"
        lesion = _lesion(reading, followed, now, role, asked)
        if role != "minor" and now.note:
            sheet.notes.append(now.note)
        sheet.lesions.append(lesion)
        if role == "new" and said == "signed-off":
            sheet.confirmed.append(lesion)
    return sheet


def _targets(line: Timeline, baseline: int) -> frozenset[UUID]:
    """Return the target lesions: chosen once, at baseline. The lungs are one organ."""
    there = [lesion for lesion in line.followed if baseline in lesion.sizes_mm]
    chosen = recist.choose_targets([lesion.sizes_mm[baseline] for lesion in there])
    return frozenset(there[index].id for index in chosen)


def _role(
    reading: Reading,
    followed: Followed,
    diameter_mm: float | None,
    targets: frozenset[UUID],
    said: SignOff,
) -> Role:
    if followed.id in targets:
        return "target"
    sizes = [size for at, size in followed.sizes_mm.items() if at <= reading.number]
    if max([*sizes, diameter_mm or 0.0]) < reading.least_mm:
        return "minor"
    if followed.found > reading.baseline:
        return "minor" if said == "rejected" else "new"
    return "non-target"


def _said_of_new(reading: Reading, followed: Followed, diameter_mm: float | None) -> SignOff:
    """Return what a clinician said to "this lesion is new".

    The first question that was answered counts, in whichever study it was asked. A rejected lesion
    that has grown since as progression does is asked for again.
    """
    for at in range(followed.found, len(reading.line.visits)):
        names = followed.names if at == followed.found else {_name(reading, at, followed)}
        answers = {reading.verdict("new-lesion", uid, lesion) for uid, lesion in names}
        if at == reading.number:
            answers.add(reading.verdict("new-lesion", reading.visit.uid, followed.id))
        if "signed-off" in answers:
            return "signed-off"
        if "rejected" in answers:
            size = followed.sizes_mm.get(at, diameter_mm)
            again = size is not None and diameter_mm is not None and at < reading.number
            if not (again and recist.grew_unequivocally(size or 0.0, diameter_mm or 0.0)):
                return "rejected"
    return "needs-sign-off"


def _name(reading: Reading, at: int, followed: Followed) -> tuple[str, UUID]:
    return reading.line.visits[at].uid, followed.id


def _unseen(reading: Reading, followed: Followed) -> _Now:
    """Return what may be assumed of a lesion that a visit does not show."""
    said = reading.verdict("lesion-gone", reading.visit.uid, followed.id)
    if said == "signed-off":
        return _Now(None, 0.0, f"{followed.label} is gone: signed off")
    last = max((at for at in followed.sizes_mm if at < reading.number), default=None)
    if last is None:
        return _Now(None, None)
    size = followed.sizes_mm[last]
    if not _covers(reading, followed, last):
        return _Now(None, None, f"{followed.label} lies outside the slices of this series")
    if size < SOON_TOO_SMALL_MM:
        return _Now(
            None,
            min(size, recist.TOO_SMALL_MM),
            f"4.3.2: {followed.label}, {size:.1f} mm before, is not seen: too small to measure",
        )
    words = f"{followed.label}, {size:.1f} mm before, is not seen: gone or missed"
    if said == "rejected":
        return _Now(None, None, f"{words}; a clinician says it is not gone")
    return _Now(None, None, f"{words}, to be confirmed", asked=True)


def _covers(reading: Reading, followed: Followed, last: int) -> bool:
    """Tell whether the place of a lesion lies within the scored slices of a series."""
    state = reading.visit.state
    scored = [seen for seen in state.slices.values() if seen.probability is not None]
    places = [seen.lung.z_mm if seen.lung else seen.location_mm for seen in scored]
    at = [place for place in places if place is not None]
    if not at:
        return False
    moved = tracking.shift(reading.line.visits[last].lungs, reading.visit.lungs)
    z = followed.places[last].z_mm + moved.z_mm
    holes = gaps(at, pitch_of(state))
    return min(at) <= z <= max(at) and not any(low < z < high for low, high in holes)


def _lesion(
    reading: Reading, followed: Followed, now: _Now, role: Role, asked: Claim | None
) -> Lesion:
    line, seen, base = reading.line, now.seen, reading.baseline
    before = sorted(at for at in followed.sizes_mm if at < reading.number)
    since = [followed.sizes_mm[at] for at in before if at >= base]
    since = since or [followed.sizes_mm[at] for at in before[-1:]]
    base_mm = followed.sizes_mm.get(base) if base < reading.number else None
    doubling = None
    if before and seen:
        days = _days(line.visits[before[-1]], reading.visit)
        doubling = growth.doubling_time_days(followed.sizes_mm[before[-1]], seen.diameter_mm, days)
    return Lesion(
        id=followed.id,
        label=followed.label,
        role=role,
        asked=asked,
        seen=seen is not None,
        x_mm=seen.centre.x_mm if seen else None,
        y_mm=seen.centre.y_mm if seen else None,
        z_mm=seen.centre.z_mm if seen else None,
        diameter_mm=now.diameter_mm,
        uncertainty_mm=growth.uncertainty_mm(seen.diameter_mm) if seen else None,
        extent_mm=seen.extent_mm if seen else None,
        baseline_mm=base_mm,
        nadir_mm=min(since, default=None),
        change_percent=percent(base_mm, now.diameter_mm),
        doubling_time_days=doubling,
        probability=seen.probability if seen else None,
        slices=seen.slices if seen else 0,
        alarming_slices=seen.alarming if seen else 0,
        findings=seen.findings if seen else (),
    )


def _earlier_sums(reading: Reading, targets: Sequence[UUID]) -> list[float | None]:
    """Return the sums of these targets from the baseline to the visit before."""
    return [
        _sum([reading.assumed_mm.get((at, lesion)) for lesion in targets])
        for at in range(reading.baseline, reading.number)
    ]


def _response(sheet: _Sheet, sums: Sequence[float | None]) -> tuple[Response, list[str]]:
    """Return the overall response and its clauses."""
    clauses: list[str] = []
    targets, others, new = sheet.of("target"), sheet.of("non-target"), sheet.of("new")
    target: recist.Target = "none"
    if targets and sums[0] is not None:
        earlier = [value for value in sums[1:] if value is not None]
        sizes = [lesion.diameter_mm for lesion in targets]
        target, clause = recist.target_response(sums[0], earlier, sizes)
        clauses.append(clause)
    non_target, why = _non_target(others, alone=not targets)
    clauses += why
    waiting = [lesion for lesion in new if lesion.asked]
    if waiting:
        names = ", ".join(
            f"{lesion.label} ({lesion.diameter_mm or 0:.1f} mm)" for lesion in waiting
        )
        clauses.append(f"4.3.5: new lesion suspected, to be confirmed: {names}")
    if target == "none" and non_target == "none" and not sheet.confirmed:
        return NO_COMPARISON, [*clauses, "no lesion to compare with was there at baseline"]
    response, clause = recist.overall(target, non_target, new=bool(sheet.confirmed))
    return response, [*clauses, clause]


def _non_target(others: Sequence[Lesion], *, alone: bool) -> tuple[recist.NonTarget, list[str]]:
    """Judge what is too small, or one too many, to be a target. alone : there is no target."""
    if not others:
        return "none", []
    grown = [lesion for lesion in others if _grew(lesion)]
    said = [f"{i.label} grew from {i.nadir_mm:.1f} to {i.diameter_mm:.1f} mm" for i in grown]
    if grown and alone:
        return "PD", [f"4.3.4: {'; '.join(said)}, and nothing was measurable at baseline"]
    words = [f"4.3.4: {'; '.join(said)}: whether that is progression is a clinician's to say"]
    if all(lesion.diameter_mm == 0 for lesion in others):
        return "CR", ["4.3.3: all non-target lesions are gone"]
    if all(lesion.diameter_mm is None for lesion in others):
        return "NE", ["4.3.3: no non-target lesion was evaluated"]
    return "non-CR/non-PD", words if grown else []


def _grew(lesion: Lesion) -> bool:
    nadir, now = lesion.nadir_mm, lesion.diameter_mm
    return nadir is not None and now is not None and recist.grew_unequivocally(nadir, now)


def _trend(sheet: _Sheet, known: Sequence[float], sum_mm: float | None) -> Trend:
    """Compare with the study before: the sum of the targets; any lesion that grew as PD does."""
    targets, others = sheet.of("target"), sheet.of("non-target")
    if any(_grew(lesion) for lesion in [*others, *sheet.of("new")]):
        return "growing"
    if targets and sum_mm is not None and known:
        return growth.trend(known[-1], sum_mm, count=len(targets))
    changes = [
        growth.trend(lesion.nadir_mm, lesion.diameter_mm)
        for lesion in [*targets, *others]
        if lesion.nadir_mm and lesion.diameter_mm
    ]
    worst: tuple[Trend, ...] = ("growing", "stable", "shrinking")
    return next((trend for trend in worst if trend in changes), "unknown")


def percent(then_mm: float | None, now_mm: float | None) -> float | None:
    """Return a change in percent; None where either is not known."""
    if not then_mm or now_mm is None:
        return None
    return round((now_mm / then_mm - 1) * 100, 1)


def _sum(sizes_mm: Sequence[float | None]) -> float | None:
    known = [size for size in sizes_mm if size is not None]
    return round(sum(known), 2) if sizes_mm and len(known) == len(sizes_mm) else None


def _days(before: Visit, now: Visit) -> float:
    if before.state.first_time is None or now.state.first_time is None:
        return 0.0
    return (now.state.first_time - before.state.first_time).total_seconds() / DAY_S
