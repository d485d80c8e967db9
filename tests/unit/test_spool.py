"""What was put into the spool is there, whatever happens to process, file and disk."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from producers.messages import Message
from producers.spool import Spool, SpoolError, SpoolFull, left_alone
from wire.topics import DEAD_LETTERS, FRAMES, STAT

MANY = 1 << 40


def message(number, size=1000):
    value = random.Random(number).randbytes(size)
    return Message(FRAMES, b"p-%d" % number, value, [("ce_id", b"id-%d" % number)])


def waiting(spool):
    return [found for _, found in spool.first(MANY)]


def test_messages_come_out_as_they_went_in_and_in_order(tmp_path):
    spool = Spool(tmp_path)
    put = [message(n) for n in range(5)]
    put.append(Message(DEAD_LETTERS, None, None, [("detail", "grün \xff".encode())]))
    put.append(Message(STAT, b"p-1", b"urgent", []))
    spool.put(put[:2])
    spool.put(put[2:])
    assert (waiting(spool), len(spool)) == (put, 7)
    assert [number for number, _ in spool.first(1500)] == [1], "at least one, not too many"
    assert [number for number, _ in spool.first(2500, skip={1})] == [2, 3]


def test_what_was_sent_is_gone_and_so_is_the_file_with_the_last_one(tmp_path):
    spool = Spool(tmp_path)
    spool.put([message(1), message(2)])
    spool.remove([1])
    assert waiting(spool) == [message(2)]
    spool.remove([2])
    assert [file.name for file in tmp_path.iterdir()] == ["spool-0.lock"]
    assert spool.size_bytes == 0
    spool.put([message(3)])
    assert waiting(spool) == [message(3)]


def test_the_next_process_goes_on_with_what_is_left_and_two_do_not_share(tmp_path):
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.put([message(1)])
    second.put([message(2)])
    assert first.path != second.path
    first.close()
    again = Spool(tmp_path)
    assert again.path == first.path
    assert waiting(again) == [message(1)]
    assert waiting(second) == [message(2)]


def test_a_spool_that_nobody_sends_is_found(tmp_path):
    spool = Spool(tmp_path)
    spool.put([message(1)])
    assert left_alone(tmp_path) == []
    spool.close()
    assert left_alone(tmp_path) == [spool.path]
    assert waiting(Spool(tmp_path)) == [message(1)], "looking did no harm"


def test_only_the_owner_may_read_it(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.put([message(1)])
    assert oct((tmp_path / "spool").stat().st_mode & 0o777) == "0o700"
    modes = {file.suffix: file.stat().st_mode & 0o077 for file in (tmp_path / "spool").iterdir()}
    assert set(modes.values()) == {0}, modes


def test_above_its_bound_it_takes_nothing_and_keeps_what_it_has(tmp_path):
    spool = Spool(tmp_path, max_bytes=400_000)
    spool.put([message(1, 200_000)])
    with pytest.raises(SpoolFull, match="400,000"):
        spool.put([message(2, 200_000)])
    spool.remove([1])
    spool.put([message(2, 200_000)])
    assert waiting(spool) == [message(2, 200_000)]


def test_on_a_full_disk_it_takes_nothing_and_keeps_what_it_has(small_disk):
    spool = Spool(small_disk)
    kept = []

    def fill():
        for number in range(100):
            spool.put([message(number, 300_000)])
            kept.append(message(number, 300_000))

    with pytest.raises(SpoolFull, match="full"):
        fill()
    assert kept
    assert waiting(spool) == kept
    spool.remove(number for number, _ in spool.first(MANY))
    spool.put([message(1)])
    assert waiting(spool) == [message(1)]


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_spool import message
from producers.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(1, 1000):
    spool.put([message(number, 3000)])
    print(number, flush=True)
    if number % 10 == 0:
        spool.remove(n for n, _ in spool.first(12_000))
"""


