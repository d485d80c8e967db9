"""Cells in which what comes in, or the engine that looks at it, is at fault."""

import io
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pydicom
from support.bench import Bench
from support.cell import Cell
from support.damage import WAYS
from support.phantoms import chest_hu, dataset, part10
from support.stack import eventually

from wire.errors import Reason
from wire.topics import FRAMES, MAX_MESSAGE_BYTES

IMPATIENT = (Path(__file__).parents[1] / "overload.py", "impatient")
FAULTY = (Path(__file__).parents[2] / "reliability/sabotage.py", "faulty-engine")


def poison(bench: Bench) -> None:
    """Tombstones, foreign headers, broken and over-long messages among the frames."""
    cell = bench.cell()
    cell.open("scoring", "patients")
    cell.replay(30)
    cell.at_work("scoring")
    strangers = list(strange_messages(cell.random))
    for number, (value, headers) in enumerate(strangers):
        sent = time.time()
        cell.stack.publish(value, key=b"strange-%d" % number, headers=headers)
    cell.strange = len(strangers)
    cell.recovered("scoring", sent)
    cell.check()


def strange_messages(rng: random.Random) -> Iterator[tuple[bytes | None, list[tuple[str, bytes]]]]:
    """Yield value and headers of messages that are no frames; none is de-identified."""
    yield None, []
    yield b"", []
    yield b"\x89PNG\r\n\x1a\n", [("ce_time", b"0001-01-01T00:00:00+14:00")]
    yield b"\0" * 128 + b"DICM" + b"\xff" * 5000, [("ce_framenumber", b"zero"), ("ce_id", b"\xff")]
    yield bytes(MAX_MESSAGE_BYTES - 4096), []
    named = part10(dataset(chest_hu(1, size=64), PatientID="SECRET"))
    yield named, [("ce_specversion", b"0.1"), ("ce_id", b"made up"), ("ce_type", b"other")]
    multi = pydicom.dcmread(io.BytesIO(named))
    multi.NumberOfFrames = 2**31 - 1
    yield part10(multi), [("ce_framenumber", b"2147483647")]
    for way in WAYS:
        data = bytearray(named)
        way(data, rng)
        yield bytes(data), []


def engine(bench: Bench) -> None:
    """The engine answers NaN, raises, and hangs; then what it failed on is replayed."""
    bench.programs.setdefault("scoring", FAULTY)
    cell = bench.cell()
    cell.open("scoring", "patients", "watchdog")
    cell.keep("scoring")
    cell.replay(90)
    fault = cell.stack.folder / "home/engine-fault"
    for words in ("nan", "raises"):
        cell.at_work("scoring")
        enough = partial(_fails, cell, len(_failed(cell)) + 3)
        fault.write_text(words)
        eventually(enough, within_s=30, what=f"not scored while the engine {words}")
        well = time.time()
        fault.unlink()
        cell.recovered("scoring", well)
    cell.at_work("scoring")
    fault.write_text("hangs")
    hung = time.time()
    eventually(lambda: cell.ended, within_s=90, what="a worker that hangs ends itself")
    assert cell.ended == [71]
    fault.unlink()
    cell.recovered("scoring", hung)
    assert "start" in cell.technical("engine-wrong"), "the ward was told"
    eventually(lambda: cell.technical("engine-wrong")[-1] == "end", within_s=90, what="it is over")
    cell.sent()
    eventually(lambda: cell.stack.behind("scoring", FRAMES) == 0, within_s=60, what="caught up")
    replayed = cell.stack.command("dead-letters", "replay", "--reason", "engine-failed")
    assert replayed.returncode == 0, replayed.stderr
    cell.check()


def _fails(cell: Cell, than: int) -> bool:
    return len(_failed(cell)) > than


def _failed(cell: Cell) -> set[object]:
    """Return the frames on which the engine failed."""
    return {f.frame_id for f in cell.stack.findings() if f.reason is Reason.ENGINE_FAILED}


def overload(bench: Bench) -> None:
    """More comes than one worker can do: the ward is told, workers are added, order is kept."""
    bench.programs.setdefault("scoring", FAULTY)
    bench.programs["watchdog"] = IMPATIENT
    cell = bench.cell()
    (cell.stack.folder / "home/engine-fault").write_text("slow")
    cell.open("scoring", "patients", "watchdog")
    cell.replay(15)
    eventually(lambda: cell.technical("scoring-behind"), within_s=90, what="the ward is told")
    alarm = next(a for a in cell.heard("alert") if a["cause"] == "scoring-behind")
    assert "Add workers" in alarm["text"]
    added = time.time()
    for _ in range(2):
        cell.begin("scoring")
    cell.recovered("scoring", added)
    cell.check()
    eventually(
        lambda: cell.technical("scoring-behind")[-1] == "end", within_s=60, what="it is over"
    )
