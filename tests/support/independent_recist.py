"""Independent recomputation of RECIST 1.1 target-lesion response, one lesion a patient.

Clauses are those of Eisenhauer et al., Eur J Cancer 2009;45:228-247. Only the target response
(4.3.1) is judged: non-target and new lesions (4.3.3, 4.3.5) are not in the data, so a CR here is
a CR of the target, no overall one. The data do not mark lymph nodes (4.3.2: short axis, CR below
10 mm): every lesion is read as non-nodal. Lesions below 5 mm count as recorded (4.3.2; the 5 mm
default is for the reader who cannot measure). A baseline older than 4 weeks (3.2.1) still counts.
"""

import csv
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

NO_BASELINE = "no comparison yet"
UNEXPLAINED = "UNEXPLAINED"
Reading = tuple[Fraction, Fraction]  # days since the start of treatment, longest diameter in mm
Judged = dict[str, list[tuple[int, str]]]


def patients(path: str | Path) -> dict[str, list[Reading]]:
    """Read every patient's visits, by day; the sort is stable, so equal days keep file order."""
    found: dict[str, list[Reading]] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            reading = (Fraction(row["T_days"]), Fraction(row["Lesion_diam"]))
            found.setdefault(row["Pt_hashID"], []).append(reading)
    return {name: sorted(visits, key=lambda visit: visit[0]) for name, visits in found.items()}


def baseline_of(visits: list[Reading]) -> int | None:
    """Give the index of the last reading at or before day 0 (4.2), None without one."""
    before = [index for index, (day, _) in enumerate(visits) if day <= 0]
    return before[-1] if before else None


def grown(size: Fraction, nadir: Fraction) -> bool:
    """Tell whether 4.3.1 PD holds: >= 20 % and >= 5 mm up; at nadir 0 mm the 5 mm decide."""
    return size >= nadir * Fraction(6, 5) and size - nadir >= 5


def shrunk(size: Fraction, base: Fraction) -> bool:
    """Tell whether 4.3.1 PR holds: at least 30 % below the baseline, inclusive."""
    return size <= base * Fraction(7, 10)


def judge(sizes: list[Fraction]) -> str:
    """Judge one visit by RECIST 1.1.

    Parameters
    ----------
    sizes
        Diameters from the baseline to the visit that is judged, both included.
    """
    base, size = sizes[0], sizes[-1]
    if base < 10:  # 3.1.1: not measurable, so no target lesion (4.2)
        return "NE"
    if size == 0:  # 4.3.1: the target is gone
        return "CR"
    # Open: a target back after a CR, but below 5 mm, fails the letter of 4.3.1. Common reading
    # (the paper's FAQ appendix, EORTC FAQ): back right after a CR is PD at any size.
    if sizes[-2] == 0:
        return "PD"
    # The order is open in the paper's words. Common reading: 4.3.1 measures PD from the nadir,
    # even far below the baseline, and EORTC adds that a PR goes on "unless" PD is met: PD first.
    if grown(size, min(sizes[:-1])):
        return "PD"
    # Open: EORTC lets a confirmed PR go on above -30 %; the letter, each visit alone: SD.
    return "PR" if shrunk(size, base) else "SD"


def by_visit(path: str | Path, rule: Callable[[list[Fraction]], list[str]]) -> Judged:
    """Give (index, category) of each visit after the baseline, by patient.

    Parameters
    ----------
    rule
        Takes the diameters from the baseline on; gives a category to each after the first.
    """
    found: Judged = {}
    for name, visits in patients(path).items():
        start = baseline_of(visits)
        if start is None:
            found[name] = [(index, NO_BASELINE) for index in range(len(visits))]
        else:
            sizes = [size for _, size in visits[start:]]
            found[name] = list(enumerate(rule(sizes), start + 1))
    return found


def categories(path: str | Path) -> Judged:
    """Give the RECIST 1.1 category of each visit after the baseline."""
    return by_visit(path, lambda sizes: [judge(sizes[:n]) for n in range(2, len(sizes) + 1)])


def naive(path: str | Path, pd_first: bool = False) -> Judged:
    """Give the same by the simpler rule: no CR, no NE; PR before PD unless `pd_first`."""

    def rule(sizes: list[Fraction]) -> list[str]:
        base = nadir = sizes[0]
        kinds = []
        for size in sizes[1:]:
            more, less = grown(size, nadir), shrunk(size, base)
            kinds.append("PD" if more and (pd_first or not less) else "PR" if less else "SD")
            nadir = min(nadir, size)
        return kinds

    return by_visit(path, rule)


def clause(pair: tuple[str, str], sizes: list[Fraction]) -> str:
    """Name the clause that makes (RECIST, naive) differ; checked on the sizes, not assumed."""
    base, size, nadir = sizes[0], sizes[-1], min(sizes[:-1])
    if pair[0] == "NE" and base < 10:
        return "3.1.1 baseline below 10 mm is no target"
    if pair == ("CR", "PR") and size == 0:
        return "4.3.1 CR: the target is gone"
    if pair == ("PD", "PR") and grown(size, nadir) and shrunk(size, base):
        return "4.3.1 PD counts from the nadir, before PR"
    small = pair[0] == "PD" and size > 0 and sizes[-2] == 0 and not grown(size, nadir)
    return "FAQ appendix: back after CR, below 5 mm" if small else UNEXPLAINED


def table(hits: list[tuple[str, str]]) -> None:
    """Print visits and patients by label; `hits` holds (label, patient), one a visit."""
    for label, visits in sorted(Counter(label for label, _ in hits).items()):
        names = {name for other, name in hits if other == label}
        print(f"  {label:<58}{visits:>6} visits{len(names):>6} patients")


def main() -> None:
    """Print the categories and every difference to the naive rule, by clause."""
    path = sys.argv[1]
    recist = categories(path)
    rules = [("RECIST 1.1", recist), ("naive (PR first)", naive(path))]
    for title, rule in [*rules, ("naive (PD first)", naive(path, pd_first=True))]:
        print(f"{title}: {sum(map(len, rule.values()))} visits of {len(rule)} patients")
        table([(kind, name) for name, kinds in rule.items() for _, kind in kinds])
        whys: list[tuple[str, str]] = []
        for name, visits in patients(path).items():
            sizes = [size for _, size in visits]
            for (index, kind), other in zip(recist[name], rule[name], strict=True):
                if (index, kind) != other:
                    why = clause((kind, other[1]), sizes[baseline_of(visits) : index + 1])
                    whys.append((f"{kind}, not {other[1]}: {why}", name))
        if rule is not recist:
            missing = sum(UNEXPLAINED in why for why, _ in whys)
            print(f" differs in {len(whys)} visits, {missing} of them unexplained; by clause:")
            table(whys)


if __name__ == "__main__":
    main()
