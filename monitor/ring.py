"""The newest messages of `alerts` as they go out on the feed: in memory, in order, each id once."""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal
from uuid import UUID

from wire.envelope import Envelope
from wire.records import Alert, Heartbeat

SIZE = 4_000
"""Messages; an hour of heartbeats. Who was away for longer is served from Kafka."""

REMEMBERED = 50_000
"""Alert ids. A worker that was killed says an alert again with the same id: the feed does not."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of `alerts`.

    data : the record's JSON, as on the topic.
    time : when it was said, by its envelope.
    """

    offset: int
    event: Literal["alert", "heartbeat"]
    data: str
    record: Alert | Heartbeat
    time: datetime | None = None


def heard(record: Any) -> Heard | None:
    """Read a kafka-python record of `alerts`; None for what is neither alert nor heartbeat.

    Raises
    ------
    ValueError   it should be one, and is not.
    """
    envelope = Envelope.of(record.headers)
    if record.value is None or envelope.kind not in (Alert.kind, Heartbeat.kind):
        return None
    text = record.value.decode()
    if envelope.kind == Alert.kind:
        said = Alert.model_validate_json(text)
        return Heard(record.offset, "alert", text, said, envelope.time)
    beat = Heartbeat.model_validate_json(text)
    return Heard(record.offset, "heartbeat", text, beat, envelope.time)


class Ring:
    """The newest messages of `alerts`. Thread-safe.

    begin, next : from the offset `begin` on all is here, up to before `next`.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._lock = threading.Lock()
        self._heard: deque[Heard] = deque()
        self._size = size
        self._first_said: OrderedDict[UUID, int] = OrderedDict()
        self.begin = 0
        self.next = 0

    def open(self, offset: int) -> None:
        """Say at which offset the reading begins."""
        with self._lock:
            self._clear(offset)

    def add(self, offset: int, message: Heard | None) -> bool:
        """Take the next message of the topic (None: not one for the feed); tell if it is new.

        An offset that was passed already is of a topic that was made anew: all begins again.
        """
        with self._lock:
            if offset < self.next:
                self._clear(offset)
            self.next = offset + 1
            if message is None or self._repeats(message):
                return False
            self._heard.append(message)
            if len(self._heard) > self._size:
                self.begin = self._heard.popleft().offset + 1
            return True

    def since(self, offset: int, limit: int) -> tuple[list[Heard], int] | None:
        """Return (messages from `offset` on, offset to go on at); None where it is too old."""
        with self._lock:
            if offset < self.begin:
                return None
            newer = 0
            for message in reversed(self._heard):
                if message.offset < offset:
                    break
                newer += 1
            found = list(islice(self._heard, len(self._heard) - newer, None))[:limit]
            whole = len(found) == newer
            return found, max(offset, self.next) if whole else found[-1].offset + 1

    def repeats(self, message: Heard) -> bool:
        """Tell whether an alert was said before under the same id, as far as is remembered."""
        said = self._first_said.get(message.record.id)
        return message.event == "alert" and said is not None and said < message.offset

    def _repeats(self, message: Heard) -> bool:
        if message.event != "alert":
            return False
        if message.record.id in self._first_said:
            return True
        self._first_said[message.record.id] = message.offset
        if len(self._first_said) > REMEMBERED:
            self._first_said.popitem(last=False)
        return False

    def _clear(self, offset: int) -> None:
        self._heard.clear()
        self._first_said.clear()
        self.begin = self.next = offset
