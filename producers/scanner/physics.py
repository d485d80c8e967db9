"""From a chest to a slice in HU: partial volume, the blur of a kernel, the noise of the rays.

Organs are smooth: their distances are asked on a coarse grid, above and below the slice's middle,
and become the share of each pixel's volume that they fill. Branches and lesions are not: they are
averaged over `PLANES` thin planes across the slice, branches drawn on a finer canvas.

Noise: filtered back projection leaves noise whose power grows with the frequency and is cut by
the kernel (Riederer et al., Phys. Med. Biol. 23, 1978), more of it where rays crossed more body.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from producers.scanner.anatomy import Chest, Field, Point
from producers.scanner.course import SLICE_MM, Lesion
from producers.scanner.vessels import Lungs, Tree

SIZE = 512
SPACING_MM = 0.703125
PLANES = 3
COARSE = 4
FINE = 4
"""Sub-pixels of the canvas on which branches are drawn, along each axis."""

BLUR_MM = 0.55
NOISE_HU = 20.0
"""Standard deviation in the middle of the body; docs/simulator.md compares."""

KERNEL_CUT = 0.21
"""Frequency, in cycles a pixel, at which the kernel of soft tissue has cut noise to 1/e."""

AIR, LUNG, FAT, MUSCLE, ORGAN = -1000.0, -885.0, -100.0, 55.0, 58.0
MARROW, CORTEX, WALL, COUCH, CORD = 190.0, 620.0, -20.0, -100.0, 20.0
AIRWAY_WALL = 0.28
"""Thickness of an airway's wall, of its radius."""

OUTSIDE = -1024.0
"""Where nothing was reconstructed: outside the circle of the field of view."""

COUCH_MM = 2.5

LOBULES_HU = 22.0
"""Standard deviation of the lung's own texture, of what is too small to be drawn."""


_AXIS = np.arange(SIZE) - (SIZE - 1) / 2
_OUTSIDE = np.hypot(_AXIS[:, None], _AXIS[None, :]) > SIZE / 2


@dataclass(frozen=True, slots=True)
class Slice:
    """One reconstructed slice.

    hu : (512, 512) float32.
    covered : for each lesion, (512, 512) the share of each pixel it covers, in [0, 1].
    """

    hu: Field
    covered: tuple[Field, ...]


def pixel_mm(index: NDArray[np.floating[Any]] | float) -> NDArray[np.floating[Any]] | float:
    """Return where the centre of a column or row lies, mm from the middle of the image."""
    return (index - (SIZE - 1) / 2) * SPACING_MM


def render(
    chest: Chest,
    lungs: Lungs,
    lesions: tuple[Lesion, ...],
    *,
    z_mm: float,
    offset: Point,
    rng: np.random.Generator,
) -> Slice:
    """Return the slice whose middle is at height `z_mm` of the scanner.

    Parameters
    ----------
    offset : of the patient in the scanner, mm.
    rng : of the noise.
    """
    z = z_mm - offset.z
    planes = [z + ((plane + 0.5) / PLANES - 0.5) * SLICE_MM for plane in range(PLANES)]
    hu, inside = _organs(chest, z, offset)
    for tree, value, wall, where in (
        (lungs.vessels, chest.blood_hu, 0.0, inside["lungs"]),
        (lungs.airways, WALL, AIRWAY_WALL, 1 - inside["heart"]),
        (lungs.airways, AIR, 0.0, 1 - inside["heart"]),
    ):
        _blend(hu, _mean([_drawn(tree, plane, offset, wall) for plane in planes]) * where, value)
    _blend(hu, inside["trachea"], AIR)
    covered = tuple(
        _mean([_lesion(lesion, plane, offset) for plane in planes]) * inside["pleura"]
        for lesion in lesions
    )
    for lesion, share in zip(lesions, covered, strict=True):
        hu += share * np.maximum(lesion.density_hu - hu, 0)
    hu += _lobules(hu, rng)
    hu = np.asarray(cv2.GaussianBlur(hu, (0, 0), BLUR_MM / SPACING_MM), dtype=np.float32)
    hu += _noise(hu, rng)
    hu[_OUTSIDE] = OUTSIDE
    return Slice(hu, covered)


