"""Apache Kafka: one node, broker and controller in one process (KRaft)."""

import base64
import shutil
import socket
import struct
import uuid
from typing import ClassVar

from local import process
from local.errors import LocalError
from local.jars import fetch_kafka, java
from local.says import Say
from local.server import Server

HEAP = "512m"
"""The broker's heap. Ten producers of 31 MiB messages at once: 100 of 100 stored and read back, the
process at most 1.0 GB (Java keeps write buffers outside its heap); idle it takes 0.2 GB."""

MESSAGE_MAX_BYTES = 33_554_432
"""32 MiB: frames up to 31 MiB pass (a mammogram is 24 MB); the topics carry the same number."""

SESSION_TIMEOUT_MS = 3_000
"""After a kill -9 the controller refuses the broker's return until its old session has run out.
Measured from `up` to the first answer: 12.5 s with Kafka's default of 9 s on an idle machine, 7.1
to 7.6 s with 3 s on a busy one (three kills), where a start after a clean stop takes 5.4 to 6.0."""

SETTINGS = f"""\
# Written by lesionstream at each start: changes here are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{controller}}
listeners=PLAINTEXT://127.0.0.1:{{client}},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{client}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={{data}}

auto.create.topics.enable=false
message.max.bytes={MESSAGE_MAX_BYTES}
replica.fetch.max.bytes={MESSAGE_MAX_BYTES}
# Requests being received may hold a quarter of the heap; more wait in their sockets.
socket.request.max.bytes={2 * MESSAGE_MAX_BYTES}
queued.max.request.bytes={4 * MESSAGE_MAX_BYTES}

# One node: nothing is copied elsewhere. Few internal partitions start quickly.
min.insync.replicas=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms={SESSION_TIMEOUT_MS}
broker.heartbeat.interval.ms=500

# The cleaner takes its whole buffer at the start: Kafka's default is a quarter of the heap.
log.cleaner.enable=true
log.cleaner.dedupe.buffer.size=16777216
"""
"""The broker's settings. Folders are relative to its own: a path may hold commas and blanks, which
``log.dirs`` may not. Retention is each topic's own."""

_FORMAT_S = 60.0


class Broker(Server):
    """The Kafka of a state folder; its data are in ``kafka/data``."""

    name = "kafka"
    port_names: ClassVar[tuple[str, ...]] = ("client", "controller")
    start_s = 90.0  # 3 s on two idle cores, 7 s on two busy ones
    stop_s = 30.0  # 0.3 to 1.6 s

    def find(self) -> process.Process | None:
        """Return the process that runs this broker now."""
        return process.find("java", self._mark)

    def launch(self, claimed: dict[str, int], say: Say) -> process.Process:
        """Format the data folder if it is new, and start the broker.

        Raises
        ------
        LocalError   Java or the jars are missing, or formatting failed.
        """
        jars, virtual_machine = fetch_kafka(say, home=self.home), java()
        classpath = f"{jars}/*"
        if not (self.folder / "data").exists():
            self._format(virtual_machine, classpath, claimed)
        self._write_settings("server.properties", "data", claimed)
        return process.start(
            [
                *(virtual_machine, self._mark, f"-Xmx{HEAP}", "-XX:+ExitOnOutOfMemoryError"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
                *("-cp", classpath, "kafka.Kafka", "server.properties"),
            ],
            cwd=self.folder,
            log=self.log,
        )

    def answers(self, running: process.Process, port: int) -> bool:
        """Whether the broker on `port` is this one, and takes requests."""
        try:
            return running.alive() and _cluster_id(port) == self._formatted_cluster_id()
        except OSError:
            return False

    def address(self, port: int) -> str:
        """Return the bootstrap address."""
        return f"127.0.0.1:{port}"

    @property
    def _mark(self) -> str:
        return f"-Dlesionstream.kafka={self.home}"

    def _write_settings(self, file: str, data: str, claimed: dict[str, int]) -> None:
        (self.folder / file).write_text(SETTINGS.format(data=data, **claimed))

    def _format(self, virtual_machine: str, classpath: str, claimed: dict[str, int]) -> None:
        """Make ``data``, under another name until it is whole."""
        shutil.rmtree(self.folder / "data.new", ignore_errors=True)
        self._write_settings("format.properties", "data.new", claimed)
        cluster_id = self._new_cluster_id()
        code, words = process.run(
            [
                *(virtual_machine, "-XX:TieredStopAtLevel=1", "-cp", classpath),
                *("kafka.tools.StorageTool", "format", "-t", cluster_id),
                *("-c", "format.properties"),
            ],
            cwd=self.folder,
            timeout_s=_FORMAT_S,
        )
        if code != 0:
            raise LocalError(f"Kafka could not format {self.folder} (exit {code}):\n{words}")
        (self.folder / "data.new").rename(self.folder / "data")

    def _new_cluster_id(self) -> str:
        # Kafka's tools take an id with a leading "-" for an option.
        return "L" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]

    def _formatted_cluster_id(self) -> str:
        lines = (self.folder / "data" / "meta.properties").read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if "=" in line)
        if "cluster.id" not in settings:
            raise LocalError(
                f"{self.folder / 'data' / 'meta.properties'} names no cluster: "
                f"remove {self.folder} to begin with an empty broker"
            )
        return settings["cluster.id"]


def _cluster_id(port: int) -> str | None:
    """Ask for the cluster's id; None while no broker of it takes requests.

    A Metadata request, version 2, without topics (Kafka protocol guide): a listening socket is not
    enough, a broker listens some seconds before the controller lets it in.
    """
    body = struct.pack(">hhihi", 3, 2, 1, -1, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answer:

            def number(code: str) -> int:
                raw = answer.read(struct.calcsize(code))
                if len(raw) < struct.calcsize(code):
                    raise ConnectionResetError("the broker ended its answer early")
                return int(struct.unpack(code, raw)[0])

            def text() -> str:
                return answer.read(max(0, number(">h"))).decode(errors="replace")

            number(">q")  # size and correlation id
            brokers = number(">i")
            for _ in range(brokers):
                number(">i"), text(), number(">i"), text()  # id, host, port, rack
            return text() if brokers > 0 else None
