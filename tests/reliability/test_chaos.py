"""Fifteen cells: each lets one kind of thing go wrong; nothing may be lost, or come twice.

`make chaos` runs all and notes what it observed, ``SEED=2`` at other moments; `make test` runs a
few. What is asserted: `support.cell`.
"""

import pytest
from support.bench import opened
from support.cells import CELLS
from support.record import note_run

SHORT = ("scoring", "patients")

pytestmark = [pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", SHORT)
def test_cell(name, bench):
    with opened(bench):
        CELLS[name](bench)


@pytest.mark.chaos
@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name, bench):
    with opened(bench):
        try:
            CELLS[name](bench)
        except BaseException as error:
            if bench.cells:
                why = {"passed": False, "why": str(error)[:300]}
                note_run(name, bench.seed, why | bench.cells[0].observed())
            raise
        note_run(name, bench.seed, {"passed": True} | bench.cells[0].observed())
