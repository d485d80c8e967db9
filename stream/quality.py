"""The quality gate: what a frame says of itself that makes it unfit to be scored. Pure.

Pixels that cannot be decoded, and values that are no Hounsfield units, are refused where they are
read (`wire.frame`); what the engine was not made for, by its card.
"""

from math import fsum, sqrt
from typing import Final

from wire.frame import Attributes

MOST_THICKNESS_MM: Final = 5.0
"""RECIST 1.1, 3.1.1: lesions are measured on slices of at most 5 mm."""

LEAST_AXIAL: Final = 0.9
"""Of the slice's normal along the body: engines are made for axial slices, gantries tilt to 25
degrees."""


def unfit(about: Attributes) -> str | None:
    """Return why a frame cannot be scored; None where nothing speaks against it."""
    if about.pixel_spacing_mm is None:
        return "PixelSpacing missing"
    thickness = about.slice_thickness_mm
    if thickness is not None and thickness > MOST_THICKNESS_MM:
        return f"SliceThickness is {thickness:g} mm, more than {MOST_THICKNESS_MM:g} mm"
    normal = about.normal
    if normal is None:
        return None
    length = sqrt(fsum(part * part for part in normal))
    if length < 0.5 or abs(normal[2]) / length < LEAST_AXIAL:
        return "ImageOrientationPatient: not an axial slice"
    return None
