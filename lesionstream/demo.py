"""`demo`: everything at once, on this machine, with a live table of what it says."""

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pydicom
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

import local
from identity.pseudonyms import load_or_make_key
from lesionstream.console import out, say
from lesionstream.demo_view import Board, save_picture
from lesionstream.settings import settings
from producers.publisher import Publisher, PublishError
from producers.quarantine import Quarantine
from producers.replay import SOURCE, Tally, replay
from producers.sources import Source, find
from wire import topic_admin
from wire.reading import read
from wire.topics import ALERTS, RESULTS, Names

WORKERS = ("scoring", "patients")
READY_S = 90.0
DRAIN_S = 30.0
REFRESH_S = 0.5
PR_SET_PDEATHSIG = 1


def demo(data: Path | None, *, seconds: float | None, fps: float, picture: Path | None) -> int:
    """Run the demo; return 0 only if every frame published was answered."""
    folder = data or Path(pydicom.__file__).parent / "data" / "test_files"
    sources = find([folder])
    if not sources:
        say(f"no file below {folder}")
        return 2
    home = settings().home / "demo"
    names = Names(f"demo-{secrets.token_hex(4)}-")
    board = Board(str(folder))
    with ExitStack() as stack:
        kafka, redis = stack.enter_context(_servers(home))
        say("creating topics, starting workers ...")
        topic_admin.create(kafka, names)
        processes = stack.enter_context(_workers(home, kafka, redis, names))
        if not _ready(kafka, names, processes):
            say(f"the workers did not start; see {home / 'logs'}")
            return 2
        board.start()
        stop, done = threading.Event(), threading.Event()
        stack.callback(done.set)
        stack.callback(stop.set)
        for topic in (RESULTS, ALERTS):
            _in_background(_watch, kafka, names.of(topic), board, done)
        publishing = _in_background(_publish, kafka, names, sources, home, fps, board, stop)
        _show(board, processes, publishing, seconds)
        stop.set()
        publishing.join(DRAIN_S)
        _drain(board)
    if picture is not None:
        save_picture(board, picture)
    out.print(board.summary())
    return 0 if board.complete() else 1


@contextmanager
def _servers(home: Path) -> Iterator[tuple[str, str]]:
    """Yield (kafka, redis): those that are set, else fresh local ones that end with the demo."""
    wanted = settings()
    ours = wanted.kafka is None or wanted.redis is None
    if ours:
        local.down(home)
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        found = local.up(
            home,
            kafka=wanted.kafka is None,
            redis=wanted.redis is None,
            say=say,
        )
        yield str(wanted.kafka or found.kafka), str(wanted.redis or found.redis)
    finally:
        if ours:
            local.down(home)


@contextmanager
def _workers(
    home: Path, kafka: str, redis: str, names: Names
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run both workers; they end with the block, and with this process however it ends."""
    environment = os.environ | {
        "LESIONSTREAM_KAFKA": kafka,
        "LESIONSTREAM_REDIS": redis,
        "LESIONSTREAM_TOPIC_PREFIX": names.prefix,
    }
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name in WORKERS:
            with (logs / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(  # noqa: S603 - our own command
                        [sys.executable, "-m", "lesionstream", "worker", name],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        preexec_fn=_die_with_parent,
                    )
                )
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _ready(kafka: str, names: Names, processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Wait until both consumer groups have members that have their partitions."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.split(","))
    groups = [names.group(name) for name in WORKERS]
    deadline = time.monotonic() + READY_S
    try:
        while time.monotonic() < deadline and all(p.poll() is None for p in processes):
            if all(_stable(admin, group) for group in groups):
                return True
            time.sleep(REFRESH_S)
    finally:
        admin.close()
    return False


def _stable(admin: KafkaAdminClient, group: str) -> bool:
    try:
        described = admin.describe_groups([group])[group]
    except KafkaError:
        return False
    return bool(described["members"]) and described["group_state"] == "Stable"


def _in_background(target: object, *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def _watch(kafka: str, topic: str, board: Board, stop: threading.Event) -> None:
    for record in read(kafka, topic, follow=True, stop=stop.is_set):
        board.take(record)


def _publish(
    kafka: str,
    names: Names,
    sources: Sequence[Source],
    home: Path,
    fps: float,
    board: Board,
    stop: threading.Event,
) -> None:
    """Replay over and over until told to stop; the same frames keep their ids."""
    key = load_or_make_key(settings().pseudonym_key_file)
    try:
        with Publisher(kafka, names=names, source=SOURCE) as publisher:
            while not stop.is_set():
                before = board.published

                def progress(tally: Tally, before: int = before) -> None:
                    board.published = before + tally.confirmed
                    board.unusable.update(name for name, _ in tally.failed)

                replay(
                    sources,
                    publisher=publisher,
                    quarantine=Quarantine(home / "quarantine"),
                    key=key,
                    fps=fps,
                    progress=progress,
                    stop=stop.is_set,
                )
    except PublishError as error:
        board.problem = str(error)


def _show(
    board: Board,
    processes: Sequence[subprocess.Popen[bytes]],
    publishing: threading.Thread,
    seconds: float | None,
) -> None:
    """Show the board until time is up, Ctrl-C, or something ends that should not."""
    end = time.monotonic() + seconds if seconds else None
    try:
        with board.shown(out) as refresh:
            while end is None or time.monotonic() < end:
                if not publishing.is_alive() or any(p.poll() is not None for p in processes):
                    board.problem = board.problem or "a worker ended; see the logs"
                    return
                time.sleep(REFRESH_S)
                refresh()
    except KeyboardInterrupt:
        say("ending ...")


def _drain(board: Board) -> None:
    """Give the workers time to answer what was published."""
    deadline = time.monotonic() + DRAIN_S
    while not board.complete() and not board.problem and time.monotonic() < deadline:
        time.sleep(REFRESH_S)
