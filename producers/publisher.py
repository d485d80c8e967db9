"""Frames to Kafka: acknowledged by all in-sync replicas, idempotent, in order per patient."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from producers import messages
from producers.messages import Message
from producers.prepare import Prepared
from wire.clients import connected
from wire.cluster import BrokerUnavailable, Cluster
from wire.contact import knock
from wire.dead_letters import DeadLetter
from wire.errors import FrameError
from wire.replayed import Replayed
from wire.topics import FIRST_CONTACT_MS, FRAMES, MAX_MESSAGE_BYTES, Names, Topic

BUFFER_BYTES = 96 << 20
"""Unconfirmed bytes held in memory, three of the largest frames: kafka-python itself has no bound.
Above it a sender waits for the broker."""

DELIVERY_TIMEOUT_MS = 120_000
"""How long a frame may wait for its broker before `PublishError`: long enough for a restart."""


REQUEST_TIMEOUT_MS = 30_000

REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)
"""What a broker says of a message that it will never take as it is set up."""


class PublishError(Exception):
    """A frame could not be handed to Kafka.

    for_good : the broker refuses this very message: it would refuse it again.

    Operator action: see whether the broker runs (``lesionstream doctor``), then run the same
    command again: frames that arrived already keep their ids and are not counted twice.
    """

    def __init__(self, words: str, *, for_good: bool = False) -> None:
        super().__init__(words)
        self.for_good = for_good


def _not_taken(what: str, error: KafkaError) -> PublishError:
    return PublishError(f"{what} ({error})", for_good=isinstance(error, REFUSED))


class Confirmation:
    """The broker's word for one message, to be waited for."""

    def __init__(self, future: Any) -> None:
        self._future = future

    @property
    def arrived(self) -> bool:
        """Return whether all in-sync replicas have the message by now."""
        return bool(self._future.succeeded())

    def wait(self, timeout_s: float) -> None:
        """Return once all in-sync replicas have the message.

        Raises
        ------
        PublishError   they do not have it, or not in time; it may still arrive.
        """
        try:
            self._future.get(timeout=timeout_s)
        except KafkaError as error:
            raise _not_taken("the broker did not confirm a message", error) from error


class Publisher:
    """Publish frames and reports of what could not become one.

    Parameters
    ----------
    source : CloudEvents source of this producer, such as ``/lesionstream/replay``.
    delivery_timeout_ms : how long a frame may wait for its broker.

    Raises
    ------
    PublishError   no broker answers.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        names: Names,
        source: str,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
    ) -> None:
        self._names = names
        self._source = source
        self._timeout_s = delivery_timeout_ms / 1000
        self._failure: BaseException | None = None
        self._room = threading.Condition()
        self._unconfirmed_bytes = 0
        try:
            knock(cluster)
            self._producer = connected(
                KafkaProducer,
                cluster,
                acks="all",
                enable_idempotence=True,
                # lz4 gains little on the noise of a CT slice, and costs as much as all the rest.
                compression_type=None,
                metrics_enabled=False,
                max_request_size=MAX_MESSAGE_BYTES,
                max_block_ms=delivery_timeout_ms,
                delivery_timeout_ms=delivery_timeout_ms,
                request_timeout_ms=min(REQUEST_TIMEOUT_MS, delivery_timeout_ms // 2),
                client_id="lesionstream-producer",
                bootstrap_timeout_ms=FIRST_CONTACT_MS,
            )
        except BrokerUnavailable as error:
            raise PublishError(str(error)) from error

    def frame(
        self,
        prepared: Prepared,
        received: datetime | None = None,
        done: Callable[[], None] | None = None,
        topic: Topic = FRAMES,
    ) -> Confirmation:
        """Hand a frame over; see `send`.

        Parameters
        ----------
        received : when its last byte came; None for now.
        topic : `wire.topics.STAT` for one of an urgent series.
        """
        message = messages.frame(prepared, received or datetime.now(UTC), self._source, topic)
        return self.send(message, done)

    def again(self, letter: DeadLetter) -> Confirmation:
        """Send the payload of a dead letter once more to where it came from; see `send`."""
        return self.send(messages.again(letter, self._source, self._names))

    def note(self, replayed: Replayed) -> None:
        """Note that a dead letter was sent, after that was confirmed; see `send`."""
        self.send(messages.note(replayed, self._source))

    def unusable(
        self, payload_id: str, error: FrameError, received: datetime, *, quarantine: str | None
    ) -> None:
        """Report an object that could not become a frame; see `send`."""
        self.send(messages.unusable(payload_id, error, received, quarantine, self._source))

    def send(self, message: Message, done: Callable[[], None] | None = None) -> Confirmation:
        """Hand a message over; waits while the buffer is full. `done` is called on confirmation.

        Raises
        ------
        PublishError   this or an earlier message was not taken.
        """
        self._raise_failure()
        self._take_room(message.size_bytes)
        try:
            future = self._producer.send(
                self._names.of(message.topic),
                key=message.key,
                value=message.value,
                headers=message.headers,
            )
        except KafkaError as error:
            self._give_room(message.size_bytes)
            raise _not_taken("the broker took no message", error) from error
        future.add_both(lambda _: self._give_room(message.size_bytes))
        future.add_errback(self._failed)
        if done is not None:
            future.add_callback(lambda _: done())
        return Confirmation(future)

    def flush(self) -> None:
        """Wait until everything handed over is confirmed.

        Raises
        ------
        PublishError   something was not taken.
        """
        try:
            self._producer.flush(timeout=self._timeout_s)
        except KafkaError as error:
            raise PublishError(f"the broker did not confirm everything ({error})") from error
        self._raise_failure()

    def close(self) -> None:
        """Release the connection; what is not confirmed by now is dropped."""
        with contextlib.suppress(KafkaTimeoutError):  # dropped: that is what was asked for
            self._producer.close(timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_room(self, size: int) -> None:
        with self._room:
            free = self._room.wait_for(
                lambda: self._unconfirmed_bytes + size <= BUFFER_BYTES,
                timeout=self._timeout_s,
            )
            if not free:
                raise PublishError("the broker confirmed nothing for too long")
            self._unconfirmed_bytes += size

    def _give_room(self, size: int) -> None:
        with self._room:
            self._unconfirmed_bytes -= size
            self._room.notify_all()

    def _failed(self, error: Any) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise PublishError(f"the broker did not take a message ({self._failure})")