def _organs(chest: Chest, z: float, offset: Point) -> tuple[Field, dict[str, Field]]:
    """Return the slice without what is small, and the share of each pixel in some organs."""
    step = SPACING_MM * COARSE
    axis = (np.arange(SIZE // COARSE, dtype=np.float32) - (SIZE // COARSE - 1) / 2) * step
    y, x = np.meshgrid(axis - offset.y, axis - offset.x, indexing="ij")
    below, above = (chest.tissues(x, y, z + side * SLICE_MM / 2) for side in (-1, 1))
    table = _enlarged(below.pop("couch"))
    inside = {
        name: _share((distance + above[name]) / 2, np.abs(distance - above[name]))
        for name, distance in below.items()
    }
    hu = np.full((SIZE, SIZE), AIR, dtype=np.float32)
    _blend(hu, _covered(table - COUCH_MM) - _covered(table), COUCH)
    _blend(hu, inside["body"], MUSCLE)
    _blend(hu, inside["below_skin"], FAT)
    _blend(hu, inside["muscle"], MUSCLE)
    _blend(hu, inside["pleura"], FAT)
    for name in ("heart", "aorta", "great_vessels"):
        _blend(hu, inside[name] * inside["pleura"], chest.blood_hu)
    _blend(hu, inside["liver"] * inside["pleura"], ORGAN)
    for name, value in (
        ("arch", MARROW),
        ("vertebra", MARROW),
        ("canal", CORD),
        ("sternum", MARROW),
        ("ribs", CORTEX),
    ):
        _blend(hu, inside[name], value)
    rows = pixel_mm(np.arange(SIZE, dtype=np.float32))
    weight = np.asarray(LUNG + 0.35 * (rows - offset.y), dtype=np.float32)[:, None]
    hu += inside["lungs"] * (weight - hu)
    return hu, inside


def _mean(shares: list[Field]) -> Field:
    return np.asarray(sum(shares) / len(shares), dtype=np.float32)


def _blend(hu: Field, share: Field, value: float) -> None:
    hu += share * (value - hu)


def _enlarged(distance: Field) -> Field:
    return np.asarray(
        cv2.resize(distance, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), dtype=np.float32
    )


def _covered(distance: Field) -> Field:
    """Return the share of a pixel that lies inside, of the distance of its centre."""
    return np.asarray(np.clip(0.5 - distance / SPACING_MM, 0, 1))


def _share(distance: Field, slope: Field) -> Field:
    """Return the share of each pixel's volume inside, of coarse distances.

    slope : by how much the distance changes across the thickness of the slice, mm.
    """
    edges = distance / (SPACING_MM + slope)
    return np.asarray(np.clip(0.5 - _enlarged(edges.astype(np.float32)), 0, 1))


def _drawn(tree: Tree, z: float, offset: Point, wall: float = 0.0) -> Field:
    """Return the share of each pixel that branches cover where they cross the plane.

    wall : thickness of their wall, of their radius.
    """
    radius = tree.radius * (1 + wall)
    low = np.minimum(tree.start[:, 2], tree.end[:, 2]) - radius
    high = np.maximum(tree.start[:, 2], tree.end[:, 2]) + radius
    near = (low < z) & (z < high)
    canvas = np.zeros((SIZE * FINE, SIZE * FINE), dtype=np.uint8)
    for line in zip(*_cut(tree.start[near], tree.end[near], radius[near], z), strict=True):
        _line(canvas, *line, offset)
    small = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32) / 255


def _cut(
    start: NDArray[np.floating[Any]],
    end: NDArray[np.floating[Any]],
    radius: NDArray[np.floating[Any]],
    z: float,
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Return (from, to, half width) of what the plane at `z` shows of each branch.

    The part of its axis that is within a radius of the plane; as wide as the branch is there.
    """
    rise = end[:, 2] - start[:, 2]
    flat = np.abs(rise) < 1e-3
    safe = np.where(flat, 1.0, rise)
    t = np.sort(np.stack([(z - radius - start[:, 2]) / safe, (z + radius - start[:, 2]) / safe]), 0)
    first = np.where(flat, 0.0, np.clip(t[0], 0, 1))[:, None]
    last = np.where(flat, 1.0, np.clip(t[1], 0, 1))[:, None]
    a, b = start + first * (end - start), start + last * (end - start)
    away = np.abs((a[:, 2] + b[:, 2]) / 2 - z)
    # What is seen ends where the surface leaves the plane, half a radius before the axis does.
    steep = np.abs(rise) / np.maximum(np.linalg.norm(end - start, axis=1), 1e-6)
    middle, half = (a + b) / 2, (b - a) / 2 * (1 - 0.5 * steep)[:, None]
    width = np.sqrt(np.maximum(radius**2 - away**2, 0))
    return middle - half, middle + half, width


def _line(
    canvas: NDArray[np.uint8],
    start: NDArray[np.floating[Any]],
    end: NDArray[np.floating[Any]],
    half_width: np.float32,
    offset: Point,
) -> None:
    thick = round(2 * float(half_width) / SPACING_MM * FINE)
    if thick < 1:
        return
    to_canvas = FINE / SPACING_MM
    middle = (SIZE * FINE - 1) / 2
    ends = [
        (
            round((float(p[0]) + offset.x) * to_canvas + middle),
            round((float(p[1]) + offset.y) * to_canvas + middle),
        )
        for p in (start, end)
    ]
    cv2.line(canvas, ends[0], ends[1], 255, thickness=thick)


def _lesion(lesion: Lesion, z: float, offset: Point) -> Field:
    """Return the share of each pixel that a lesion covers on the plane at `z`."""
    share = np.zeros((SIZE, SIZE), dtype=np.float32)
    reach = lesion.diameter_mm * 0.75 + 2
    if abs(z - lesion.centre.z) > reach:
        return share
    box = [
        slice(
            max(0, int((at - reach) / SPACING_MM + SIZE / 2)),
            min(SIZE, int((at + reach) / SPACING_MM + SIZE / 2) + 2),
        )
        for at in (lesion.centre.y + offset.y, lesion.centre.x + offset.x)
    ]
    rows, columns = (
        np.asarray(pixel_mm(np.arange(part.start, part.stop, dtype=np.float32))) for part in box
    )
    y, x = np.meshgrid(
        rows - offset.y - lesion.centre.y, columns - offset.x - lesion.centre.x, indexing="ij"
    )
    dz = z - lesion.centre.z
    r = np.sqrt(x**2 + y**2 + dz**2)
    azimuth, polar = np.arctan2(y, x), np.arctan2(dz, np.hypot(x, y))
    lobes = np.ones_like(r)
    for number, (height, a, b, c) in enumerate(lesion.outline, start=2):
        lobes += height * np.sin(number * azimuth + a) * np.cos(polar * (number - 1) + b + c)
    share[box[0], box[1]] = _covered(r - lesion.diameter_mm / 2 * lobes)
    return share


def _lobules(hu: Field, rng: np.random.Generator) -> Field:
    """Return the texture of the lung itself, in HU, where lung is."""
    white = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    texture = cv2.GaussianBlur(white, (0, 0), 1.6)
    texture *= LOBULES_HU / texture.std()
    return np.asarray(texture * ((hu > -980) & (hu < -750)), dtype=np.float32)


def _noise(hu: Field, rng: np.random.Generator) -> Field:
    """Return noise in HU with the texture of filtered back projection."""
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :]
    f = np.hypot(fx, fy)
    amplitude = np.sqrt(f * np.exp(-2 * (f / KERNEL_CUT) ** 2))
    white = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(SIZE, SIZE))
    noise *= NOISE_HU / noise.std()
    small = np.asarray(cv2.resize(hu, (64, 64), interpolation=cv2.INTER_AREA))
    solid = np.asarray(small > -300, dtype=np.float32)
    body = _enlarged(np.asarray(cv2.GaussianBlur(solid, (0, 0), 6.4)))
    return np.asarray(noise * (0.55 + 0.75 * body), dtype=np.float32)
