"""An engine is promoted and rolled back while frames come in: none is lost, none scored twice."""

from collections import Counter
from itertools import pairwise

import pytest
from support.phantoms import write_series
from support.publishing import feed
from support.stack import eventually

from engines.loading import CATALOGUE
from wire.topics import FRAMES

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

MODEL = CATALOGUE / "textbook-256" / "model.onnx"


def test_promote_and_roll_back_on_the_live_stream(stack, tmp_path):
    """Frames of one patient, in order on one partition, flow until all has happened."""
    stack.worker("scoring")
    stack.wait_for_members("scoring", 1)
    assert stack.command("engines", "add", MODEL, "--name", "mine").returncode == 0
    write_series(tmp_path / "scans", "P1", slices=40, seed=1)
    feed(stack, tmp_path / "scans")
    before = stack.answered(1, within_s=30)[0].engine.name
    device = stack.start("replay", tmp_path / "scans", "--fps", "10", "--loop")

    promoted = stack.command("engines", "promote", "mine")
    assert promoted.returncode == 0, promoted.stderr
    eventually(lambda: _engines(stack)[-1] == "mine", within_s=60, what="the promoted one scores")
    assert stack.command("engines", "rollback").returncode == 0
    eventually(lambda: _engines(stack)[-1] == before, within_s=60, what="the old one scores")
    stack.kill(device)

    eventually(lambda: stack.unanswered() == 0, within_s=60, what="each frame is answered")
    eventually(lambda: stack.behind("scoring", FRAMES) == 0, within_s=30, what="acknowledged")
    answers = Counter((f.frame.partition, f.frame.offset) for f in stack.findings())
    assert set(answers.values()) == {1}, "scored twice"
    assert len(answers) == len(stack.frame_ids()), "invented"
    engines = _engines(stack)
    assert set(engines) == {before, "mine"}
    assert sum(a != b for a, b in pairwise(engines)) == 2
    assert len({f.frame.partition for f in stack.findings()}) == 1


def _engines(stack):
    """Return the engine that scored each frame, in the order in which frames came."""
    findings = sorted(stack.findings(), key=lambda f: (f.frame.partition, f.frame.offset))
    return [finding.engine.name for finding in findings]