@pytest.fixture
def writer(tmp_path):
    """Return a process that puts messages, says the number of each, and now and then removes."""
    code = WRITER.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "spool")], stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_copy_taken_at_any_moment_opens_and_is_whole(writer, tmp_path):
    """Also what a listener finds that starts after `kill -9`."""
    chance = random.Random(1)
    for copy in range(12):
        for _ in range(chance.randrange(1, 20)):
            said = int(writer.stdout.readline())
        folder = tmp_path / f"copy-{copy}"
        shutil.copytree(tmp_path / "spool", folder)  # while the other one writes
        numbers = [int(found.key[2:]) for found in waiting(Spool(folder))]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= said, "what was put is in the copy"
    writer.kill()
    rest = writer.stdout.read().split()
    last = waiting(Spool(tmp_path / "spool"))[-1]
    assert int(last.key[2:]) >= int(rest[-1] if rest else said)


@pytest.mark.parametrize("seed", range(25))
def test_cut_off_at_any_byte_it_has_lost_only_what_stood_there(tmp_path, seed):
    chance = random.Random(seed)
    spool = Spool(tmp_path / "whole")
    ends = []
    for number in range(8):
        spool.put([message(number, 40_000)])
        ends.append(spool.size_bytes)
    spool.close()
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    log = tmp_path / "cut/spool-0.sqlite-wal"
    size = chance.randrange(log.stat().st_size)
    os.truncate(log, size)
    whole = sum(end <= size for end in ends)
    with_log = Spool(tmp_path / "cut")
    assert waiting(with_log) == [message(n, 40_000) for n in range(whole)]
    with_log.put([message(99)])  # and it goes on
    assert waiting(with_log)[-1] == message(99)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 5000, 32767, None])
def test_without_its_first_page_it_has_lost_nothing(tmp_path, size):
    spool = Spool(tmp_path)
    spool.put([message(n) for n in range(5)])
    spool.close()
    file = tmp_path / "spool-0.sqlite"
    file.unlink() if size is None else os.truncate(file, size)
    assert waiting(Spool(tmp_path)) == [message(n) for n in range(5)]


def test_a_look_with_another_sqlite_loses_nothing(tmp_path):
    """It copies the log back into the file when it closes."""
    spool = Spool(tmp_path)
    spool.put([message(n, 40_000) for n in range(3)])
    spool.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "spool-0.sqlite")) as other:
        assert other.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    assert not (tmp_path / "spool-0.sqlite-wal").exists()
    assert left_alone(tmp_path) == [spool.path]
    again = Spool(tmp_path)
    again.put([message(3)])
    again.close()
    last = Spool(tmp_path)
    assert waiting(last) == [message(n, 40_000) for n in range(3)] + [message(3)]
    last.remove(number for number, _ in last.first(MANY))
    assert left_alone(tmp_path) == []


def test_an_error_that_may_pass_gives_nothing_up(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.put([message(1)])
    spool.close()
    with monkeypatch.context() as broken:
        broken.setattr("producers.spool._SCHEMA", "")
        broken.setattr(Path, "as_uri", lambda _: "file:/nowhere/to/be/found")
        with pytest.raises(SpoolError, match="unable to open"):
            Spool(tmp_path)
    assert waiting(Spool(tmp_path)) == [message(1)]


def test_a_closed_spool_takes_nothing(tmp_path):
    spool = Spool(tmp_path)
    spool.close()
    with pytest.raises(SpoolError, match="closed"):
        spool.put([message(1)])


def test_a_spool_that_is_none_is_put_aside_and_not_lost(tmp_path):
    (tmp_path / "spool-0.sqlite-wal").write_bytes(b"no log of SQLite" * 9000)
    (tmp_path / "spool-0.sqlite").write_bytes(b"nor a file of it" * 9000)
    spool = Spool(tmp_path)
    assert waiting(spool) == []
    spool.put([message(1)])
    assert waiting(spool) == [message(1)]
