"""`local.process`: how a server is told from every other process, and what is read of its log."""

import os
import sys
from pathlib import Path

import pytest

from local import process
from local.errors import LocalError


def test_this_process_is_alive() -> None:
    me = process.find("python", _an_argument_of_mine())
    assert me is None or me.alive()


def test_a_reused_pid_is_another_process() -> None:
    stranger = process.Process(pid=os.getpid(), started_ticks=1)
    assert not stranger.alive()
    assert stranger.stop(deadline_s=0.1)  # and is not signalled: this test goes on


def test_a_process_that_is_gone_is_not_alive() -> None:
    assert not process.Process(pid=2**22 + 1, started_ticks=1).alive()


def test_a_command_line_that_only_mentions_the_argument_is_not_found(tmp_path: Path) -> None:
    argument = str(tmp_path / "redis.conf")
    reader = process.start(
        [sys.executable, "-c", "import time; time.sleep(60)", argument],
        cwd=tmp_path,
        log=tmp_path / "log",
    )
    try:
        assert process.find("redis-server", argument) is None
        assert process.find(Path(sys.executable).name, argument) == reader
        assert process.find(Path(sys.executable).name, argument[:-1]) is None
    finally:
        assert reader.stop(5)
    assert process.find(Path(sys.executable).name, argument) is None


def test_a_process_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    deaf = process.start(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "print('deaf', flush=True); time.sleep(60)",
        ],
        cwd=tmp_path,
        log=log,
    )
    assert process.until(lambda: "deaf" in log.read_text(), 10)
    assert not deaf.stop(0.2)
    assert not deaf.alive()


def test_a_missing_program_is_named_with_what_to_do() -> None:
    with pytest.raises(LocalError, match=r"`no-such-server` is missing: install it"):
        process.program("no-such-server", "install it")


def test_a_command_that_takes_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"`sleep 5` did not end within 0 s"):
        process.run(["sleep", "5"], cwd=tmp_path, timeout_s=0.1)


def test_last_lines_are_those_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    since = process.set_aside(log)
    with log.open("a") as file:
        file.write("".join(f"new {number}\n" for number in range(20)))
    assert process.last_lines(log, since, count=2) == "\n    new 18\n    new 19"
    assert "old" not in process.last_lines(log, since, count=50)


def test_a_large_log_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_bytes(b"x" * (process.LOG_MAX_BYTES + 1))
    assert process.set_aside(log) == 0
    assert not log.exists()
    assert (tmp_path / "kafka.log.1").stat().st_size == process.LOG_MAX_BYTES + 1


def _an_argument_of_mine() -> str:
    return (sys.orig_argv[1:] or [""])[0]
