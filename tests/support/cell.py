"""One cell: frames flow through a whole stack, something happens, and what must come of it.

Devices send by C-STORE to a listener, or a folder is replayed; workers score and decide; a bedside
listens to the feed of a monitor all the time. What comes of it is compared, by ids, with what comes
of the same frames when nothing happens.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from support import chaos
from support.chaos import PRODUCT, Outcome
from support.devices import Ward, titles
from support.monitors import Monitor, Subscriber
from support.phantoms import write_series
from support.stack import Stack, eventually

from lesionstream.surface import run_folder
from local.ports import claim
from stream.watch import EXIT_HANGS
from wire.envelope import Envelope
from wire.records import Alert, Finding, Heartbeat
from wire.topics import ALERTS, FRAMES, PATIENTS, RESULTS, Topic

Process = subprocess.Popen[bytes]

PATIENTS_OF_A_CELL, SLICES = 3, 40
MADE: dict[str, Topic] = {
    "scoring": RESULTS,
    "patients": PATIENTS,
    "listen": FRAMES,
    "watchdog": ALERTS,
}
"""Where it is seen that a process works."""


def write_scans(folder: Path) -> Path:
    """Write two series for each patient, in an order in which all patients are scanned at once."""
    for number in range(PATIENTS_OF_A_CELL):
        for half in range(2):
            seed = 2 * number + half
            paths = write_series(folder, f"P{number}", slices=SLICES, seed=seed, size=128)
            for place, path in enumerate(paths):
                path.rename(folder / f"{half}-{place:03}-P{number}.dcm")
    return folder


@dataclass
class Cell:
    """A stack, what it shall come to, and what happens to it.

    seed : of all that is left to chance: moments above all.
    programs : what runs instead of the product, by role.
    recoveries_s : from each fault, or from its end, to the first thing made after it for all
        patients.
    strange : messages on `frames` that are no frames.
    ended : exit codes of processes that were started again.
    """

    stack: Stack
    scans: Path
    expected: Outcome
    seed: int
    programs: dict[str, tuple[object, ...]] = field(default_factory=dict)
    strange: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    running: dict[str, list[Process]] = field(default_factory=dict)
    feed: Subscriber | None = None
    monitor: Monitor | None = None
    ended: list[int] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)
    _stopped: list[Process] = field(default_factory=list)
    _told: list[Process] = field(default_factory=list)
    _scans: int = 0
    _scan: Callable[[], None] = lambda: None
    _done: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._port = claim(self.stack.folder / "ports.json", ["listener"])["listener"]
        chaos.set_up(self.stack)

    def open(self, *roles: str) -> None:
        """Start a monitor, a bedside that listens to it, and processes; wait until all work.

        Parameters
        ----------
        roles : `scoring`, `patients`, `watchdog`; several of one are several processes.
        """
        self.monitor = Monitor(self.stack)
        for role in roles:
            self.begin(role)
        self.monitor.start()
        self.feed = self.monitor.subscribe()
        for role in {"scoring", "patients"} & set(roles):
            self.stack.wait_for_members(role, roles.count(role))
        if "watchdog" in roles:
            eventually(lambda: self.heard("heartbeat"), within_s=60, what="a heartbeat")

    def begin(self, role: str, *words: object) -> Process:
        """Start a process."""
        words = (role, *words) if role in ("watchdog", "listen") else ("worker", role, *words)
        process = self.stack.start(*words, program=self.programs.get(role, PRODUCT))
        self.running.setdefault(role, []).append(process)
        return process

    def replay(self, seconds: float) -> None:
        """Let all frames be published within so long, and again if more are needed."""
        fps = len(self.expected.frames) / seconds

        def scan() -> None:
            process = self.stack.start("replay", self.scans, "--fps", fps)
            self._done = lambda: process.poll() == 0

        self._scan = scan
        scan()

    def listen(self) -> Process:
        """Start a listener, on the port it had before."""
        allowed = [word for t in self._titles() for word in ("--allow", t)]
        words = ("--host", "127.0.0.1", "--port", self._port, *allowed)
        return self.begin("listen", *words)

    def send(self, seconds: float, *, patience_s: float = 30.0) -> Ward:
        """Let devices send all frames by C-STORE within so long, if nothing happens; and again."""
        wards = []

        def scan() -> None:
            wards.append(Ward(self._port, self.scans, seconds=seconds, patience_s=patience_s))
            self._done = lambda: wards[-1].done

        self._scan = scan
        scan()
        return wards[0]

    def _titles(self) -> list[str]:
        return titles(f"P{number}" for number in range(PATIENTS_OF_A_CELL))

    def at_work(self, *roles: str) -> None:
        """Wait until each of these has made something more, and then for a moment of chance."""
        before = {role: self._made(role) for role in roles}

        def more() -> bool:
            self._let_flow()
            return all(self._made(role) > made for role, made in before.items())

        eventually(more, within_s=60, what=f"{roles} at work")
        time.sleep(self.random.uniform(0.3, 2.0))  # the moment is the test's input

    def _made(self, role: str) -> int:
        return sum(_made_by(role, record) for record in self.stack.records(MADE[role]))

    def keep(self, role: str) -> None:
        """Start processes of a role again when they end, as a supervisor does."""
        threading.Thread(target=self._keep, args=[role], daemon=True).start()

    def _keep(self, role: str) -> None:
        while not self._closed.wait(0.5):
            for process in [p for p in self.running[role] if p.poll() is not None]:
                self.ended.append(process.returncode)
                self.running[role].remove(process)
                self.begin(role)

    def kill(self, role: str) -> float:
        """Send SIGKILL to the oldest process of a role; return when."""
        moment = time.time()
        self.stack.kill(self.running[role].pop(0))
        return moment

    def end(self, role: str) -> float:
        """Send SIGTERM to the oldest process of a role; return when."""
        process = self.running[role].pop(0)
        self._told.append(process)
        process.send_signal(signal.SIGTERM)
        return time.time()

    def idle(self, role: str) -> list[Process]:
        """Return the processes of a role that have no partitions."""
        return [p for p in self.running[role] if not self._facts(p)["partitions"]]

    def _facts(self, process: Process) -> dict[str, Any]:
        (file,) = run_folder(self.stack.folder / "home").glob(f"*-{process.pid}.json")
        place = json.loads(file.read_text())[0]["targets"][0]
        facts: dict[str, Any] = httpx.get(f"http://{place}/live").json()["facts"]
        return facts

    def stop(self, role: str) -> tuple[float, Process]:
        """Send SIGSTOP to the oldest process of a role and its children; return when."""
        process = self.running[role][0]
        self._stopped.append(process)
        moment = time.time()
        os.killpg(process.pid, signal.SIGSTOP)
        return moment, process

    @staticmethod
    def go_on(process: Process) -> float:
        """Send SIGCONT; return when."""
        moment = time.time()
        os.killpg(process.pid, signal.SIGCONT)
        return moment

    def recovered(self, role: str, since: float, *, within_s: float = 60.0) -> None:
        """Wait until a role has made something after a moment, for every patient; note how long."""
        keys = {b""} if role == "watchdog" else {name.encode() for name in self.expected.states}

        def first() -> float | None:
            self._let_flow()
            stamps: dict[bytes, float] = {}
            for record in self.stack.records(MADE[role]):
                stamp = record.timestamp / 1000
                if stamp > since and _made_by(role, record):
                    stamps.setdefault(b"" if role == "watchdog" else record.key, stamp)
            return max(stamps.values()) if keys <= set(stamps) else None

        self.recoveries_s.append(
            eventually(first, within_s=within_s, what=f"{role} is back") - since
        )

    def _let_flow(self) -> None:
        """Scan again where all is sent already: on a slow machine things take longer to happen."""
        if self._done():
            self._scans += 1
            self._scan()

    def heard(self, name: str) -> list[Any]:
        """Return what the bedside heard of one name."""
        assert self.feed is not None
        return self.feed.heard(name)

    def technical(self, cause: str) -> list[str]:
        """Return the phases of a technical alarm that the bedside heard."""
        return [a["phase"] for a in self.heard("alert") if a["cause"] == cause]

    def sent(self, *, within_s: float = 120.0) -> None:
        """Wait until all is sent."""
        eventually(self._done, within_s=within_s, what="all is sent")

    def check(self) -> None:
        """Wait until all is answered, and assert what must hold."""
        self.sent()
        chaos.check(self.stack, self.expected, strange=self.strange)
        sent = Counter(self.stack.frame_ids())
        assert min(sent[name] for name in self.expected.frames) > self._scans, "lost on the way in"
        assert self._orders() == (self.expected.order,) * 2, "not in the order of the patient"
        self._check_processes()
        said = self.expected.said["alerts"]
        eventually(lambda: self._clinical() >= said, within_s=30, what="the bedside heard all")
        assert self._clinical() == said
        twice_on_the_feed(self.heard("alert"))
        assert self.feed is not None
        offsets = [e.offset for e in self.feed.events() if e.offset is not None]
        assert all(a < b for a, b in pairwise(offsets)), "the feed repeats itself"

    def _orders(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return in which order frames of each patient first came, and were first answered."""
        came: dict[str, dict[str, None]] = {}
        for frame in self.stack.records(FRAMES):
            ids = came.setdefault((frame.key or b"").decode(), {})
            ids[str(Envelope.of(frame.headers).id)] = None
        answered: dict[str, dict[str, None]] = {}
        for finding in self.stack.findings():
            answered.setdefault(str(finding.patient_id), {})[str(finding.frame_id)] = None
        patients = self.expected.states
        return tuple({p: list(ids[p]) for p in patients} for ids in (came, answered))  # type: ignore[return-value]

    def _check_processes(self) -> None:
        """Assert that those live whom nobody ended, and that those told to end did so well.

        One that was stopped may have seen that it hung, and ended itself.
        """
        for role, processes in self.running.items():
            codes = {p.poll() for p in processes} - {None}
            hung = {EXIT_HANGS} if set(processes) & set(self._stopped) else set()
            assert codes <= hung, f"{role} ended by itself"
        for process in self._told:
            assert process.wait(15) == 0

    def _clinical(self) -> set[Any]:
        heard = (Alert.model_validate(a) for a in self.heard("alert"))
        return {alert.id for alert in heard if alert.category == "clinical"}

    def observed(self) -> dict[str, Any]:
        """Return what came of it, in numbers; to be asked while the servers still run."""
        findings = [f for f in self.stack.findings() if f.patient_id is not None]
        answered = {str(f.frame_id) for f in findings}
        return {
            "sent": len(self.stack.frame_ids()),
            "lost": len(self.expected.frames - answered) + self.stack.unanswered(),
            "twice": len({f.id for f in findings}) - len(answered),
            "recoveries_s": [round(s, 2) for s in self.recoveries_s],
        }

    def close(self) -> None:
        """End what listens, and let what is stopped go on: it could not be ended else."""
        self._closed.set()
        if self.feed is not None:
            self.feed.close()
        for process in self.stack.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)


def _made_by(role: str, record: Any) -> bool:
    """Tell whether a record says that this role works; others write to the same topics."""
    kind = {"scoring": Finding.kind, "watchdog": Heartbeat.kind}.get(role)
    if kind is not None and Envelope.of(record.headers).kind != kind:
        return False
    return role != "scoring" or json.loads(record.value)["status"] == "scored"


def twice_on_the_feed(alerts: Iterable[dict[str, Any]]) -> None:
    """Fail where one id came twice."""
    ids = [alert["id"] for alert in alerts]
    assert len(ids) == len(set(ids)), "an alert came twice on the feed"
