"""The outbox of a listener: to the broker while it takes messages, to the spool while it does not.

What is said to be stored is at all in-sync replicas or on the disk. What is on the disk is sent,
in order, as soon as a broker takes it; until then new messages queue up behind it, so that a
patient's frames stay in order.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Self

import structlog

from producers import messages, metrics
from producers.messages import Message
from producers.prepare import Prepared
from producers.publisher import Confirmation, Publisher, PublishError
from producers.spool import Spool, SpoolError
from wire.errors import FrameError
from wire.topics import FRAMES, Topic

log = structlog.get_logger(__name__)

CONFIRM_S = 10.0
"""How long a message may wait for the broker before it is spooled: devices wait 30 s and more."""

BATCH_BYTES = 16 << 20
"""Sent from the spool, or written to it, at once."""

AGAIN_S = 1.0
"""After a broker failed it is asked again so often."""


class NotStored(Exception):
    """Neither broker nor spool took a message: the device must keep its image."""


class Outbox:
    """Where a listener puts messages. Thread-safe; sends what is spooled in a thread of its own.

    Parameters
    ----------
    connect : makes a publisher, or raises `PublishError`; called again after one failed.
    spool : closed with the outbox.
    source : CloudEvents source of the messages.
    """

    def __init__(self, connect: Callable[[], Publisher], spool: Spool, source: str) -> None:
        self._connect = connect
        self._spool = spool
        self.source = source
        self._door = threading.Lock()  # held to decide between broker and spool
        self._publisher: Publisher | None = None
        self._trouble = ""
        self._refused: dict[int, str] = {}  # numbers in the spool that the broker will never take
        self._work = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> Self:
        """Begin to look for a broker, and to send what an earlier run left."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop sending; what is spooled stays there."""
        self._closed.set()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._door:
            publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()
        self._spool.close()

    @property
    def waiting(self) -> int:
        """Return how many messages wait in the spool."""
        return len(self._spool)

    @property
    def trouble(self) -> str:
        """Return why messages wait; empty where they go straight to the broker."""
        if self._thread.ident and not self._thread.is_alive():
            return f"nothing is sent any more; {self.waiting} messages wait in the spool"
        if self._refused:
            why = next(iter(self._refused.values()))
            return f"{len(self._refused)} messages in the spool that the broker refuses: {why}"
        if self._trouble or self.waiting:
            return f"{self._trouble or 'sending'}; {self.waiting} messages wait in the spool"
        return ""

    def delivery(self) -> "Delivery":
        """Return a way to store the messages of one object."""
        return Delivery(self)

    def open_to(self) -> Publisher | None:
        """Return the publisher that takes messages now; None where they must queue in the spool."""
        with self._door:
            return self._publisher if len(self._spool) == len(self._refused) else None

    def keep(self, kept: Sequence[Message]) -> None:
        """Spool messages.

        Raises
        ------
        NotStored   there is no room.
        """
        with self._door:
            try:
                self._spool.put(kept)
            except SpoolError as error:
                raise NotStored(f"{self._trouble or 'the broker is busy'}; {error}") from error
        metrics.SPOOLED.inc(len(kept))
        self._work.set()

    def lost(self, publisher: Publisher, error: PublishError) -> None:
        """Give up a publisher that failed; another one may be in its place by now."""
        with self._door:
            mine = self._publisher is publisher
            if mine:
                self._publisher = None
                self._trouble = str(error)
        if mine:
            log.warning("the broker is away", why=str(error), frames="are spooled")
            publisher.close()
        self._work.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._work.clear()
            try:
                if self._publisher is None and not self._find_broker():
                    self._closed.wait(AGAIN_S)
                elif len(self._spool) > len(self._refused):
                    self._send_some()
                else:
                    self._work.wait()
            except Exception as error:  # the thread's end: nothing would be sent any more
                log.error("the spool is not sent", why=f"{type(error).__name__}: {error}")
                self._trouble = str(error)
                self._closed.wait(AGAIN_S)

    def _find_broker(self) -> bool:
        try:
            publisher = self._connect()
        except PublishError as error:
            self._trouble = str(error)
            return False
        with self._door:
            self._publisher = publisher
            self._trouble = ""
        log.info("the broker answers", waiting=self.waiting)
        return True

    def _send_some(self) -> None:
        """Send the oldest messages of the spool.

        The door is held for the last of them: nothing new can queue up behind, so that the spool
        becomes empty even under load.
        """
        batch = self._spool.first(BATCH_BYTES, skip=self._refused)
        if len(batch) < len(self._spool) - len(self._refused):
            publisher, failure = self._publisher, self._send(batch)
        else:
            with self._door:
                batch = self._spool.first(BATCH_BYTES, skip=self._refused)
                publisher, failure = self._publisher, self._send(batch)
        if publisher and failure:
            self.lost(publisher, failure)
        elif publisher:
            self._trouble = ""

    def _send(self, batch: list[tuple[int, Message]]) -> PublishError | None:
        """Send a batch and take out what arrived; return what went wrong."""
        publisher = self._publisher
        if publisher is None:
            return None
        underway: list[tuple[int, Confirmation]] = []
        arrived: list[int] = []
        failure: PublishError | None = None
        until_s = time.monotonic() + CONFIRM_S
        for number, message in batch:
            try:
                underway.append((number, publisher.send(message)))
            except PublishError as error:
                failure = self._failed(number, error)
                break
        for number, confirmation in underway:
            try:
                confirmation.wait(max(0.0, until_s - time.monotonic()))
                arrived.append(number)
            except PublishError as error:
                failure = self._failed(number, error)
        self._spool.remove(arrived)
        metrics.SPOOL_SENT.inc(len(arrived))
        return failure

    def _failed(self, number: int, error: PublishError) -> PublishError:
        """Note a message that is refused for good: it stays, and holds up no other."""
        if error.for_good:
            log.error("the broker refuses a message", why=str(error), kept="in the spool")
            self._refused[number] = str(error)
        return error


