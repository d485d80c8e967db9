"""Frames that end whoever looks at them: those behind them are looked at all the same."""

from pathlib import Path

import numpy as np
import pytest
from support.bench import opened
from support.phantoms import chest_hu, dataset, part10
from support.publishing import feed
from support.stack import eventually

from stream.strikes import MOST
from wire.dead_letters import DeadLetter
from wire.errors import Reason

SABOTAGE = Path(__file__).with_name("sabotage.py")
DEADLY, SLICES, SIZE = (3, 5), 8, 128
"""Two of one batch: who has passed the first one comes to the second."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


def slices(folder):
    """Write a series of which some slices hold something brighter than the engine's window."""
    folder.mkdir()
    for number in range(SLICES):
        pixels = chest_hu(2, size=SIZE) + np.int16(number)
        if number in DEADLY:
            y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
            pixels[(x - 0.2) ** 2 + (y - 0.05) ** 2 < 0.04**2] = 3000
        file = dataset(pixels, SOPInstanceUID=f"1.2.{number}", InstanceNumber=number + 1)
        (folder / f"{number}.dcm").write_bytes(part10(file))
    return folder


def test_frames_that_kill_workers_are_set_aside(bench):
    bench.programs["scoring"] = (SABOTAGE, "faulty-engine")
    with opened(bench):
        cell = bench.cell()
        (cell.stack.folder / "home/engine-fault").write_text("dies")
        cell.begin("scoring")
        cell.stack.wait_for_members("scoring", 1)
        cell.keep("scoring")
        feed(cell.stack, slices(bench.folder / "scans"))
        findings = cell.stack.answered(SLICES, within_s=120)
        failed = {f.sop_instance_uid for f in findings if f.reason is Reason.ENGINE_FAILED}
        assert failed == {f"1.2.{number}" for number in DEADLY}
        assert len({f.frame_id for f in findings if f.status == "scored"}) == SLICES - len(DEADLY)
        assert len(cell.ended) == MOST * len(DEADLY), "three for each, however they lie"
        letters = cell.stack.dead_letters
        eventually(lambda: len(letters()) >= len(DEADLY), within_s=10, what="dead letters")
        for letter in letters():
            said = DeadLetter.of(letter.key, letter.value, letter.headers)
            assert (said.attempts, said.reason) == (MOST, "engine-failed")
            assert said.value, "it can be replayed"
