"""RECIST 1.1 as tables: Eisenhauer et al., Eur J Cancer 2009;45:228-247.

Pure: diameters in, categories out, each with the clause it rests on. Lymph nodes are not known
here: all lesions are measured by their longest diameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Literal

from wire.assessment import Response

MEASURABLE_MM = 10.0
"""Clause 3.1.1, by CT with slices of at most 5 mm."""

TARGETS, TARGETS_PER_ORGAN = 5, 2
"""Clause 3.2.2."""

TOO_SMALL_MM = 5.0
"""Clause 4.3.2: given to a target that is there, and too small to measure."""

Target = Literal["CR", "PR", "SD", "PD", "NE", "none"]
NonTarget = Literal["CR", "non-CR/non-PD", "PD", "NE", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of overall responses; a set of values matches any of them."""

    target: frozenset[Target]
    non_target: frozenset[NonTarget]
    new: bool | None
    overall: Response
    clause: str


def _row(target: str, non_target: str, new: bool | None, overall: Response, clause: str) -> Row:
    every_target: tuple[Target, ...] = ("CR", "PR", "SD", "PD", "NE", "none")
    every_other: tuple[NonTarget, ...] = ("CR", "non-CR/non-PD", "PD", "NE", "none")
    return Row(
        frozenset(t for t in every_target if target == "any" or t in target.split()),
        frozenset(n for n in every_other if non_target == "any" or n in non_target.split()),
        new,
        overall,
        clause,
    )


OVERALL = (
    _row("any", "any", True, "PD", "4.3.5: a new lesion, confirmed, is progression"),
    _row("PD", "any", None, "PD", "table 1: target lesions progress"),
    _row("any", "PD", None, "PD", "table 1: non-target lesions progress"),
    _row("CR", "CR none", None, "CR", "table 1: all lesions are gone"),
    _row("CR", "non-CR/non-PD NE", None, "PR", "table 1: targets are gone, others are not"),
    _row("PR", "any", None, "PR", "table 1: targets respond, nothing progresses"),
    _row("SD", "any", None, "SD", "table 1: targets are stable, nothing progresses"),
    _row("NE", "any", None, "NE", "table 1: not all targets were evaluated"),
    _row("none", "CR", None, "CR", "table 2: non-target disease alone, and it is gone"),
    _row("none", "non-CR/non-PD", None, "non-CR/non-PD", "table 2: non-target disease alone"),
    _row("none", "NE none", None, "NE", "table 2: nothing to evaluate"),
)
"""Tables 1 and 2; the first row that matches counts."""


def overall(target: Target, non_target: NonTarget, *, new: bool) -> tuple[Response, str]:
    """Return the overall response at one time point, and its clause.

    Parameters
    ----------
    new : whether a new lesion was confirmed; a suspected one is none yet.
    """
    row = next(
        row
        for row in OVERALL
        if target in row.target and non_target in row.non_target and row.new in (None, new)
    )
    return row.overall, row.clause


def target_response(
    baseline_mm: float, earlier_mm: Sequence[float], sizes_mm: Sequence[float | None]
) -> tuple[Target, str]:
    """Judge the sum of the target lesions' diameters.

    Parameters
    ----------
    baseline_mm : sum at baseline, mm.
    earlier_mm : sums since, up to the study before; those that could not be evaluated left out.
    sizes_mm : of each target now; None where it could not be evaluated. What the others come to
        may be progression even so.
    """
    nadir_mm = min([baseline_mm, *earlier_mm])
    known = [size for size in sizes_mm if size is not None]
    now_mm = sum(known)
    whole = len(known) == len(sizes_mm)
    if whole and now_mm == 0:
        return "CR", "4.3.1: all target lesions are gone"
    if not whole and not _progresses(nadir_mm, now_mm):
        return "NE", "4.4.2: a target lesion was not evaluated"
    if nadir_mm == 0:
        return "PD", "4.3.1: target lesions are back after they were gone"
    if _progresses(nadir_mm, now_mm):
        return "PD", f"4.3.1: {_change(now_mm, nadir_mm)} of the least sum of {nadir_mm:.1f} mm"
    if _at_least(0.7 * baseline_mm, now_mm):
        return "PR", f"4.3.1: {_change(now_mm, baseline_mm)} of the sum at baseline"
    return "SD", (
        f"4.3.1: {_change(now_mm, baseline_mm)} of the sum at baseline, "
        f"{_change(now_mm, nadir_mm)} of the least"
    )


def choose_targets(diameters_mm: Sequence[float]) -> tuple[int, ...]:
    """Return the indexes of the target lesions among those of one organ: the largest measurable."""
    order = sorted(range(len(diameters_mm)), key=lambda index: (-diameters_mm[index], index))
    measurable = [index for index in order if _at_least(diameters_mm[index], MEASURABLE_MM)]
    return tuple(measurable[: min(TARGETS, TARGETS_PER_ORGAN)])


def grew_unequivocally(nadir_mm: float, now_mm: float) -> bool:
    """Tell whether one lesion's growth is what 20 % and 5 mm are for a sum of targets.

    Clause 4.3.4, for a patient with non-measurable disease alone: growth comparable to what is
    progression of measurable disease. The lesion must have become measurable.
    """
    return _at_least(now_mm, MEASURABLE_MM) and _progresses(nadir_mm, now_mm)


def _progresses(nadir_mm: float, now_mm: float) -> bool:
    """Tell whether 20 % and 5 mm are reached."""
    return _at_least(now_mm, 1.2 * nadir_mm) and _at_least(now_mm - nadir_mm, 5.0)


def _at_least(value: float, limit: float) -> bool:
    """Compare as on paper: 12 mm is 20 % over 10 mm, whatever binary fractions make of it."""
    return value > limit or isclose(value, limit, rel_tol=1e-9, abs_tol=1e-9)


def _change(now_mm: float, then_mm: float) -> str:
    grown = f"{now_mm - then_mm:+.1f} mm"
    return f"{(now_mm / then_mm - 1):+.0%} ({grown})" if then_mm else grown