class Delivery:
    """The messages of one object on their way. Of one thread.

    Messages are held until the broker has confirmed them, so that they can still be spooled.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._underway: deque[tuple[Message, Publisher, Confirmation]] = deque()
        self._to_spool: list[Message] = []
        self._to_spool_bytes = 0

    def frame(self, prepared: Prepared, received: datetime, topic: Topic = FRAMES) -> None:
        """Send a frame; `topic` is `wire.topics.STAT` for one of an urgent series.

        Raises
        ------
        NotStored   neither broker nor spool took it.
        """
        self._put(messages.frame(prepared, received, self._outbox.source, topic))

    def unusable(
        self, payload_id: str, error: FrameError, received: datetime, *, quarantine: str | None
    ) -> None:
        """Report what could not become a frame; errors as `frame`."""
        self._put(messages.unusable(payload_id, error, received, quarantine, self._outbox.source))

    def wait(self) -> None:
        """Return once all messages are stored.

        Raises
        ------
        NotStored   one is not; it may still arrive.
        """
        until_s = time.monotonic() + CONFIRM_S
        while self._underway:
            _, publisher, confirmation = self._underway[0]
            try:
                confirmation.wait(max(0.0, until_s - time.monotonic()))
                self._underway.popleft()
            except PublishError as error:
                self._fall_back(publisher, error)
        self._spool()

    def _put(self, message: Message) -> None:
        while self._underway and self._underway[0][2].arrived:
            self._underway.popleft()
        publisher = None if self._to_spool else self._outbox.open_to()
        if self._underway and publisher is not self._underway[-1][1]:
            self._to_spool_unconfirmed()  # another publisher would overtake it
            publisher = None
        if publisher is None:
            self._add_to_spool(message)
            return
        try:
            self._underway.append((message, publisher, publisher.send(message)))
        except PublishError as error:
            if error.for_good:
                raise NotStored(str(error)) from error
            self._fall_back(publisher, error)
            self._add_to_spool(message)

    def _fall_back(self, publisher: Publisher, error: PublishError) -> None:
        """Spool what a failed publisher has not confirmed."""
        if error.for_good:
            raise NotStored(str(error)) from error
        self._outbox.lost(publisher, error)
        self._to_spool_unconfirmed()

    def _to_spool_unconfirmed(self) -> None:
        unconfirmed = [message for message, _, sent in self._underway if not sent.arrived]
        self._underway.clear()
        for message in unconfirmed:
            self._add_to_spool(message)

    def _add_to_spool(self, message: Message) -> None:
        self._to_spool.append(message)
        self._to_spool_bytes += message.size_bytes
        if self._to_spool_bytes > BATCH_BYTES:
            self._spool()

    def _spool(self) -> None:
        if self._to_spool:
            self._outbox.keep(self._to_spool)
            self._to_spool, self._to_spool_bytes = [], 0
