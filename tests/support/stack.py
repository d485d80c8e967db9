"""A whole stack on a real broker, with names of its own: workers as processes, topics as lists."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from redis import Redis
from support.topic_log import TopicLog

from stream.cache import cache_key
from stream.snapshots import Snapshots
from wire.assessment import Assessment
from wire.clients import made
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.patient import Patient
from wire.reading import RECONNECT_MS, read_one
from wire.records import Alert, Finding, Recommendation
from wire.topics import ALERTS, DEAD_LETTERS, FRAMES, PATIENTS, RESULTS, Names, Topic

STARTED_S = 120.0


def eventually(condition: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """Wait until `condition` holds and return it; fail with `what` and its last value."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}; last: {value!r}")
        time.sleep(0.1)


@dataclass
class Stack:
    """One stack.

    folder : state folder, and where logs of workers lie.
    policy : of the patients workers; by `threshold` one frame is enough to alarm.
    reached_at : where commands find Kafka, if they shall take another way than the test.
    """

    kafka: str
    redis: str
    names: Names
    folder: Path
    policy: str = "threshold"
    reached_at: str | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _logs: dict[Topic, TopicLog] = field(default_factory=dict, repr=False)
    _snapshots: tuple[int, Snapshots] = field(default_factory=lambda: (0, Snapshots()), repr=False)
    _facts: dict[str, tuple[Patient, Any]] = field(default_factory=dict, repr=False)

    def environment(self) -> dict[str, str]:
        """Return the environment of this stack's commands."""
        return os.environ | {
            "LESIONSTREAM_KAFKA": self.reached_at or self.kafka,
            "LESIONSTREAM_REDIS": self.redis,
            "LESIONSTREAM_HOME": str(self.folder / "home"),
            "LESIONSTREAM_TOPIC_PREFIX": self.names.prefix,
            "LESIONSTREAM_POLICY": self.policy,
            "COLUMNS": "200",
        }

    def command(self, *words: object, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a command of lesionstream to its end."""
        return subprocess.run(
            [sys.executable, "-m", "lesionstream", *map(str, words)],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *words: object, program: Iterable[object] = ("-m", "lesionstream")):
        """Start a command in a process group of its own; its output goes to a log."""
        about = "-".join(Path(str(word)).name for word in words[:2])
        log = self.folder / f"{len(self.processes):02}-{about}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *map(str, program), *map(str, words)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.start("worker", name, **kwargs)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Send SIGKILL to a process and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """End all processes and connections; the broker may be gone."""
        for process in self.processes:
            self.kill(process)
        for log in self._logs.values():
            log.close()
        if "admin" in self.__dict__:
            self.__dict__.pop("admin").close()

    def close(self) -> None:
        """End all, and delete the topics."""
        self.end()
        mine = [t for t in self.admin.list_topics() if t.startswith(self.names.prefix)]
        if mine:
            self.admin.delete_topics(mine)
        self.admin.close()

    @cached_property
    def admin(self) -> KafkaAdminClient:
        """An admin client of the broker, until `close`."""
        where = Cluster.plain(self.kafka)
        admin: KafkaAdminClient = made(
            KafkaAdminClient, where, reconnect_backoff_max_ms=RECONNECT_MS
        )
        return admin

    def members(self, worker: str) -> int:
        """Return how many members of a consumer group have their partitions."""
        group = self.names.group(worker)
        try:
            described = self.admin.describe_groups([group])[group]
        except KafkaError:
            return 0
        return len(described["members"]) if described["group_state"] == "Stable" else 0

    def behind(self, worker: str, topic: Topic) -> int:
        """Return how many messages of a topic a consumer group has not acknowledged."""
        ends = self._log(topic).ends()
        group = self.names.group(worker)
        try:
            committed = self.admin.list_group_offsets({group: list(ends)})[group]
        except KafkaError as error:
            if not error.retriable:
                raise
            self.__dict__.pop("admin").close()  # it would ask the broker that it knows for ever
            return sum(ends.values()) + 1
        done = {place: committed[place].offset if place in committed else 0 for place in ends}
        return sum(ends[place] - max(0, done[place]) for place in ends)

    def wait_for_members(self, worker: str, count: int) -> None:
        """Wait until a group is stable with so many members."""

        def there() -> bool:
            codes = [process.poll() for process in self.processes]
            assert not any(code and code > 0 for code in codes), "a process ended by itself"
            return self.members(worker) == count

        eventually(there, within_s=STARTED_S, what=f"{count} {worker}")

    def _log(self, topic: Topic) -> TopicLog:
        if topic not in self._logs:
            self._logs[topic] = TopicLog(self.kafka, self.names.of(topic))
        return self._logs[topic]

    def records(self, topic: Topic) -> list[Any]:
        """Return all messages of a topic."""
        return self._log(topic).messages()

    def frame_ids(self) -> list[str]:
        """Return the ids under which frames were published, repetitions included."""
        return [str(Envelope.of(r.headers).id) for r in self.records(FRAMES)]

    def findings(self) -> list[Finding]:
        """Return all findings, repetitions included."""
        return self._log(RESULTS).of_kind(Finding)

    def recommendations(self) -> list[Recommendation]:
        """Return all recommendations, repetitions included."""
        return self._log(RESULTS).of_kind(Recommendation)

    def assessments(self) -> list[Assessment]:
        """Return all assessments, repetitions included."""
        return self._log(RESULTS).of_kind(Assessment)

    def alerts(self) -> list[Alert]:
        """Return all alerts, repetitions included."""
        return self._log(ALERTS).of_kind(Alert)

    def dead_letters(self) -> list[Any]:
        """Return all dead letters."""
        return self.records(DEAD_LETTERS)

    def frame(self, finding: Finding) -> Any:
        """Return the message a finding is about."""
        where: Any = finding.frame
        return read_one(Cluster.plain(self.kafka), where.topic, where.partition, where.offset)

    def states(self) -> dict[str, Any]:
        """Return the facts of each patient by the newest snapshots."""
        messages = self.records(PATIENTS)
        done, found = self._snapshots
        for message in messages[done:]:
            found.add(message.partition, message.key, message.value)
        self._snapshots = len(messages), found
        return {patient_id: self._facts_of(p) for (_, patient_id), p in found.patients.items()}

    def _facts_of(self, patient: Patient) -> Any:
        known = self._facts.get(patient.patient_id)
        if known is None or known[0] is not patient:
            known = self._facts[patient.patient_id] = patient, facts(patient)
        return known[1]

    def cached(self) -> dict[str, Any]:
        """Return the facts of each patient by Redis."""
        pattern = cache_key(self.names.prefix, "*")
        with Redis.from_url(self.redis, protocol=2) as redis:
            keys = redis.scan_iter(pattern, _type="hash")
            states = [redis.hget(key, "state") for key in keys]
        patients = [Patient.model_validate_json(state) for state in states if state]
        return {p.patient_id: facts(p) for p in patients}

    def send(self, topic: Topic, value: bytes, *, key: str, partition: int | None = None) -> None:
        """Publish a record to a topic, where its key belongs or elsewhere."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.split(","))
        producer.send(self.names.of(topic), key=key.encode(), value=value, partition=partition).get(
            timeout=30
        )
        producer.close()

    def send_all(
        self, topic: Topic, messages: Iterable[tuple[str, bytes, list[tuple[str, Any]]]]
    ) -> None:
        """Publish (key, value, headers) to a topic and wait until all are confirmed."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.split(","))
        name = self.names.of(topic)
        sent = [
            producer.send(name, key=key.encode(), value=value, headers=headers)
            for key, value, headers in messages
        ]
        for confirmation in sent:
            confirmation.get(timeout=30)
        producer.close()

    def make_anew(self, topic: Topic, partitions: int) -> None:
        """Delete a topic and create it with another number of partitions."""
        self.delete(topic)
        wanted = {"num_partitions": partitions, "replication_factor": 1}
        more = {"configs": topic.settings()}
        self.admin.create_topics({self.names.of(topic): wanted | more}, wait_for_metadata=True)

    def delete(self, topic: Topic) -> None:
        """Delete a topic and wait until it is gone."""
        if topic in self._logs:
            self._logs.pop(topic).close()
        if topic is PATIENTS:
            self._snapshots = 0, Snapshots()
        self.admin.delete_topics([self.names.of(topic)])
        eventually(
            lambda: self.names.of(topic) not in self.admin.list_topics(),
            within_s=20,
            what=f"{topic.name} is gone",
        )

    def publish(self, value: bytes | None, *, key: bytes | None = None, headers=()) -> None:
        """Publish a message to `frames` as a foreign device might."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.split(","), max_request_size=40 << 20)
        topic = self.names.of(FRAMES)
        producer.send(topic, key=key, value=value, headers=list(headers)).get(timeout=30)
        producer.close()

    def answered(self, count: int, *, within_s: float) -> list[Finding]:
        """Wait until so many distinct frames have findings; return all findings."""

        def enough() -> list[Finding]:
            findings = self.findings()
            return findings if len({f.frame_id for f in findings}) >= count else []

        return eventually(enough, within_s=within_s, what=f"{count} frames answered")

    def unanswered(self) -> int:
        """Return how many messages of `frames` have no finding: one sent again hides no loss."""
        sent = {(message.partition, message.offset) for message in self.records(FRAMES)}
        places: list[Any] = [finding.frame for finding in self.findings()]
        return len(sent - {(place.partition, place.offset) for place in places})

    def settled(self, *, within_s: float = 30.0) -> dict[str, Any]:
        """Wait until the patients worker has folded every finding; return the states."""

        def whole() -> dict[str, Any]:
            ids = {str(f.id) for f in self.findings() if f.patient_id and f.series_instance_uid}
            states = self.states()
            folded = {
                finding_id
                for state in states.values()
                for series in state["series"].values()
                for finding_id in series["slices"]
            }
            # A frame that was replayed has its second finding under the same id.
            done = folded == ids and self.behind("patients", RESULTS) == 0
            return states if done else {}

        return eventually(whole, within_s=within_s, what="all findings folded")


def facts(patient: Patient) -> dict[str, Any]:
    """Return a state without what counts messages or says when they came."""
    value: dict[str, Any] = json.loads(patient.to_json())
    del value["version"], value["generation"]
    for series in value["series"].values():
        del series["received_first"], series["received_last"]
    for alarm in value["alarms"].values():
        del alarm["since"]
    return value
