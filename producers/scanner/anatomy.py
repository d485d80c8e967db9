"""A chest in space: signed distances to organs, in mm; negative inside.

Axes as in DICOM: x to the patient's left, y to the back, z to the head; the origin lies in the
middle of the lungs' floor. Every distance is a smooth function of (x, y, z), so it can be asked
on a coarse grid and enlarged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]

LUNG_TOP_MM = 235.0
CARINA_MM = 150.0
SPINE_MM = 26.0
"""The middle of the vertebrae lies so far in front of the back of the pleural space."""

RIB_PITCH_MM = 25.0
RIB_DROP_MM = 75.0
"""From the spine to the front a rib falls by so much."""


class Point(NamedTuple):
    """A place or a shift, mm."""

    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class Chest:
    """One patient's build.

    width_mm, depth_mm : half axes of the pleural space where it is widest.
    fat_mm : of the layer below the skin.
    heart_mm : its size, 1 is usual.
    blood_hu : with or without a contrast agent.
    waves : (5, 5) how this chest differs from a textbook's: wave vectors, phases, amplitudes.
    """

    width_mm: float
    depth_mm: float
    fat_mm: float
    heart_mm: float
    blood_hu: float
    waves: tuple[tuple[float, ...], ...]
    seed: int

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Chest":
        """Return a random adult."""
        waves = np.column_stack(
            [
                rng.normal(0, 1 / 45, (5, 3)),
                rng.uniform(0, 2 * np.pi, 5),
                rng.uniform(1.0, 2.6, 5),
            ]
        )
        return cls(
            width_mm=float(rng.uniform(122, 142)),
            depth_mm=float(rng.uniform(82, 98)),
            fat_mm=float(rng.uniform(8, 28)),
            heart_mm=float(rng.uniform(0.92, 1.12)),
            blood_hu=float(rng.choice([42.0, 180.0])),
            waves=tuple(tuple(float(v) for v in wave) for wave in waves),
            seed=int(rng.integers(1 << 31)),
        )

    def place(
        self,
        rng: np.random.Generator,
        *,
        z_mm: tuple[float, float],
        depth_mm: tuple[float, float],
        away_from: Sequence[Point],
    ) -> Point | None:
        """Return a random place in a lung, so deep below its surface; None where there is none."""
        for _ in range(4000):
            x, y = rng.uniform(-self.width_mm, self.width_mm), rng.uniform(-90.0, 90.0)
            point = Point(float(x), float(y), float(rng.uniform(*z_mm)))
            near_hilum = abs(point.x) < 62 and abs(point.y) < 45
            if near_hilum or any(np.linalg.norm(np.subtract(point, p)) < 25 for p in away_from):
                continue
            depth = -float(self.lungs(*(np.full(1, v, np.float32) for v in point))[0])
            if depth_mm[0] <= depth <= depth_mm[1]:
                return point
        return None

    def lungs(self, x: Field, y: Field, z: Field) -> Field:
        """Return the distance to the surface of the nearer lung."""
        x, y = self._warped(x, y, z)
        return np.maximum(self._pleural_space(x, y, z), -self._between_lungs(x, y, z))

    def tissues(self, x: Field, y: Field, z: float) -> dict[str, Field]:
        """Return the distance to each tissue on the plane at height `z`.

        `pleura` is the space that lungs and mediastinum share, `couch` the surface of the table,
        positive above it.
        """
        plane = np.full_like(x, z)
        u, v = self._warped(x, y, plane)
        wall = self._wall(u, v, z)
        pleura = self._pleural_space(u, v, plane)
        between = self._between_lungs(u, v, plane)
        spine_y = self.depth_mm - SPINE_MM
        return {
            "body": wall - (24 + self.fat_mm),
            "below_skin": wall - (22 + self.fat_mm),
            "muscle": wall - 22,
            "pleura": pleura,
            "lungs": np.maximum(pleura, -between),
            "heart": self._heart(u, v, plane),
            "aorta": self._aorta(u, v),
            "great_vessels": self._great_vessels(u, v, z),
            "trachea": np.hypot(u + 2, v - 12) - (8.5 if z > CARINA_MM else -50),
            "liver": self._domes(u, v, plane),
            "vertebra": np.hypot(u, (v - spine_y) * 1.15) - (17 + 1.5 * np.cos(z / 25 * 2 * np.pi)),
            "canal": np.hypot(u, v - spine_y - 24) - 9,
            "arch": np.hypot(u / 2.2, v - spine_y - 30) - 13,
            "sternum": np.maximum(np.abs(u) - 17, np.abs(v + self.depth_mm + 9) - 6),
            "ribs": self._ribs(u, v, wall, z),
            "couch": (self.depth_mm + 44 + self.fat_mm) - x**2 / 900 - y,
        }

    def _warped(self, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
        """Move each place a little: no chest is an ellipse."""
        du, dv = np.zeros_like(x), np.zeros_like(y)
        for kx, ky, kz, phase, amplitude in self.waves:
            wave = np.asarray(kx * x + ky * y + kz * z + phase, dtype=np.float32)
            du += amplitude * np.sin(wave)
            dv += amplitude * np.cos(wave)
        return x + du, y + dv

    def _wall(self, x: Field, y: Field, z: float) -> Field:
        """Distance to the inner chest wall; its section shrinks towards the top of the lungs."""
        narrow = 1 - 0.32 * min(max((z - 120) / 115, 0.0), 1.0) ** 2
        return _squared_oval(x, y, self.width_mm * narrow, self.depth_mm * narrow)

    def _pleural_space(self, x: Field, y: Field, z: Field) -> Field:
        narrow = 1 - 0.32 * np.clip((z - 120) / 115, 0, 1) ** 2
        wall = _squared_oval(x, y, self.width_mm * narrow, self.depth_mm * narrow)
        apex = _ellipsoid(x / 1.25, y, z, Point(0, 0, 90), Point(105, 105, LUNG_TOP_MM - 90))
        return np.maximum(wall, np.where(z > 90, apex, -50.0)).astype(np.float32)

    def _between_lungs(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to what lies between and below the lungs: mediastinum, spine, diaphragm."""
        column = np.hypot(x / 0.62, (y + 10) / 1.25) - 44
        spine = np.hypot(x, y - self.depth_mm + SPINE_MM) - 20
        behind = np.hypot(x / 1.1, y - self.depth_mm - 2) - 24
        spine = _merged(spine, behind, 9)
        front = np.hypot(x / 0.35, y + self.depth_mm) - 42
        column = _merged(_merged(column, spine, 9), self._aorta(x, y) - 2, 5)
        solid = _merged(column, self._heart(x, y, z) - 4, 9)
        return _merged(_merged(solid, front, 9), self._domes(x, y, z) - 3, 5)

    def _heart(self, x: Field, y: Field, z: Field) -> Field:
        size = self.heart_mm
        return _ellipsoid(
            x - 0.25 * (y + 30), y, z, Point(24, -30, 62), Point(62 * size, 50 * size, 52 * size)
        )

    def _aorta(self, x: Field, y: Field) -> Field:
        """Distance to the descending aorta."""
        return np.asarray(np.hypot(x - 24, y - (self.depth_mm - SPINE_MM - 20)) - 12)

    def _domes(self, x: Field, y: Field, z: Field) -> Field:
        right = _ellipsoid(x, y, z, Point(-68, 8, -42), Point(82, 92, 88))
        left = _ellipsoid(x, y, z, Point(72, 8, -52), Point(76, 88, 84))
        return np.asarray(np.minimum(right, left))

    @staticmethod
    def _great_vessels(x: Field, y: Field, z: float) -> Field:
        if z > 195:
            return np.asarray(np.minimum(np.hypot(x - 12, y + 8) - 6, np.hypot(x + 16, y + 14) - 7))
        ascending = np.hypot(x + 14, y + 34) - 16
        pulmonary = np.hypot(x - 14, y + 38) - 14
        cava = np.hypot(x + 30, y + 18) - 9
        return np.asarray(np.minimum(np.minimum(ascending, pulmonary), cava))

    def _ribs(self, x: Field, y: Field, wall: Field, z: float) -> Field:
        """Distance to the nearest rib: an oval bar that falls from the spine to the front."""
        sine = y / np.maximum(np.hypot(x, y), 1.0)
        fall = RIB_DROP_MM * (1 - sine) / 2
        lowest = z + fall + 20  # height of this place on the back
        between = (lowest + RIB_PITCH_MM / 2) % RIB_PITCH_MM - RIB_PITCH_MM / 2
        across = np.hypot(between / 1.5, wall - 7) - 4.2
        behind = sine > -0.93  # in front is cartilage and the sternum
        return np.where(behind, across, 20.0).astype(np.float32)


def _squared_oval(x: Field, y: Field, a: Field | float, b: Field | float) -> Field:
    """Return the distance along the ray from the middle to a superellipse of power 2.4."""
    radius = np.maximum(np.hypot(x, y), 1e-3)
    ratio = (np.abs(x / a) ** 2.4 + np.abs(y / b) ** 2.4) ** (1 / 2.4)
    return np.asarray(radius * (1 - 1 / np.maximum(ratio, 1e-3)), dtype=np.float32)


def _ellipsoid(x: Field, y: Field, z: Field, centre: Point, axes: Point) -> Field:
    dx, dy, dz = x - centre.x, y - centre.y, z - centre.z
    ratio = np.sqrt((dx / axes.x) ** 2 + (dy / axes.y) ** 2 + (dz / axes.z) ** 2)
    length = np.sqrt(dx**2 + dy**2 + dz**2)
    return np.asarray(length * (1 - 1 / np.maximum(ratio, 1e-3)), dtype=np.float32)


def _merged(a: Field, b: Field, round_mm: float) -> Field:
    """Return the union of two bodies with a fillet (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / round_mm, 0, 1)
    return np.asarray(b + (a - b) * h - round_mm * h * (1 - h), dtype=np.float32)
