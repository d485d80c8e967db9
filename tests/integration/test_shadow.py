"""A shadow engine on the live stream: compared frame by frame, believed by nobody."""

import json
import shutil

import pytest
from support.phantoms import write_series
from support.publishing import feed
from support.stack import eventually

from engines.loading import CATALOGUE
from wire.envelope import Envelope
from wire.records import Comparison
from wire.topics import RESULTS

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]

MODEL = CATALOGUE / "textbook-256" / "model.onnx"


def test_a_shadow_is_compared_and_decides_nothing(stack, tmp_path):
    """The shadow is the same network, positive only at 1: every positive frame is disputed."""
    shutil.copyfile(MODEL, tmp_path / "strict.onnx")
    added = stack.command("engines", "add", tmp_path / "strict.onnx", "--screen", "1.0")
    assert added.returncode == 0, added.stderr
    promoted = stack.command("engines", "promote", "textbook-256")
    assert promoted.returncode == 0, promoted.stderr
    stack.start("worker", "scoring", "--shadow", "strict")
    stack.worker("patients")
    stack.wait_for_members("scoring", 1)
    write_series(tmp_path / "scans", "P1", slices=20, seed=1)
    feed(stack, tmp_path / "scans")
    findings = {str(f.frame_id): f for f in stack.answered(20, within_s=60)}

    def compared():
        kinds = [Envelope.of(r.headers).kind for r in stack.records(RESULTS)]
        return kinds.count(Comparison.kind) == 20

    eventually(compared, within_s=30, what="a comparison of each frame")
    done = stack.command("engines", "compare", "--jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 20
    assert {row["frame_id"] for row in rows} == set(findings)
    for row in rows:
        finding = findings[row["frame_id"]]
        assert row["active"]["lesion_probability"] == finding.lesion_probability
        assert row["shadow"]["lesion_probability"] == finding.lesion_probability
        assert row["shadow"]["engine"]["name"] == "strict"
        assert not row["shadow"]["positive"]
        assert row["disagree"] == ((finding.lesion_probability or 0.0) >= 0.5)
    assert {f.engine.name for f in findings.values()} == {"textbook-256"}
    disputed = sum(row["disagree"] for row in rows)
    assert disputed > 0
    table = stack.command("engines", "compare").stdout
    assert "textbook-256 0.2.0" in table
    assert table.count("1.2.") >= disputed
    (state,) = stack.settled().values()
    (series,) = state["series"].values()
    assert len(series["slices"]) == 20
