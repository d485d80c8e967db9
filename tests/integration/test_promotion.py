"""An engine is promoted and rolled back while frames come in: none is lost, none scored twice."""

from itertools import pairwise

import pytest
from support.phantoms import write_series
from support.stack import eventually

from engines.loading import CATALOGUE

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]

MODEL = CATALOGUE / "textbook-256" / "model.onnx"


def test_promote_and_roll_back_on_the_live_stream(stack, tmp_path):
    stack.worker("scoring")
    stack.wait_for_members("scoring", 1)
    assert stack.command("engines", "add", MODEL, "--name", "mine").returncode == 0
    before = _engine_of_next(stack, tmp_path, 0)
    replaying = stack.start("replay", _series(tmp_path, "long", 300), "--fps", "20")
    eventually(lambda: len(stack.findings()) > 20, within_s=30, what="findings")

    promoted = stack.command("engines", "promote", "mine")
    assert promoted.returncode == 0, promoted.stderr
    eventually(lambda: "mine" in _names(stack), within_s=30, what="the promoted engine scores")
    assert stack.command("engines", "rollback").returncode == 0
    replaying.wait(60)
    published = stack.frame_ids()
    findings = stack.answered(len(published), within_s=60)

    assert len(published) == 301
    assert sorted(str(f.frame_id) for f in findings) == sorted(published)
    assert _names(stack) == {before, "mine"}
    in_order = sorted(findings, key=lambda f: (f.frame.partition, f.frame.offset))
    assert in_order[-1].engine.name == before
    changes = sum(
        a.engine.name != b.engine.name
        for a, b in pairwise(in_order)
        if a.frame.partition == b.frame.partition
    )
    assert changes == 2


def _series(tmp_path, name, slices):
    write_series(tmp_path / name, f"P-{name}", slices=slices, seed=len(name))
    return tmp_path / name


def _names(stack):
    return {finding.engine.name for finding in stack.findings()}


def _engine_of_next(stack, tmp_path, number):
    assert stack.command("replay", _series(tmp_path, f"one-{number}", 1)).returncode == 0
    (finding,) = stack.answered(1, within_s=30)
    return finding.engine.name
