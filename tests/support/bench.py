"""Where cells are set up: servers, scans and what must come of them; all is ended at the end."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.cell import Cell
from support.chaos import Outcome
from support.stack import Stack

import local
from local import Endpoints
from wire import topic_admin
from wire.cluster import Cluster
from wire.topics import FRAMES, Names


@dataclass
class Bench:
    """What a cell needs.

    servers : a Kafka and a Redis that others use, too.
    folder : of this cell alone.
    programs : what runs instead of the product, by role.
    """

    servers: Endpoints
    scans: Path
    expected: Outcome
    seed: int
    folder: Path
    programs: dict[str, tuple[object, ...]] = field(default_factory=dict)
    ends: ExitStack = field(default_factory=ExitStack)
    cells: list[Cell] = field(default_factory=list)

    def own(self, *, kafka: bool = True, redis: bool = True) -> Path:
        """Start servers that may be hurt; return their state folder."""
        home = self.folder / "servers"
        self.ends.callback(local.down, home)
        local.up(home, kafka=kafka, redis=redis)
        return home

    def cell(
        self,
        kafka: str | None = None,
        redis: str | None = None,
        *,
        reached_at: str | None = None,
        partitions: int | None = None,
    ) -> Cell:
        """Return a cell on the servers of all, or on these.

        Parameters
        ----------
        reached_at : where the cell's processes find Kafka, if not where the test does.
        partitions : of `frames`; None: as many as the product makes.
        """
        kafka = kafka or str(self.servers.kafka)
        names = Names(f"c{secrets.token_hex(4)}-")
        topic_admin.create(Cluster.plain(kafka), names)
        stack = Stack(
            kafka, redis or str(self.servers.redis), names, self.folder, reached_at=reached_at
        )
        if partitions is not None:
            stack.make_anew(FRAMES, partitions)
        cell = Cell(stack, self.scans, self.expected, self.seed, self.programs)
        self.ends.callback(stack.close)
        self.ends.callback(cell.close)
        self.cells.append(cell)
        return cell


@contextmanager
def opened(bench: Bench) -> Iterator[Bench]:
    """Yield a bench; what was started on it ends with it."""
    with bench.ends:
        yield bench
