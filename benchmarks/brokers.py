"""Kafka beside the product's own: three brokers, or one behind a proxy."""

import secrets
from pathlib import Path
from typing import ClassVar

from local import ports
from local.broker import Broker
from local.process import Process

ID = "L" + secrets.token_urlsafe(16)[:21].replace("-", "a")
"""All nodes of a cluster are formatted with one id."""


class Node(Broker):
    """A broker with settings of its own after the product's; the last word counts.

    Parameters
    ----------
    more : the settings; may hold ``{client}``, ``{controller}`` and ``{direct}``, its ports.
    """

    port_names: ClassVar[tuple[str, ...]] = ("client", "controller", "direct")

    def __init__(self, home: Path, more: str) -> None:
        super().__init__(home.resolve())
        self.more = more
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.ports = ports.claim(self._ports_file, self.port_names)

    def begin(self) -> Process:
        """Start it and do not wait."""
        return self.launch(ports.claim(self._ports_file, self.port_names), lambda _: None)

    def wait(self) -> None:
        """Wait until it takes requests."""
        running = self.find()
        assert running is not None, self._log_says(0)
        assert self._await(running, self.ports["client"], since=0), self._log_says(0)

    def _write_settings(self, file: str, data: str, claimed: dict[str, int]) -> None:
        super()._write_settings(file, data, claimed)
        with (self.folder / file).open("a") as written:
            written.write(self.more.format(**claimed))

    def _new_cluster_id(self) -> str:
        return ID


BEHIND_PROXY = """
listeners=PLAINTEXT://127.0.0.1:{{client}},DIRECT://127.0.0.1:{{direct}},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{proxy},DIRECT://127.0.0.1:{{direct}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
"""


def behind(proxy: int, home: Path) -> Node:
    """Return a broker that sends its clients to the port of a proxy; started.

    Who wants to reach it past the proxy asks at its port ``direct``.
    """
    node = Node(home, BEHIND_PROXY.format(proxy=proxy))
    node.begin()
    node.wait()
    return node


ONE_OF_THREE = """
node.id={number}
controller.quorum.voters={voters}
min.insync.replicas=2
default.replication.factor=3
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
share.coordinator.state.topic.replication.factor=3
"""


class Three:
    """A cluster of three brokers, each a controller as well."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder / f"node{number}", "") for number in (1, 2, 3)]
        voters = ",".join(
            f"{number}@127.0.0.1:{node.ports['controller']}"
            for number, node in enumerate(self.nodes, 1)
        )
        for number, node in enumerate(self.nodes, 1):
            node.more = ONE_OF_THREE.format(number=number, voters=voters)
            node.begin()
        for node in self.nodes:
            node.wait()

    @property
    def bootstrap(self) -> str:
        """Return the addresses of all three."""
        return ",".join(node.address(node.ports["client"]) for node in self.nodes)

    def close(self) -> None:
        """Stop all."""
        for node in self.nodes:
            running = node.find()
            if running is not None:
                running.stop(node.stop_s)
