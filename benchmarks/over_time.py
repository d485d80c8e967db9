"""Patients over time: what is said of simulated patients whose truth is known.

``python -m benchmarks.over_time`` scans patients, scores each slice with the shipped engine, folds
the findings as the patients worker does, and compares with the truth: the response with which each
course must end, the diameters, the alarms a patient and day, and how many of them are false.
With ``--out FOLDER`` the findings and the truth stay there, for ``lesionstream policy test``.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import dist
from pathlib import Path
from typing import Any

from rich.table import Table

from engines import Engine
from lesionstream import catalogue
from lesionstream.console import out, progress_bar
from lesionstream.policies import alarm_counts
from producers.scanner.course import Course, Patient, patients
from producers.scanner.series import Scan, scans
from stream.fold import fold_finding
from stream.growth import uncertainty_mm
from stream.looking import look
from stream.policies import choose
from stream.replay import Verdict, replay
from stream.scoring import Message, Scorer
from wire.assessment import Assessment, Lesion
from wire.envelope import Envelope
from wire.patient import Patient as State
from wire.records import Finding, FrameAddress

ENDS = {
    Course.GROWING: ("PD",),
    Course.SHRINKING: ("PR", "CR"),
    Course.STABLE: ("SD",),
}
"""With what a course must end after three studies; without a lesion, alarms are what counts."""

LARGE_MM = 6.0
NEAR_MM, NEAR_SHARE = 2.0, 0.15
"""A diameter is right within 2 mm or 15 %, whichever is more."""

SAME_LESION_MM = 10.0
PICTURE = Path("docs/patients.png")


@dataclass(frozen=True, slots=True)
class Visit:
    """One series: its truth, its findings and what is made of it."""

    course: Course
    truth: dict[str, Any]
    findings: tuple[Finding, ...]
    assessment: Assessment

    @property
    def sizes(self) -> list[tuple[str, float, float | None]]:
        """Return (kind, true mm, measured mm or None) of each true lesion of 6 mm or more."""
        shown = [lesion for lesion in self.assessment.lesions if lesion.seen]
        return [
            (lesion["kind"], lesion["diameter_mm"], _measured(lesion["centre_mm"], shown))
            for lesion in self.truth["lesions"]
            if lesion["diameter_mm"] >= LARGE_MM
        ]


@dataclass(slots=True)
class Followed:
    """All visits, and the verdicts of the default policy."""

    visits: list[Visit] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def last(self) -> Iterator[Visit]:
        """Yield the last visit of each patient."""
        yield from {visit.assessment.patient_id: visit for visit in self.visits}.values()

    def wrong_ends(self) -> list[Visit]:
        """Return the last visits that do not end as their course must."""
        return [
            visit
            for visit in self.last()
            if visit.assessment.response not in ENDS.get(visit.course, (visit.assessment.response,))
        ]

    def wrong_sizes(self) -> list[tuple[str, float, float]]:
        """Return the diameters that are wrong by more than they may be."""
        return [
            (kind, true, measured)
            for visit in self.visits
            for kind, true, measured in visit.sizes
            if measured is not None and abs(measured - true) > max(NEAR_MM, NEAR_SHARE * true)
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if an end is wrong or an alarm above low is false."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.over_time", description=__doc__)
    parser.add_argument("--patients", type=int, default=8, help="they take turns in course")
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[course.value for course in Course])
    parser.add_argument("--out", type=Path, help="keep findings.jsonl and truth.json here")
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE}")
    args = parser.parse_args(argv)
    people = [
        person
        for person in patients(
            args.patients, studies=args.studies, slices=args.slices, seed=args.seed
        )
        if args.only in (None, person.course.value)
    ]
    followed = follow(people, args.slices, catalogue.load(catalogue.engine_in_use()))
    if args.out is not None:
        keep(followed, args.out)
    if args.picture:
        draw(followed)
    return report(followed)


def follow(people: Sequence[Patient], slices: int, engine: Engine) -> Followed:
    """Scan, score and fold the studies of patients, in the order of their visits."""
    policy = choose("longitudinal")
    followed = Followed()
    states: dict[str, State] = {}
    events: list[Finding] = []
    studies = sum(len(person.studies) for person in people)
    with progress_bar("slices") as bar:
        task = bar.add_task("scanning", total=studies * slices, note="")
        for scan in scans(list(people), slices):
            truth, findings = _scored(scan, engine, lambda: bar.advance(task))
            state = states.get(truth["PatientID"]) or State(patient_id=truth["PatientID"])
            for finding in findings:
                state, _ = fold_finding(state, finding, len(events), policy)
                events.append(finding)
            states[truth["PatientID"]] = state
            sheet = state.series[truth["SeriesInstanceUID"]].assessment
            assert sheet is not None, "a series of which all slices are there is final"
            followed.visits.append(Visit(scan.patient.course, truth, tuple(findings), sheet))
    followed.verdicts = list(replay(events, policy))
    return followed


def _scored(scan: Scan, engine: Engine, advance: Any) -> tuple[dict[str, Any], list[Finding]]:
    scorer = Scorer(engine, look=look, now_ms=lambda: time.monotonic() * 1000)
    truths, findings = [], []
    for number, image in enumerate(scan.images()):
        image.dataset.PatientIdentityRemoved = "YES"
        payload = io.BytesIO()
        image.dataset.save_as(payload, enforce_file_format=True)
        now = datetime.now(UTC)
        envelope = Envelope("frame", "", "/benchmark", time=now)
        where = FrameAddress(topic="frames", partition=0, offset=number)
        outcome = scorer.answer(Message(payload.getvalue(), envelope, where), now)
        truths.append(image.truth)
        findings.append(outcome.finding)
        advance()
    return scan.truth(truths), findings


def _measured(centre: Sequence[float], shown: Iterable[Lesion]) -> float | None:
    near = [
        (apart, lesion.diameter_mm)
        for lesion in shown
        if lesion.x_mm is not None and lesion.y_mm is not None and lesion.z_mm is not None
        if lesion.role != "unconfirmed"
        if (apart := dist(centre, (lesion.x_mm, lesion.y_mm, lesion.z_mm))) <= SAME_LESION_MM
    ]
    return min(near)[1] if near else None


def report(followed: Followed) -> int:
    """Print what was found; return the exit code."""
    table = Table("patient", "course", "studies", "response", "target lesions, mm", "ends right")
    wrong = {id(visit) for visit in followed.wrong_ends()}
    for last in followed.last():
        name = last.assessment.patient_id
        mine = [v.assessment for v in followed.visits if v.assessment.patient_id == name]
        sums = " → ".join("–" if a.sum_mm is None else f"{a.sum_mm:.1f}" for a in mine)
        ends = "no" if id(last) in wrong else "yes"
        responses = " → ".join(a.response for a in mine[1:])
        table.add_row(name, last.course.value, str(len(mine)), responses, sums, ends)
    out.print(table)
    sizes = [size for visit in followed.visits for size in visit.sizes]
    seen = [(true, measured) for _, true, measured in sizes if measured is not None]
    errors = followed.wrong_sizes()
    out.print(
        f"lesions of {LARGE_MM:g} mm and more: {len(seen)} of {len(sizes)} seen, "
        f"{len(seen) - len(errors)} of these within {NEAR_MM:g} mm or {NEAR_SHARE:.0%}"
    )
    for kind, true, found in errors:
        out.print(f"  {kind}: {true:.1f} mm, measured {found:.1f}")
    inside = sum(abs(true - measured) <= uncertainty_mm(measured) for true, measured in seen)
    out.print(f"{inside} of {len(seen)} within their 95 % interval")
    lesions = {v.truth["SeriesInstanceUID"]: bool(v.truth["lesions"]) for v in followed.visits}
    out.print(alarm_counts(followed.verdicts, lesions))
    false = [
        verdict
        for verdict in followed.verdicts
        if verdict.worst not in (None, "low") and not lesions[verdict.series_instance_uid]
    ]
    out.print(f"alarms above low where there is no lesion: {len(false)}")
    return 1 if wrong or false else 0


def keep(followed: Followed, folder: Path) -> None:
    """Write the findings and their truth, as `policy test` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [finding.to_json() for visit in followed.visits for finding in visit.findings]
    (folder / "findings.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    truth = {"simulated": True, "series": [visit.truth for visit in followed.visits]}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def draw(followed: Followed) -> None:
    """Draw the diameters, measured over true, and the sums over the studies."""
    from matplotlib.figure import Figure as Plot  # only reports draw

    plot = Plot(figsize=(10, 4.2), layout="constrained")
    sizes, sums = plot.subplots(1, 2)
    colours = {"solid": "#1b5e9b", "ground-glass": "#c77c02", "juxta-pleural": "#2b7a3d"}
    for kind, colour in colours.items():
        pairs = [(t, m) for v in followed.visits for k, t, m in v.sizes if k == kind and m]
        if pairs:
            sizes.scatter(*zip(*pairs, strict=True), s=16, color=colour, label=kind)
    top = max([t for v in followed.visits for _, t, _ in v.sizes], default=20.0) * 1.1
    grid = [LARGE_MM, NEAR_MM / NEAR_SHARE, top]
    for sign in (-1, 1):
        limits = [x + sign * max(NEAR_MM, NEAR_SHARE * x) for x in grid]
        sizes.plot(grid, limits, color="0.6", lw=1, ls="--")
    sizes.plot(grid, grid, color="0.6", lw=1)
    sizes.set(xlabel="true longest diameter, mm", ylabel="measured, mm", title="Diameters")
    sizes.legend(frameon=False)
    _draw_sums(followed, sums)
    plot.savefig(PICTURE, dpi=110)
    print(f"{PICTURE}: diameters, and the sum of the target lesions over time", file=sys.stderr)


def _draw_sums(followed: Followed, axes: Any) -> None:
    colours = {"growing": "#b3261e", "stable": "0.35", "shrinking": "#2b7a3d"}
    for last in followed.last():
        name = last.assessment.patient_id
        mine = [v.assessment for v in followed.visits if v.assessment.patient_id == name]
        points = [(n, a.sum_mm) for n, a in enumerate(mine, start=1) if a.sum_mm is not None]
        colour = colours.get(last.course.value)
        if colour and points:
            axes.plot(*zip(*points, strict=True), marker="o", color=colour)
            axes.annotate(
                last.assessment.response,
                points[-1],
                xytext=(6, -3),
                textcoords="offset points",
                color=colour,
            )
    axes.set(xlabel="study, six weeks apart", ylabel="sum of target lesions, mm")
    axes.set(title="Growing, stable and shrinking patients", xticks=[1, 2, 3], xlim=(0.8, 3.5))
    axes.set_ylim(bottom=0)


if __name__ == "__main__":
    sys.exit(main())
