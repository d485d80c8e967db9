"""How fast a lesion grows, and how sure a diameter is. Pure."""

from math import hypot, log
from typing import Final

from wire.assessment import Trend

ERROR_MM: Final = 2.5
ERROR_SHARE: Final = 0.15
"""Half of a diameter's 95 % interval, the larger of the two: so near the truth lie the lesions of
simulated patients that the engine sees (``python -m benchmarks.over_time`` says how many)."""

REPEAT_MM: Final = 1.5
REPEAT_SHARE: Final = 0.1
"""The same for the change of a lesion: what is wrong with its diameter is wrong in both studies."""

DAY_S = 86_400.0


def uncertainty_mm(diameter_mm: float) -> float:
    """Return the half-width of the 95 % interval of a measured longest diameter, mm."""
    return round(max(ERROR_MM, ERROR_SHARE * diameter_mm), 2)


def trend(before_mm: float, now_mm: float, *, count: int = 1) -> Trend:
    """Tell whether a diameter, or a sum of `count`, has changed beyond its uncertainty."""
    apart = hypot(_of_sum(before_mm, count), _of_sum(now_mm, count))
    if abs(now_mm - before_mm) <= apart:
        return "stable"
    return "growing" if now_mm > before_mm else "shrinking"


def doubling_time_days(before_mm: float, now_mm: float, days: float) -> float | None:
    """Return the time in which the volume doubles (negative: halves), of a sphere's diameters.

    None where the change lies within the uncertainty of the two diameters, or no time has passed.
    Schwartz, Cancer 1961;14:1272-1294: days x ln 2 / (3 ln(now / before)).
    """
    if min(before_mm, now_mm) <= 0 or days <= 0 or trend(before_mm, now_mm) == "stable":
        return None
    return round(days * log(2) / (3 * log(now_mm / before_mm)), 1)


def _of_sum(sum_mm: float, count: int) -> float:
    each = sum_mm / max(count, 1)
    return float(max(REPEAT_MM, REPEAT_SHARE * each) * max(count, 1) ** 0.5)
