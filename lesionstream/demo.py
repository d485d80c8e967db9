"""`demo`: everything at once, on this machine, with a live table of what it says."""

import json
import secrets
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import local
from identity.pseudonyms import Pseudonyms, load_or_make_key
from lesionstream import catalogue, children, endpoints
from lesionstream.console import out, say
from lesionstream.demo_view import Board, save_picture
from lesionstream.naming import open_vault
from lesionstream.settings import settings
from lesionstream.simulating import AE_TITLE
from lesionstream.surface import surface_of
from producers.naming import NameKeeper
from producers.publisher import Publisher, PublishError
from producers.quarantine import Quarantine
from producers.replay import SOURCE, Tally, replay
from producers.scanner.course import Course
from producers.scanner.device import SUCCESS
from producers.sources import Source, find
from wire import topic_admin
from wire.cluster import Cluster
from wire.groups import GroupWatch
from wire.reading import read
from wire.topics import ALERTS, INPUT, RESULTS, Names

WORKERS = ("scoring", "patients", "models")
"""Nobody sends urgent series here: nothing waits for a worker of theirs."""

MONITOR = ["monitor", "--demo", "--port", "0"]
LISTEN = ["listen", "--host", "127.0.0.1", "--port", "0", "--allow", AE_TITLE]
Processes = dict[str, subprocess.Popen[bytes]]

READY_S = 90.0
DRAIN_S = 30.0
REFRESH_S = 0.5


@dataclass(frozen=True, slots=True)
class Stack:
    """The demo's own stack: where it is, and where it keeps what."""

    kafka: Cluster
    redis: str  # its URL
    names: Names
    home: Path

    def environment(self) -> dict[str, str]:
        """Return what makes a command work on this stack."""
        return {
            "LESIONSTREAM_KAFKA": str(self.kafka),
            "LESIONSTREAM_REDIS": self.redis,
            "LESIONSTREAM_TOPIC_PREFIX": self.names.prefix,
            "LESIONSTREAM_HTTP": "127.0.0.1:0",
        }


def demo(data: Path | None, *, seconds: float | None, fps: float, picture: Path | None) -> int:
    """Run the demo; return 0 only if every frame published was answered.

    With the simulated scanner (`data` None) at least one alert must have come, too.
    """
    sources = find([data]) if data is not None else []
    if data is not None and not sources:
        say(f"no file below {data}")
        return 2
    home = settings().home / "demo"
    board = Board(str(data or "simulated scanner"), engine=_engine(), alerts_needed=data is None)
    with ExitStack() as stack:
        kafka, redis = stack.enter_context(_servers(home))
        names = Names(f"demo-{secrets.token_hex(4)}-")
        ours = Stack(kafka, redis, names, home)
        say("creating topics, starting workers ...")
        topic_admin.create(kafka, names)
        processes = stack.enter_context(_children())
        commands = {name: ["worker", name] for name in WORKERS} | {"monitor": MONITOR}
        commands |= {"watchdog": ["watchdog"]} | ({"listener": LISTEN} if data is None else {})
        for name, command in commands.items():
            processes[name] = _start(command, ours, name)
        if not _ready(ours, processes.values()):
            say(f"not everything started; see {home / 'logs'}")
            return 2
        board.page = str(_facts(processes["monitor"])["url"])
        say(f"the ward's page: {board.page} (no log-in: a demo, for this machine alone)")
        board.start()
        stop, done = threading.Event(), threading.Event()
        stack.callback(done.set)
        stack.callback(stop.set)
        for topic in (RESULTS, ALERTS):
            _in_background(_watch, kafka, names.of(topic), board, done)
        if data is None:
            publishing = _in_background(_scan, ours, processes, fps, board, stop)
        else:
            publishing = _in_background(_publish, ours, sources, fps, board, stop)
        _show(board, processes, publishing, seconds)
        stop.set()
        publishing.join(DRAIN_S)
        _drain(board)
    if picture is not None:
        save_picture(board, picture)
    out.print(board.summary())
    return 0 if board.complete() else 1


def _engine() -> str:
    engine = catalogue.load()
    engine.close()
    return f"{engine.card.name} {engine.card.version}, {engine.precision}"


@contextmanager
def _servers(home: Path) -> Iterator[tuple[Cluster, str]]:
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
        yield endpoints.cluster(str(wanted.kafka or found.kafka)), str(wanted.redis or found.redis)
    finally:
        if ours:
            local.down(home)


@contextmanager
def _children() -> Iterator[Processes]:
    """Yield processes by name that end with the block, the last one first."""
    processes: Processes = {}
    try:
        yield processes
    finally:
        children.end(list(processes.values())[::-1])


