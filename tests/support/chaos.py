"""Frames replayed through a whole stack while its processes are killed, and what must come of it.

The claim is about sets of ids: each message has a finding, and the ids of the findings' frames are
those that were sent; final states, recommendations and clinical alerts are those of the same frames
when nothing is killed.
"""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support import quick_engine
from support.folding import THRESHOLD, kinds, told
from support.phantoms import write_series
from support.stack import Stack, eventually, facts

from engines import Engine, load_engine
from producers.prepare import Prepared, prepare
from stream.looking import look
from stream.scoring import Message, Scorer
from wire.assessment import Assessment
from wire.envelope import Envelope
from wire.patient import Patient
from wire.records import Alert, Finding, FrameAddress, Recommendation
from wire.topics import FRAMES, PATIENTS

KEY = bytes.fromhex("5a" * 32)
"""All runs use one pseudonym key, for ids are compared."""

SLICES = 50
FPS = 40.0
PRODUCT = ("-m", "lesionstream")


@dataclass(frozen=True)
class Outcome:
    """What became of frames.

    frames : their ids.
    order : of each patient, the ids in the order of the scan.
    findings : the ids of what was found of them.
    states : the facts of each patient.
    said : the ids a bedside could have seen, by kind.
    """

    frames: set[str]
    order: dict[str, list[str]]
    findings: set[Any]
    states: dict[str, Any]
    said: dict[str, set[Any]]


def write_scans(folder: Path, series: int) -> Path:
    """Write series of 50 frames, two to a patient."""
    for seed in range(series):
        write_series(folder, f"P{seed // 2}", slices=SLICES, seed=seed, size=128)
    return folder


def undisturbed(scans: Path, home: Path) -> Outcome:
    """Work out what any run must come to: prepared, scored and folded here, one after another.

    Parameters
    ----------
    home : a new state folder, for the engine.
    """
    quick_engine.add_to(home)
    engine = load_engine(quick_engine.NAME, catalogues=[home / "engines"])
    findings = list(_findings(scans, engine))
    states, said = {}, []
    for name in {str(finding.patient_id) for finding in findings}:
        mine = [finding for finding in findings if finding.patient_id == name]
        patient, words = told(mine, Patient(patient_id=name), policy=THRESHOLD)
        states[name] = facts(patient)
        said += words
    return Outcome(
        frames={str(finding.frame_id) for finding in findings},
        order={
            name: [str(f.frame_id) for f in findings if f.patient_id == name] for name in states
        },
        findings={finding.id for finding in findings},
        states=states,
        said=_ids(kinds(said, Alert), kinds(said, Recommendation), kinds(said, Assessment)),
    )


def _findings(scans: Path, engine: Engine) -> Iterator[Finding]:
    scorer = Scorer(engine, look=look, now_ms=lambda: 0.0)
    for path in sorted(scans.iterdir()):
        (frame,) = prepare(path.read_bytes(), KEY)
        assert isinstance(frame, Prepared)
        now = datetime.now(UTC)
        envelope = Envelope("frame", frame.frame_id, "/test", time=now)
        where = FrameAddress(topic="frames", partition=0, offset=0)
        yield scorer.answer(Message(frame.payload, envelope, where), now).finding


def _ids(
    alerts: Iterable[Alert],
    recommendations: Iterable[Recommendation],
    assessments: Iterable[Assessment],
) -> dict[str, set[Any]]:
    """Return what was said, by id; of assessments the last final one of each series."""
    finals = {a.series_instance_uid: a.id for a in assessments if a.stage == "final"}
    return {
        "alerts": {alert.id for alert in alerts if alert.category == "clinical"},
        "recommendations": {recommendation.id for recommendation in recommendations},
        "final assessments": set(finals.values()),
    }


def set_up(stack: Stack) -> None:
    """Let the workers of a stack use this key and the quick engine."""
    home = stack.folder / "home"
    quick_engine.add_to(home)
    (home / "pseudonym.key").write_text(KEY.hex() + "\n")


class Chaos:
    """Kill things at work at random moments and start them again at once, while frames flow."""

    def __init__(self, stack, scans, seed, *, fps=FPS, program=PRODUCT):
        self._stack = stack
        self._random = random.Random(seed)
        self._roles = {
            "scoring": lambda: stack.worker("scoring", program=program),
            "patients": lambda: stack.worker("patients"),
            "replay": lambda: stack.start("replay", scans, "--fps", fps),
        }
        self._made = {
            "scoring": stack.findings,
            "patients": lambda: stack.records(PATIENTS),
            "replay": stack.frame_ids,
        }
        self._running = {role: start() for role, start in self._roles.items()}
        self.kills = []

    def run(self, kills):
        """Kill each role at least once and `kills` times together, then let the replay end."""
        roles = [*self._roles, *self._random.choices(list(self._roles), k=kills - 3)]
        self._random.shuffle(roles)
        for role in roles:
            self._wait_until_at_work(role)
            time.sleep(self._random.uniform(0.5, 3.0))  # the moment is the test's input
            self._stack.kill(self._running[role])
            self.kills.append(role)
            self._running[role] = self._roles[role]()
        wait_for_end(self._running["replay"])

    def _wait_until_at_work(self, role):
        """Wait until frames come and the role makes something of them: else a kill says nothing."""
        makers = {"replay", role}
        before = {maker: len(self._made[maker]()) for maker in makers}

        def at_work():
            if self._running["replay"].poll() is not None:  # all is sent: a device sends again
                self._running["replay"] = self._roles["replay"]()
            return all(len(self._made[maker]()) > before[maker] for maker in makers)

        eventually(at_work, within_s=120, what=f"{role} at work")


def wait_for_end(replay):
    """Wait until a replay has sent all it has."""
    eventually(lambda: replay.poll() is not None, within_s=120, what="replay ends")
    assert replay.returncode == 0


def check(stack: Stack, expected: Outcome, *, strange: int = 0) -> None:
    """Wait until the scoring workers have acknowledged everything, and assert the identities.

    Parameters
    ----------
    strange : messages on `frames` that are no frames, with keys that begin with "strange".
    """
    keys = [record.key or b"" for record in stack.records(FRAMES)]
    strangers = [key.startswith(b"strange") for key in keys]
    assert sum(strangers) == strange
    ids = zip(stack.frame_ids(), strangers, strict=True)
    assert {name for name, is_strange in ids if not is_strange} == expected.frames
    eventually(lambda: stack.behind("scoring", FRAMES) == 0, within_s=120, what="scoring caught up")
    eventually(lambda: stack.unanswered() == 0, within_s=10, what="each message is answered")
    nobodys = [f for f in stack.findings() if f.patient_id is None]
    assert {f.status for f in nobodys} <= {"not-scored"}
    assert len({f.frame for f in nobodys}) == strange
    findings = [f for f in stack.findings() if f.patient_id is not None]
    assert {str(f.frame_id) for f in findings} == expected.frames, "lost or invented"
    assert {f.id for f in findings} == expected.findings, "one finding id for each frame"
    assert stack.settled(within_s=60) == expected.states
    said = _ids(stack.alerts(), stack.recommendations(), stack.assessments())
    assert said == expected.said
    eventually(lambda: stack.cached() == expected.states, within_s=20, what="the cache is whole")


def survive(stack, scans, expected, seed, *, kills=6, fps=FPS, program=PRODUCT):
    """Replay while things are killed, assert that nothing is lost or twice; return what was."""
    set_up(stack)
    chaos = Chaos(stack, scans, seed, fps=fps, program=program)
    chaos.run(kills)
    check(stack, expected)
    return chaos
