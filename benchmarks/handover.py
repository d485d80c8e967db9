"""Hand work over from worker to worker: killed, stopped, told to end; three session timeouts.

Run as ``python -m benchmarks.handover [--quick] [--json]``. Two scoring and two patients workers
get frames at a steady rate; each frame is of another patient and alarms, so that every alert tells
how long a frame waited. Starts a Kafka and a Redis of its own. Prints the tables of
docs/operations.md; exit code 1 where a frame was not answered or did not alarm.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import local
from benchmarks.handover_frames import POLICY, Feed, Seen, seen
from benchmarks.handover_page import ROLLING, STEADY, Event, killed, stopped, tables
from lesionstream import workers
from lesionstream.console import print_json, say
from local.ports import claim
from wire import topic_admin
from wire.cluster import BrokerUnavailable, Cluster
from wire.groups import GroupState, GroupWatch
from wire.topics import INPUT, Names

T = TypeVar("T")
ROLES = ("scoring", "patients")
EACH = 2
"""Workers of each kind."""

READY_S = 120.0
END_S = 30.0
SETTLE_S = 3.0
"""After each change; what it held up comes out meanwhile."""

STEADY_S = 15.0


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handover", description=__doc__)
    parser.add_argument("--timeouts", type=float, nargs="+", default=[6, 10, 30], help="s, <= 30")
    parser.add_argument("--stops", type=float, nargs="*", default=[3, 5, 8], help="SIGSTOP, s")
    parser.add_argument("--times", type=int, default=2, help="of each kill and restart")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--quick", action="store_true", help="one timeout, each thing once")
    parser.add_argument("--json", action="store_true", help="one event a line, instead of tables")
    parser.add_argument("--worker", choices=ROLES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        workers.run(args.worker, session_timeout_s=args.timeouts[0])
        return 0
    if args.quick:
        args.timeouts, args.stops, args.times = args.timeouts[:1], args.stops[-1:], 1
    events: list[Event] = []
    whole = True
    with tempfile.TemporaryDirectory(prefix="lesionstream-handover-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        found = local.up(home, say=say)
        for timeout_s in args.timeouts:
            with ward(home, str(found.kafka), str(found.redis), timeout_s, args.fps) as it:
                measure(it, args.stops, args.times, restarts=timeout_s == args.timeouts[0])
            whole = it.whole and whole
            events += it.events
    if args.json:
        for event in events:
            print_json(event.to_json())
    else:
        print(tables(events, args.stops))
        print(f"\n{args.fps:g} frames/s, {EACH} scoring and {EACH} patients workers. ", end="")
        print(
            f"Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"load {os.getloadavg()[0]:.1f}."
        )
    if not whole:
        say("NOT every frame was answered and alarmed")
    return 0 if whole else 1


@dataclass
class Ward:
    """Workers of one session timeout on topics of their own, and the frames they get."""

    home: Path
    environment: dict[str, str]
    timeout_s: float
    watches: dict[str, GroupWatch]
    feed: Feed
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    marks: list[tuple[Event, float, float]] = field(default_factory=list)
    whole: bool = False

    def begin(self, *places: str) -> None:
        """Start workers, and wait until they are ready. places : such as `scoring-1`."""
        ports = claim(self.home / "workers.json", places)
        for place in places:
            self._start(place, ports[place])
        for place in places:
            until(partial(_ready, ports[place]), READY_S, f"{place} is ready")

    def _start(self, place: str, port: int) -> None:
        words = ["--worker", place.partition("-")[0], "--timeouts", f"{self.timeout_s:g}"]
        with (self.home / f"{place}.log").open("ab") as log:
            self.running[place] = subprocess.Popen(  # noqa: S603 -- this very command
                [sys.executable, "-m", "benchmarks.handover", *words],
                env=self.environment | {"LESIONSTREAM_HTTP": f"127.0.0.1:{port}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, place: str, number: signal.Signals) -> None:
        """Send a signal to a worker and its children."""
        os.killpg(self.running[place].pid, number)

    def end(self, place: str) -> float:
        """Tell a worker to end as a supervisor does; return how long it took."""
        began = time.monotonic()
        self.running[place].terminate()
        code = self.running[place].wait(END_S)
        if code != 0:
            raise SystemExit(f"{place} ended with exit code {code}")
        return time.monotonic() - began

    def group(self, role: str) -> GroupState | None:
        """Return the state of a group; None where the broker does not say."""
        with suppress(BrokerUnavailable):
            return self.watches[role].look()
        return None

    def whole_with(self, role: str, members: int) -> None:
        """Wait until a group works with so many members."""

        def works() -> bool:
            state = self.group(role)
            return state is not None and state.stable and state.members == members

        until(works, READY_S, f"{members} {role} at work")

    @contextmanager
    def event(self, what: str) -> Iterator[dict[str, Any]]:
        """Note what happens within, until all that it held up has come out."""
        say(f"{self.timeout_s:g} s: {what}")
        began, facts = time.time(), dict[str, Any]()
        yield facts
        seconds = time.time() - began
        time.sleep(SETTLE_S)
        noted = Event(what, self.timeout_s, seconds, **facts)
        self.marks.append((noted, began, time.time()))

    def count(self, happened: Seen) -> None:
        """Work out what became of the frames of each event."""
        for event, began, ended in self.marks:
            # From one second before: what was in hand at that moment.
            keys = [
                key for key, at in happened.sent.items() if -1 <= at - began < ended - began - 1
            ]
            delays_s = tuple(happened.alerts[key] - happened.sent[key] for key in keys)
            twice = sum(happened.findings[key] - 1 for key in keys)
            known = replace(event, sent=len(keys), twice=twice, delays_s=delays_s)
            self.events.append(known)


@contextmanager
def ward(home: Path, kafka: str, redis: str, timeout_s: float, fps: float) -> Iterator[Ward]:
    """Yield workers to whom frames come; afterwards it is known what became of those."""
    cluster, names = Cluster.plain(kafka), Names(f"handover-{timeout_s:g}-")
    topic_admin.create(cluster, names)
    (home / "policy.toml").write_text(POLICY)
    environment = os.environ | {
        "LESIONSTREAM_KAFKA": kafka,
        "LESIONSTREAM_REDIS": redis,
        "LESIONSTREAM_HOME": str(home),
        "LESIONSTREAM_TOPIC_PREFIX": names.prefix,
        "LESIONSTREAM_POLICY": str(home / "policy.toml"),
        "LESIONSTREAM_ENGINE": "textbook-256",
        "LESIONSTREAM_ENGINE_THREADS": "1",
    }
    with ExitStack() as end:
        watches = {
            role: end.enter_context(GroupWatch(cluster, names.group(role), names.of(INPUT[role])))
            for role in ROLES
        }
        it = Ward(home, environment, timeout_s, watches, Feed(cluster, names, fps))
        end.callback(_kill, it)
        it.begin(*(f"{role}-{number + 1}" for role in ROLES for number in range(EACH)))
        with it.feed:
            yield it
        happened = until(lambda: seen(cluster, names, it.feed.sent), READY_S, "all is answered")
        it.whole = happened.whole
        it.count(happened)


def measure(it: Ward, stops: Sequence[float], times: int, *, restarts: bool) -> None:
    """Let everything happen, one thing after the other, each to another worker.

    Parameters
    ----------
    restarts : one after the other, too; a worker that leaves waits for no timeout.
    """
    time.sleep(SETTLE_S)
    with it.event(STEADY):
        time.sleep(STEADY_S)
    for time_ in range(times):
        for role in ROLES:
            kill(it, f"{role}-{time_ % EACH + 1}")
        if restarts:
            restart_all(it)
    for number, stop_s in enumerate(stops):
        stop(it, f"scoring-{number % EACH + 1}", stop_s)


def kill(it: Ward, place: str) -> None:
    """`kill -9`: the others take over; then another one is started."""
    role = place.partition("-")[0]
    with it.event(killed(role)):
        it.send(place, signal.SIGKILL)
        it.running[place].wait()
        it.whole_with(role, EACH - 1)
    it.begin(place)
    it.whole_with(role, EACH)
    time.sleep(SETTLE_S)


def stop(it: Ward, place: str, seconds: float) -> None:
    """SIGSTOP for so long, as a stalled host or a paused machine would be."""
    role = place.partition("-")[0]
    with it.event(stopped(seconds)) as facts:
        again_s = time.monotonic() + seconds
        it.send(place, signal.SIGSTOP)
        lost = False
        while time.monotonic() < again_s:
            state = it.group(role)
            lost = lost or (state is not None and state.members < EACH)
            time.sleep(0.1)
        it.send(place, signal.SIGCONT)
        facts["thrown_out"] = lost
        it.whole_with(role, EACH)


def restart_all(it: Ward) -> None:
    """Restart every worker, one at a time: SIGTERM, its end, a new one, ready."""
    with it.event(ROLLING) as facts:
        ends_s = []
        for place in sorted(it.running):
            ends_s.append(it.end(place))
            it.begin(place)
        facts["ends_s"] = tuple(ends_s)


def until(condition: Callable[[], T | None], within_s: float, what: str) -> T:
    """Return what `condition` gives, once it is something."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)
    return value


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
            return True
    except (URLError, OSError):
        return False


def _kill(it: Ward) -> None:
    for place, process in it.running.items():
        with suppress(ProcessLookupError):
            it.send(place, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