def _start(
    command: Sequence[str], stack: Stack, log: str, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a command on the stack; what it says goes to `log`."""
    logs = stack.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{log}.log").open("wb") as file:
        return children.start(
            command, environment=stack.environment(), stdout=stdout or file, stderr=file
        )


def _ready(stack: Stack, processes: Collection[subprocess.Popen[bytes]]) -> bool:
    """Wait until all processes have said where they are, and the groups have their partitions."""
    deadline = time.monotonic() + READY_S
    with ExitStack() as watches:
        groups = [
            watches.enter_context(
                GroupWatch(stack.kafka, stack.names.group(name), stack.names.of(INPUT[name]))
            )
            for name in WORKERS
        ]
        while time.monotonic() < deadline and all(p.poll() is None for p in processes):
            if all(surface_of(p.pid) for p in processes) and all(map(_stable, groups)):
                return True
            time.sleep(REFRESH_S)
    return False


def _facts(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Return what a process says of itself on its surface."""
    with urllib.request.urlopen(f"http://{surface_of(process.pid)}/live", timeout=5) as answer:
        facts: dict[str, object] = json.load(answer)["facts"]
    return facts


def _stable(group: GroupWatch) -> bool:
    try:
        return group.look().stable
    except topic_admin.BrokerUnavailable:
        return False  # the coordinator of a group that nobody joined yet


def _in_background(target: object, *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def _watch(kafka: Cluster, topic: str, board: Board, stop: threading.Event) -> None:
    for record in read(kafka, topic, follow=True, stop=stop.is_set):
        board.take(record)


def _scan(
    stack: Stack,
    processes: Processes,
    fps: float,
    board: Board,
    stop: threading.Event,
) -> None:
    """Let the simulated scanner send until told to stop; count what it was told is stored."""
    pseudonyms = Pseudonyms(load_or_make_key(settings().pseudonym_key_file))
    port = _facts(processes["listener"])["port"]
    words = ["simulate", "--to", f"127.0.0.1:{port}", "--fps", str(fps), "--loop", "--jsonl"]
    scanner = _start(words, stack, "scanner", subprocess.PIPE)
    processes["scanner"] = scanner
    _in_background(_end_when, stop, scanner)
    assert scanner.stdout is not None  # noqa: S101
    courses = list(Course)
    for line in scanner.stdout:
        sent = json.loads(line)
        if sent["status"] != SUCCESS:
            board.problem = f"the listener refused an image: {sent['comment']}"
            continue
        board.published += 1
        number = int(sent["PatientID"].rpartition("-")[2])
        patient_id = pseudonyms.patient("", sent["PatientID"])
        board.truth(patient_id, courses[(number - 1) % len(courses)].value)
    scanner.wait()
    if not stop.is_set():
        board.problem = board.problem or f"the scanner ended; see {stack.home / 'logs'}"


def _end_when(stop: threading.Event, process: subprocess.Popen[bytes]) -> None:
    stop.wait()
    process.terminate()


def _publish(
    stack: Stack, sources: Sequence[Source], fps: float, board: Board, stop: threading.Event
) -> None:
    """Replay over and over until told to stop; the same frames keep their ids."""
    key = load_or_make_key(settings().pseudonym_key_file)
    names = NameKeeper(open_vault)
    try:
        with Publisher(stack.kafka, names=stack.names, source=SOURCE) as publisher:
            while not stop.is_set():
                before = board.published

                def progress(tally: Tally, before: int = before) -> None:
                    board.published = before + tally.confirmed
                    board.unusable.update(name for name, _ in tally.failed)

                replay(
                    sources,
                    publisher=publisher,
                    quarantine=Quarantine(stack.home / "quarantine"),
                    key=key,
                    fps=fps,
                    keep=names.keep,
                    progress=progress,
                    stop=stop.is_set,
                )
    except PublishError as error:
        board.problem = str(error)


def _show(
    board: Board,
    processes: Processes,
    publishing: threading.Thread,
    seconds: float | None,
) -> None:
    """Show the board until time is up, Ctrl-C, or something ends that should not."""
    end = time.monotonic() + seconds if seconds else None
    with suppress(KeyboardInterrupt), board.shown(out) as refresh:
        while end is None or time.monotonic() < end:
            if not publishing.is_alive() or any(p.poll() is not None for p in processes.values()):
                board.problem = board.problem or "a process ended; see the logs"
                return
            time.sleep(REFRESH_S)
            refresh()
    say("ending ...")


def _drain(board: Board) -> None:
    """Give the workers time to answer what was published."""
    deadline = time.monotonic() + DRAIN_S
    while not board.complete() and not board.problem and time.monotonic() < deadline:
        time.sleep(REFRESH_S)
