"""A Kafka that lets in whom it knows (SASL_SSL, ACLs), and a Redis with TLS and users."""

import base64
import json
import socket
import ssl
import uuid
from pathlib import Path

from support.certificates import Authority

import local
from local import process
from local.broker import MESSAGE_MAX_BYTES
from local.jars import fetch_kafka, java
from local.says import Say
from local.server import Server

ADMIN = "admin"

KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}
listener.security.protocol.map=SASL_SSL:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\\
    org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# The two inner listeners have no logins; they are on the loopback.
super.users=User:{admin};User:ANONYMOUS
log.dirs=data
auto.create.topics.enable=false
message.max.bytes={message_max}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""

REDIS = """\
bind 127.0.0.1
port 0
tls-port {client}
tls-cert-file {certificate}
tls-key-file {key}
tls-ca-cert-file {ca}
tls-auth-clients no
daemonize no
set-proc-title no
save ""
user default off
"""


class GuardedKafka(Server):
    """One broker; its users are made with it.

    Parameters
    ----------
    passwords : of each user, by name; `ADMIN` may do everything.
    """

    name = "kafka"
    port_names = ("client", "controller", "internal")
    start_s = 90.0
    stop_s = 30.0

    def __init__(self, home: Path, authority: Authority, passwords: dict[str, str]) -> None:
        super().__init__(home)
        self._authority = authority
        self._passwords = passwords

    def find(self) -> process.Process | None:
        return process.find("java", self._mark)

    def launch(self, claimed: dict[str, int], say: Say) -> process.Process:
        certificate, key = self._authority.certify("kafka")
        keystore = self.folder / "keystore.pem"
        keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        (self.folder / "server.properties").write_text(
            KAFKA.format(**claimed, keystore=keystore, admin=ADMIN, message_max=MESSAGE_MAX_BYTES)
        )
        tool = [java(), "-XX:TieredStopAtLevel=1", "-cp", f"{fetch_kafka()}/*"]
        if not (self.folder / "data").exists():
            cluster_id = "L" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
            users = [
                f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
                for name, password in self._passwords.items()
            ]
            code, words = process.run(
                [
                    *(*tool, "kafka.tools.StorageTool", "format", "-t", cluster_id),
                    *("-c", "server.properties", *users),
                ],
                cwd=self.folder,
                timeout_s=60,
            )
            if code:
                raise local.LocalError(words)
        return process.start(
            [
                *(*tool, self._mark, "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
                *("kafka.Kafka", "server.properties"),
            ],
            cwd=self.folder,
            log=self.log,
        )

    def answers(self, running: process.Process, port: int) -> bool:
        """Whether a TLS handshake is answered: what comes after is the callers' to wait for."""
        return running.alive() and _shakes_hands(port, self._authority.file)

    def address(self, port: int) -> str:
        return f"127.0.0.1:{port}"

    @property
    def inside(self) -> str:
        """Return where the broker talks to itself, without TLS."""
        ports = json.loads((self.folder / "ports.json").read_text())
        return f"127.0.0.1:{ports['internal']}"

    @property
    def _mark(self) -> str:
        return f"-Dlesionstream.guarded={self.home}"


class GuardedRedis(Server):
    """One Redis.

    Parameters
    ----------
    users : lines of its ACL, such as ``user me on >password ~* +@all``.
    """

    name = "redis"
    port_names = ("client",)
    start_s = 30.0
    stop_s = 20.0

    def __init__(self, home: Path, authority: Authority, users: list[str]) -> None:
        super().__init__(home)
        self._authority = authority
        self._users = users

    def find(self) -> process.Process | None:
        return process.find("redis-server", str(self.folder / "redis.conf"))

    def launch(self, claimed: dict[str, int], say: Say) -> process.Process:
        certificate, key = self._authority.certify("redis")
        settings = REDIS.format(
            **claimed, certificate=certificate, key=key, ca=self._authority.file
        )
        file = self.folder / "redis.conf"
        file.write_text("\n".join([settings, *self._users, ""]))
        return process.start(
            [process.program("redis-server", ""), str(file)], cwd=self.folder, log=self.log
        )

    def answers(self, running: process.Process, port: int) -> bool:
        return running.alive() and _shakes_hands(port, self._authority.file)

    def address(self, port: int) -> str:
        return f"rediss://127.0.0.1:{port}/0"


def _shakes_hands(port: int, ca: Path) -> bool:
    context = ssl.create_default_context(cafile=ca)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=2) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1"),
        ):
            return True
    except OSError:
        return False
