"""Who is scanned: patients, their lesions, and what therapy does to them from study to study."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

import numpy as np

from producers.scanner.anatomy import Chest, Point

BETWEEN_STUDIES = timedelta(days=42)
FIRST_STUDY = date(2024, 1, 15)
SLICE_MM = 2.5
"""Thickness of a slice and distance to the next; the real CT it is compared with has the same."""

SCAN_CENTRE_MM = 110.0
"""Above the floor of the lungs: below the carina, where lungs are widest."""


class Course(StrEnum):
    """What becomes of a patient's lesions."""

    GROWING = "growing"
    SHRINKING = "shrinking"
    STABLE = "stable"
    NONE = "none"
    """No lesion at all."""


FACTOR = {Course.GROWING: 1.35, Course.SHRINKING: 0.68, Course.STABLE: 1.0, Course.NONE: 1.0}
"""Diameter of a lesion over that of the study before."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion at one time.

    centre : mm, (left, posterior, superior) from the middle of the lungs' floor.
    diameter_mm : of the sphere it is made from; its outline goes up to 12 % in and out.
    density_hu : of its inside: about 30 solid, about -550 ground glass.
    outline : (3, 4) amplitudes and phases of its lobes.
    """

    number: int
    centre: Point
    diameter_mm: float
    density_hu: float
    kind: Literal["solid", "ground-glass", "juxta-pleural"]
    outline: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Study:
    """One visit. offset : how the patient lies this time, mm (left, posterior, superior)."""

    number: int
    day: date
    offset: Point
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """One simulated patient."""

    number: int
    course: Course
    seed: int
    chest: Chest
    studies: tuple[Study, ...]

    @property
    def patient_id(self) -> str:
        """Return the PatientID, as a hospital would give one."""
        return f"SIM-{self.seed}-{self.number:04d}"


def patients(count: int, *, studies: int, slices: int, seed: int) -> Iterator[Patient]:
    """Yield patients; courses take turns: growing, shrinking, stable, none.

    Parameters
    ----------
    slices : of each series: lesions lie where all of them are seen.
    """
    courses = list(Course)
    for number in range(1, count + 1):
        course = courses[(number - 1) % len(courses)]
        yield _patient(number, course, studies=studies, slices=slices, seed=seed)


def _patient(number: int, course: Course, *, studies: int, slices: int, seed: int) -> Patient:
    rng = np.random.default_rng([seed, number])
    chest = Chest.of(rng)
    lesions = () if course is Course.NONE else tuple(_lesions(chest, course, slices, rng))
    visits = []
    for visit in range(studies):
        shift = Point(*rng.uniform(-6.0, 6.0, 3)) if visit else Point(0.0, 0.0, 0.0)
        factor = FACTOR[course] ** visit
        grown = tuple(
            Lesion(a.number, a.centre, a.diameter_mm * factor, a.density_hu, a.kind, a.outline)
            for a in lesions
        )
        visits.append(Study(visit + 1, FIRST_STUDY + visit * BETWEEN_STUDIES, shift, grown))
    return Patient(number, course, seed, chest, tuple(visits))


def _lesions(
    chest: Chest, course: Course, slices: int, rng: np.random.Generator
) -> Iterator[Lesion]:
    """Yield one to three lesions, 25 mm apart at least; the first is solid and never tiny."""
    reach_mm = max(0.0, slices * SLICE_MM / 2 - 15.0)
    taken: list[Point] = []
    for number in range(1, int(rng.integers(1, 4)) + 1):
        kind: Literal["solid", "ground-glass", "juxta-pleural"] = "solid"
        if number > 1:
            kind = ("solid", "ground-glass", "juxta-pleural")[int(rng.integers(3))]
        diameter_mm = _first_diameter_mm(course, number, rng)
        depth = (0.25, 0.6) if kind == "juxta-pleural" else (1.2, 6.0)
        centre = chest.place(
            rng,
            z_mm=(SCAN_CENTRE_MM - reach_mm, SCAN_CENTRE_MM + reach_mm),
            depth_mm=(depth[0] * diameter_mm, depth[1] * diameter_mm),
            away_from=taken,
        )
        if centre is None:
            continue
        taken.append(centre)
        outline = tuple(
            (float(a), float(b), float(c), float(d))
            for a, b, c, d in zip(
                rng.uniform(0.02, 0.12, 3), *rng.uniform(0, 2 * np.pi, (3, 3)), strict=True
            )
        )
        density = float(rng.uniform(-620, -450) if kind == "ground-glass" else rng.uniform(10, 50))
        yield Lesion(number, centre, diameter_mm, density, kind, outline)


def _first_diameter_mm(course: Course, number: int, rng: np.random.Generator) -> float:
    low, high = {
        Course.GROWING: (9.0, 12.0),
        Course.SHRINKING: (16.0, 22.0),
        Course.STABLE: (10.0, 16.0),
        Course.NONE: (0.0, 0.0),
    }[course]
    if number > 1:
        low *= 0.6
    return float(rng.uniform(low, high))
