"""What people do: checked against what is known, written to `actions`, the audit log."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.access import Person
from monitor.known import Known
from monitor.shapes import Role
from wire.clients import made
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.patient import Patient
from wire.records import Action, Moment, Therapy
from wire.topics import ACTIONS, Names, partition_of

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/monitor"
CONFIRMED_S = 5.0
"""Who acts waits for the broker; above it they are told that it was not recorded."""

CONTACT_MS = 2_000
VIEWS_S = 120.0
"""A view waits so long for a broker that is away; nobody waits for it."""

MOST_VIEWS = 1_000

Kind = Literal["acknowledge", "silence", "sign-off", "reject", "therapy"]

MAY: dict[Role, frozenset[Kind]] = {
    "viewer": frozenset(),
    "nurse": frozenset({"acknowledge", "silence"}),
    "clinician": frozenset({"acknowledge", "silence", "sign-off", "reject", "therapy"}),
    "operator": frozenset({"acknowledge", "silence"}),
}
"""An operator's are for technical alarms alone."""


class Wish(BaseModel):
    """What somebody wants to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Kind
    patient_id: str | None = Field(
        min_length=1, max_length=200, description="pseudonym; null: an alarm about no patient"
    )
    about: UUID | None = Field(
        None, description="alarm_id, or recommendation_id of what is signed off or rejected"
    )
    reason: str | None = Field(None, max_length=2_000, description="a rejection has one")
    until: Moment | None = Field(None, description="end of a silence; null: as the policy has it")
    therapy: Therapy | None = None


class Refused(Exception):
    """A wish that cannot be granted. status : HTTP's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class NotRecorded(Exception):
    """The broker did not confirm an action: it may not be recorded."""


def granted(wish: Wish, person: Person, known: Known, now: datetime) -> Action:
    """Return the action that a wish is.

    Raises
    ------
    Refused   403: not for this role; 404: there is no such alarm, recommendation or patient;
        422: it makes no sense.
    """
    if wish.action not in MAY[person.role]:
        raise Refused(403, f"{wish.action} is not for a {person.role}")
    patient = None if wish.patient_id is None else known.patients.get(wish.patient_id)
    if wish.patient_id is not None and patient is None:
        raise Refused(404, "nothing is known of this patient")
    if wish.action in ("acknowledge", "silence"):
        category = _category(wish.about, patient, known)
        if person.role == "operator" and category != "technical":
            raise Refused(403, "clinical alarms are not for an operator")
    elif patient is None:
        raise Refused(422, f"{wish.action} is about a patient")
    elif wish.action != "therapy" and wish.about not in patient.recommendations:
        raise Refused(404, "this patient has no such recommendation")
    if wish.until is not None and (wish.action != "silence" or wish.until <= now):
        raise Refused(422, "`until` is the end of a silence, and lies ahead")
    try:
        return Action(
            id=uuid4(),
            action=wish.action,
            patient_id=wish.patient_id,
            about=wish.about,
            actor=person.name,
            event_time=now,
            reason=wish.reason,
            until=wish.until,
            therapy=wish.therapy,
        )
    except ValidationError as error:
        raise Refused(422, "; ".join(one["msg"] for one in error.errors())) from error


def _category(about: UUID | None, patient: Patient | None, known: Known) -> str:
    """Return the category of an alarm that is known: of this patient, or about none."""
    alarm = None
    if about is not None:
        alarm = (known.technical if patient is None else patient.alarms).get(about)
    if alarm is None:
        raise Refused(404, "there is no such alarm")
    return alarm.category


def view(person: Person, patient_id: str, now: datetime) -> Action:
    """Return the action that looking at a patient is."""
    return Action(
        id=uuid4(), action="view", patient_id=patient_id, actor=person.name, event_time=now
    )


