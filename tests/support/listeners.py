"""A DICOM listener in this process, on a stack's Kafka."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from producers.listener import ANYONE, SOURCE, Listener
from producers.outbox import Outbox
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.spool import Spool
from wire.cluster import Cluster
from wire.topics import Names

KEY = b"k" * 32


def publisher(kafka: str, names: Names) -> Callable[[], Publisher]:
    """Return a function that connects as the command `listen` does, but gives up sooner."""
    return lambda: Publisher(
        Cluster.plain(kafka), names=names, source=SOURCE, delivery_timeout_ms=2_000
    )


def listener(
    connect: Callable[[], Publisher],
    folder: Path,
    *,
    allow: Iterable[str] = (ANYONE,),
    spool_bytes: int = 1 << 30,
    **kwargs: Any,
) -> Listener:
    """Return a listener whose files lie below `folder`; it is not started."""
    return Listener(
        Outbox(connect, Spool(folder / "spool", spool_bytes), SOURCE),
        receiving=folder / "receiving",
        quarantine=Quarantine(folder / "quarantine"),
        key=KEY,
        allow=frozenset(allow),
        **kwargs,
    )
