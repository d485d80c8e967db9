"""What has become of a patient's lesions at one visit: RECIST 1.1 on what is followed.

Pure. What the engine does not see is not simply gone: a lesion that was large may have been missed,
so that it is gone, and that one is new, counts once a clinician has said so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from stream import growth, recist, tracking
from stream.growth import DAY_S
from stream.lesions import gaps
from stream.timeline import Followed, Timeline, Verdict, Visit, find_again
from wire.assessment import NO_COMPARISON, Lesion, Response, Role, Trend
from wire.patient import Seen


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer for one visit; see `wire.assessment.Assessment`.

    others : indexes of the visit's lesions that are not followed.
    """

    lesions: tuple[Lesion, ...]
    others: tuple[int, ...]
    response: Response
    clauses: tuple[str, ...]
    suspected: bool = False
    sum_mm: float | None = None
    baseline_sum_mm: float | None = None
    nadir_sum_mm: float | None = None
    trend: Trend = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """One visit, beside the others.

    number : of its study in the timeline.
    sums_mm : sum of the targets' diameters at earlier visits; None where it was not evaluated.
    least_mm : smaller lesions are shown, and not judged.
    """

    line: Timeline
    number: int
    visit: Visit
    sums_mm: Mapping[int, float | None]
    least_mm: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Now:
    """What a visit says of one followed lesion. note : what has to be said of its size."""

    seen: Seen | None
    diameter_mm: float | None
    note: str = ""
    suspected: bool = False


def judge(reading: Reading) -> Judged:
    """Judge one visit."""
    found = find_again(reading.line, reading.number, reading.visit)
    chosen = _targets(reading.line)
    lesions: list[Lesion] = []
    notes: list[str] = []
    suspected = False
    for followed in reading.line.followed:
        if followed.found > reading.number:
            continue
        index = found.get(followed.id)
        seen = None if index is None else reading.visit.lesions[index]
        now = _Now(seen, seen.diameter_mm) if seen else _unseen(reading, followed)
        role = _role(reading, followed, now.diameter_mm, chosen)
        lesions.append(_lesion(reading, followed, now, role))
        if now.note and role != "minor":
            notes.append(now.note)
            suspected = suspected or now.suspected
    taken = set(found.values())
    others = tuple(n for n in range(len(reading.visit.lesions)) if n not in taken)
    targets = [lesion for lesion in lesions if lesion.role == "target"]
    sum_mm = _sum(targets)
    if reading.number <= reading.line.baseline:
        is_base = reading.number == reading.line.baseline
        words = "this is the baseline" if is_base else "made before the baseline"
        return Judged(
            tuple(lesions),
            others,
            NO_COMPARISON,
            (words,),
            sum_mm=sum_mm,
            baseline_sum_mm=sum_mm if is_base else None,
        )
    base_mm = reading.sums_mm.get(reading.line.baseline)
    earlier = [
        value
        for at, value in sorted(reading.sums_mm.items())
        if reading.line.baseline < at < reading.number and value is not None
    ]
    response, clauses, new = _response(reading, lesions, base_mm, earlier, sum_mm)
    known = [value for value in [base_mm, *earlier] if value is not None]
    return Judged(
        tuple(lesions),
        others,
        response,
        (*notes, *clauses),
        suspected=suspected or new,
        sum_mm=sum_mm,
        baseline_sum_mm=base_mm,
        nadir_sum_mm=min(known, default=None),
        trend=_trend(lesions, known, sum_mm, len(targets)),
    )


def _targets(line: Timeline) -> frozenset[UUID]:
    """Return the target lesions: chosen once, at baseline. The lungs are one organ."""
    there = [lesion for lesion in line.followed if line.baseline in lesion.sizes_mm]
    chosen = recist.choose_targets([lesion.sizes_mm[line.baseline] for lesion in there])
    return frozenset(there[index].id for index in chosen)


def _role(
    reading: Reading, followed: Followed, diameter_mm: float | None, targets: frozenset[UUID]
) -> Role:
    if followed.id in targets and reading.number >= reading.line.baseline:
        return "target"
    largest = max(
        [size for at, size in followed.sizes_mm.items() if at <= reading.number],
        default=diameter_mm or 0.0,
    )
    if max(largest, diameter_mm or 0.0) < reading.least_mm:
        return "minor"
    if followed.found > reading.line.baseline:
        first = reading.line.visits[followed.found].uid
        said = reading.verdict("new-lesion", first, followed.id)
        return "minor" if said == "rejected" else "new"
    return "non-target"


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
    if size < recist.MEASURABLE_MM:
        return _Now(
            None,
            min(size, recist.TOO_SMALL_MM),
            f"4.3.2: {followed.label}, {size:.1f} mm before, is not seen: too small to measure",
        )
    words = f"{followed.label}, {size:.1f} mm before, is not seen: gone or missed"
    if said == "rejected":
        return _Now(None, None, f"{words}; a clinician says it is not gone")
    return _Now(None, None, f"{words}, to be confirmed", suspected=True)


