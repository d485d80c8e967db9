"""What a patient is treated with, as therapies were entered: plan, flags, limits. Pure."""

from collections.abc import Sequence
from datetime import datetime

from wire.assessment import Treatment
from wire.patient import TherapyGiven
from wire.records import Limits


def folded(word: str) -> str:
    """Return a code or flag as it is compared: "Renal " is "renal"."""
    return word.strip().casefold()


def flags_of(therapies: Sequence[TherapyGiven]) -> frozenset[str]:
    """Return what speaks against some plans: each flag from when it was entered on."""
    flags: dict[str, str] = {}
    for given in therapies:
        flags |= {folded(flag): flag for flag in given.therapy.flags}
        for flag in given.therapy.flags_withdrawn:
            flags.pop(folded(flag), None)
    return frozenset(flags.values())


def limits_of(therapies: Sequence[TherapyGiven]) -> Limits:
    """Return a patient's own limits: each as it was entered last."""
    limits = Limits()
    for given in therapies:
        limits = limits.model_copy(update=given.therapy.limits.model_dump(exclude_none=True))
    return limits


def treatment_of(therapies: Sequence[TherapyGiven], until: datetime | None) -> Treatment | None:
    """Return what a patient is treated with before a moment, or by now; None where nobody said."""
    begun = sorted(
        (given.therapy.start, given.therapy.plan)
        for given in therapies
        if given.therapy.start and given.therapy.plan
        if until is None or given.therapy.start < until
    )
    flags = flags_of(therapies)
    if not begun and not flags:
        return None
    start, plan = begun[-1] if begun else (None, None)
    return Treatment(
        plan=plan,
        start=start,
        flags=tuple(sorted(flags)),
        started={plan: start for start, plan in begun},
    )


def bounded(therapies: Sequence[TherapyGiven], most: int) -> tuple[TherapyGiven, ...]:
    """Let go of the oldest of too many, but of none whose flags or limits still hold."""
    kept = list(therapies)
    while len(kept) > most:
        holds = (flags_of(kept), limits_of(kept))
        for number in range(len(kept)):
            rest = kept[:number] + kept[number + 1 :]
            if (flags_of(rest), limits_of(rest)) == holds:
                kept = rest
                break
        else:
            break  # each of them still holds
    return tuple(kept)
