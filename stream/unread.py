"""The dead letter of a message that is no record, or cannot be used as one."""

import faust
import structlog
from faust.types import EventT

from stream import metrics
from stream.faust_app import Outgoing
from wire.dead_letters import DeadLetter
from wire.records import FrameAddress

log = structlog.get_logger(__name__)


def unread(
    topic: faust.TopicT, event: EventT[bytes], reason: str, detail: str, *, source: str
) -> Outgoing:
    """Say where a message lies that cannot be used: its payload is not kept, it may name somebody.

    Parameters
    ----------
    topic : of the dead letters.
    source : the CloudEvents source of the worker.
    """
    message = event.message
    where = FrameAddress(topic=message.topic, partition=message.partition, offset=message.offset)
    metrics.DEAD_LETTERS.labels(reason).inc()
    log.error("set aside", reason=reason, detail=detail, **where.model_dump())
    letter = DeadLetter(
        id=f"{where.topic}/{where.partition}/{where.offset}",
        value=None,
        reason=reason,
        detail=detail,
        where=where,
    )
    return Outgoing(topic, letter.id, None, letter.headers(source))