def _covers(reading: Reading, followed: Followed, last: int) -> bool:
    """Tell whether the place of a lesion lies within the scored slices of a series."""
    state = reading.visit.state
    at = [
        seen.location_mm
        for seen in state.slices.values()
        if seen.probability is not None and seen.location_mm is not None
    ]
    if not at:
        return False
    moved = tracking.shift(reading.line.visits[last].lungs, reading.visit.lungs)
    z = followed.places[last].z_mm + moved.z_mm
    holes = gaps(at, state.pitch_mm)
    return min(at) <= z <= max(at) and not any(low < z < high for low, high in holes)


def _lesion(reading: Reading, followed: Followed, now: _Now, role: Role) -> Lesion:
    line, seen = reading.line, now.seen
    before = sorted(at for at in followed.sizes_mm if at < reading.number)
    since = [followed.sizes_mm[at] for at in before if at >= line.baseline]
    base_mm = followed.sizes_mm.get(line.baseline) if line.baseline < reading.number else None
    doubling = None
    if before and seen:
        days = _days(line.visits[before[-1]], reading.visit)
        doubling = growth.doubling_time_days(followed.sizes_mm[before[-1]], seen.diameter_mm, days)
    return Lesion(
        id=followed.id,
        label=followed.label,
        role=role,
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


def _response(
    reading: Reading,
    lesions: Sequence[Lesion],
    base_mm: float | None,
    earlier_mm: Sequence[float],
    sum_mm: float | None,
) -> tuple[Response, list[str], bool]:
    """Return the overall response, its clauses, and whether a new lesion is only suspected."""
    clauses: list[str] = []
    targets = [lesion for lesion in lesions if lesion.role == "target"]
    target: recist.Target = "none"
    if targets and base_mm is not None:
        gone = all(lesion.diameter_mm == 0 for lesion in targets)
        target, clause = recist.target_response(base_mm, earlier_mm, sum_mm, gone=gone)
        clauses.append(clause)
    others = [lesion for lesion in lesions if lesion.role == "non-target"]
    non_target, why = _non_target(others, alone=not targets)
    clauses += why
    new = [lesion for lesion in lesions if lesion.role == "new"]
    confirmed = [lesion for lesion in new if _confirmed(reading, lesion)]
    if new and not confirmed:
        names = ", ".join(f"{lesion.label} ({lesion.diameter_mm or 0:.1f} mm)" for lesion in new)
        clauses.append(f"4.3.5: new lesion suspected, to be confirmed: {names}")
    if target == "none" and non_target == "none" and not confirmed:
        words = "no lesion to compare with was there at baseline"
        return NO_COMPARISON, [*clauses, words], bool(new)
    response, clause = recist.overall(target, non_target, new=bool(confirmed))
    return response, [*clauses, clause], bool(new) and not confirmed


def _confirmed(reading: Reading, lesion: Lesion) -> bool:
    followed = next(f for f in reading.line.followed if f.id == lesion.id)
    first = reading.line.visits[followed.found].uid
    return reading.verdict("new-lesion", first, lesion.id) == "signed-off"


def _non_target(others: Sequence[Lesion], *, alone: bool) -> tuple[recist.NonTarget, list[str]]:
    """Judge what is too small, or one too many, to be a target. alone : there is no target."""
    if not others:
        return "none", []
    for lesion in others if alone else ():
        nadir, now = lesion.nadir_mm, lesion.diameter_mm
        if nadir is not None and now is not None and recist.grew_unequivocally(nadir, now):
            grew = f"{lesion.label} grew from {nadir:.1f} to {now:.1f} mm"
            return "PD", [f"4.3.4: {grew}, and nothing was measurable at baseline"]
    if all(lesion.diameter_mm == 0 for lesion in others):
        return "CR", ["4.3.3: all non-target lesions are gone"]
    if all(lesion.diameter_mm is None for lesion in others):
        return "NE", ["4.3.3: no non-target lesion was evaluated"]
    return "non-CR/non-PD", []


def _trend(
    lesions: Sequence[Lesion], known: Sequence[float], sum_mm: float | None, targets: int
) -> Trend:
    """Compare with the study before: the sum of the targets, else the lesion that changed most."""
    if targets and sum_mm is not None and known:
        return growth.trend(known[-1], sum_mm, count=targets)
    changes = [
        growth.trend(lesion.nadir_mm, lesion.diameter_mm)
        for lesion in lesions
        if lesion.role == "non-target" and lesion.nadir_mm and lesion.diameter_mm
    ]
    worst: tuple[Trend, ...] = ("growing", "stable", "shrinking")
    return next((trend for trend in worst if trend in changes), "unknown")


def percent(then_mm: float | None, now_mm: float | None) -> float | None:
    """Return a change in percent; None where either is not known."""
    if not then_mm or now_mm is None:
        return None
    return round((now_mm / then_mm - 1) * 100, 1)


def _sum(targets: Sequence[Lesion]) -> float | None:
    sizes = [lesion.diameter_mm for lesion in targets]
    known = [size for size in sizes if size is not None]
    return round(sum(known), 2) if targets and len(known) == len(sizes) else None


def _days(before: Visit, now: Visit) -> float:
    if before.state.first_time is None or now.state.first_time is None:
        return 0.0
    return (now.state.first_time - before.state.first_time).total_seconds() / DAY_S
