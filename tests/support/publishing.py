"""Frames and findings on a stack's topics, without the workers or commands that make them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from support.stack import Stack

from identity.pseudonyms import load_or_make_key
from producers.prepare import Prepared, prepare
from producers.publisher import Publisher
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.records import Finding
from wire.topics import RESULTS


def feed(stack: Stack, folder: Path) -> None:
    """Publish the frames of a folder as `replay` does, without starting a process for it."""
    key = load_or_make_key(stack.folder / "home" / "pseudonym.key")
    with Publisher(Cluster.plain(stack.kafka), names=stack.names, source="/test") as publisher:
        for path in sorted(folder.rglob("*.dcm")):
            for frame in prepare(path.read_bytes(), key):
                assert isinstance(frame, Prepared)
                publisher.frame(frame)
        publisher.flush()


def publish(stack: Stack, findings: Iterable[Finding]) -> None:
    """Publish findings as of frames that were received just now."""
    now = {"received_time": datetime.now(UTC)}
    stack.send_all(
        RESULTS,
        [(str(f.patient_id), f.model_copy(update=now).to_json(), _headers(f)) for f in findings],
    )


def _headers(finding: Finding) -> list[tuple[str, bytes]]:
    return Envelope("finding", str(finding.id), "/test").headers()