class Recorder:
    """Writes actions to Kafka. Thread-safe; connects when it is first needed.

    Parameters
    ----------
    source : of the envelopes.
    """

    def __init__(self, cluster: Cluster, names: Names, source: str = SOURCE) -> None:
        self._topic = names.of(ACTIONS)
        self._acts = _Connection(cluster, source, timeout_s=CONFIRMED_S)
        self._views = _Connection(cluster, source, timeout_s=VIEWS_S)
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="views")
        self._waiting = threading.Semaphore(MOST_VIEWS)

    def record(self, action: Action) -> None:
        """Write an action; return once all in-sync replicas have it.

        Raises
        ------
        NotRecorded   they do not within `CONFIRMED_S`.
        """
        deadline = time.monotonic() + CONFIRMED_S
        try:
            sent = self._acts.send(self._topic, action)
            sent.get(timeout=max(0.1, deadline - time.monotonic()))
        except KafkaError as error:
            self._acts.drop()
            log.error("action not recorded", action=action.action, error=type(error).__name__)
            raise NotRecorded("the broker did not confirm it") from error

    def warm_up(self) -> None:
        """Connect now: the first who acts need not wait for it."""
        try:
            self._acts.connect()
        except KafkaError as error:
            log.warning("no action could be recorded now", error=type(error).__name__)

    def note(self, action: Action) -> None:
        """Write an action, some time: nobody waits for it. What fails is logged."""
        if not self._waiting.acquire(blocking=False):
            self._lost(action, "too many wait")
            return
        self._behind.submit(self._note, action)

    def close(self) -> None:
        """Give what waits a second, and release the connections."""
        self._behind.shutdown(wait=False, cancel_futures=True)
        self._acts.drop()
        self._views.drop()

    def _note(self, action: Action) -> None:
        try:
            sent = self._views.send(self._topic, action)
        except KafkaError as error:
            self._views.drop()
            self._waiting.release()
            self._lost(action, type(error).__name__)
            return
        sent.add_both(lambda _: self._waiting.release())
        sent.add_errback(lambda error: self._lost(action, type(error).__name__))

    @staticmethod
    def _lost(action: Action, why: str) -> None:
        log.error("view not recorded", patient_id=action.patient_id, actor=action.actor, error=why)


class _Connection:
    """A producer, made when first needed and anew after a failure."""

    def __init__(self, cluster: Cluster, source: str, *, timeout_s: float) -> None:
        self._cluster, self._source = cluster, source
        self._timeout_ms = int(timeout_s * 1000)
        self._lock = threading.Lock()
        self._producer: Any = None

    def send(self, topic: str, action: Action) -> Any:
        """Hand an action over; return what becomes of it.

        Raises
        ------
        KafkaError   no broker answers.
        """
        envelope = Envelope(
            kind=Action.kind, id=str(action.id), source=self._source, time=datetime.now(UTC)
        )
        key = action.patient_id or f"{action.about}"
        return self.connect().send(
            topic,
            key=key.encode(),
            value=action.to_json(),
            headers=envelope.headers(),
            partition=partition_of(key, ACTIONS.partitions),
        )

    def drop(self) -> None:
        """Let the producer go: after a failure nobody knows what it still tries to send."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=1)

    def connect(self) -> Any:
        """Return the producer, connected.

        Raises
        ------
        KafkaError   no broker answers.
        """
        with self._lock:
            if self._producer is None:
                self._producer = made(
                    KafkaProducer,
                    self._cluster,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_block_ms=CONTACT_MS,
                    request_timeout_ms=CONTACT_MS,
                    delivery_timeout_ms=self._timeout_ms,
                    bootstrap_timeout_ms=CONTACT_MS,
                    reconnect_backoff_max_ms=1_000,
                    client_id="lesionstream-monitor",
                )
            return self._producer


class Views:
    """Tells which looks at a patient are new: a page asks for its parts again and again.

    Parameters
    ----------
    again_s : after so long the same person looks anew.
    """

    def __init__(self, clock: Callable[[], float], again_s: float = 300.0) -> None:
        self._clock = clock
        self._again_s = again_s
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], float] = {}

    def is_new(self, person: Person, patient_id: str, *, page: bool) -> bool:
        """Tell whether a look is to be recorded.

        Parameters
        ----------
        page : a page or an answer that was asked for as such: each is. Else a part of one: it is
            where no page was asked for before it.
        """
        now_s, key = self._clock(), (person.name, patient_id)
        with self._lock:
            new = page or now_s - self._seen.get(key, float("-inf")) > self._again_s
            if new:
                self._seen[key] = now_s
            if len(self._seen) > MOST_VIEWS:
                oldest = now_s - self._again_s
                self._seen = {k: at for k, at in self._seen.items() if at > oldest}
            return new
