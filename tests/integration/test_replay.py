"""Replay in the order and with the gaps that devices had, or in an order of chance."""

import random

import pytest
from support.phantoms import chest_hu, dataset, part10

from producers.order import shuffled
from wire.envelope import Envelope
from wire.topics import FRAMES, STAT

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]

SECONDS = (40, 0, 20, 60, 21)
"""After noon, at which the files were acquired, by name."""


def test_order_and_gaps_are_those_asked_for(stack, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, second in enumerate(SECONDS):
        ds = dataset(
            chest_hu(number, size=16),
            SOPInstanceUID=f"1.2.{number}",
            AcquisitionTime=f"12{second // 60:02}{second % 60:02}",
        )
        (scans / f"{number}.dcm").write_bytes(part10(ds))
    (scans / "readme.txt").write_bytes(b"for people")

    done = stack.command("replay", scans, "--as-acquired", "--speed", "40")
    assert done.returncode == 1, done.stderr
    assert "as acquired: 1.5 s, longest gap 0.5 s" in done.stderr
    assert "1 files without a time" in done.stderr
    sent = [Envelope.of(record.headers) for record in stack.records(FRAMES)]
    assert [e.subject for e in sent] == [f"1.2.{n}/1" for n in (1, 2, 4, 0, 3)]
    after_s = [(e.time - sent[0].time).total_seconds() for e in sent]
    due_s = [0.0, 0.5, 0.525, 1.0, 1.5]
    assert all(after >= due - 0.01 for after, due in zip(after_s, due_s, strict=True))

    done = stack.command("replay", scans, "--shuffle", "--seed", "3", "--stat")
    assert "--seed 3 gives this order again" in done.stderr
    mixed = [Envelope.of(record.headers).subject for record in stack.records(STAT)]
    files = [*range(5), None]
    expected = [f"1.2.{n}/1" for n in shuffled(files, random.Random(3)) if n is not None]
    assert mixed == expected != sorted(expected)
