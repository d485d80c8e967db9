"""Frames to Kafka: acknowledged by all in-sync replicas, idempotent, in order per patient."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from producers.prepare import Prepared
from wire.dead_letters import DeadLetter
from wire.envelope import DICOM, Envelope, Headers
from wire.errors import FrameError
from wire.topics import (
    DEAD_LETTERS,
    FIRST_CONTACT_MS,
    FRAMES,
    MAX_MESSAGE_BYTES,
    Names,
)

BUFFER_BYTES = 96 << 20
"""Unconfirmed bytes held in memory, three of the largest frames: kafka-python itself has no bound.
Above it a sender waits for the broker."""

DELIVERY_TIMEOUT_MS = 120_000
"""How long a frame may wait for its broker before `PublishError`: long enough for a restart."""


REQUEST_TIMEOUT_MS = 30_000


class PublishError(Exception):
    """A frame could not be handed to Kafka.

    Operator action: see whether the broker runs (``lesionstream doctor``), then run the same
    command again: frames that arrived already keep their ids and are not counted twice.
    """


class Confirmation:
    """The broker's word for one message, to be waited for."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def wait(self, timeout_s: float) -> None:
        """Return once all in-sync replicas have the message.

        Raises
        ------
        PublishError   they do not have it, or not in time; it may still arrive.
        """
        try:
            self._future.get(timeout=timeout_s)
        except KafkaError as error:
            raise PublishError(f"the broker did not confirm a message ({error})") from error


class Publisher:
    """Publish frames and reports of what could not become one.

    Parameters
    ----------
    bootstrap : ``host:port[,host:port]``.
    source : CloudEvents source of this producer, such as ``/lesionstream/replay``.
    delivery_timeout_ms : how long a frame may wait for its broker.

    Raises
    ------
    PublishError   no broker answers.
    """

    def __init__(
        self,
        bootstrap: str,
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
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                linger_ms=5,
                max_request_size=MAX_MESSAGE_BYTES,
                max_block_ms=delivery_timeout_ms,
                delivery_timeout_ms=delivery_timeout_ms,
                request_timeout_ms=min(REQUEST_TIMEOUT_MS, delivery_timeout_ms // 2),
                client_id="lesionstream-producer",
                bootstrap_timeout_ms=FIRST_CONTACT_MS,
            )
        except KafkaError as error:
            raise PublishError(f"no broker answers at {bootstrap} ({error})") from error

    def frame(
        self,
        prepared: Prepared,
        received: datetime | None = None,
        done: Callable[[], None] | None = None,
    ) -> Confirmation:
        """Hand a frame over; waits while the buffer is full. `done` is called on confirmation.

        Parameters
        ----------
        received : when its last byte came; None for now.

        Raises
        ------
        PublishError   this or an earlier frame was not taken.
        """
        envelope = Envelope(
            kind="frame",
            id=prepared.frame_id,
            source=self._source,
            subject=prepared.subject,
            time=received or datetime.now(UTC),
            content_type=DICOM,
            frame_number=prepared.frame_number,
        )
        return self._send(
            self._names.of(FRAMES),
            prepared.patient_id.encode(),
            prepared.payload,
            envelope.headers(),
            done,
        )

    def again(self, letter: DeadLetter) -> None:
        """Send the payload of a dead letter to `frames` once more, as it came.

        Raises
        ------
        PublishError   this or an earlier message was not taken.
        """
        envelope = Envelope(
            kind="frame",
            id=letter.id,
            source=self._source,
            time=letter.time,
            content_type=DICOM,
            frame_number=letter.frame_number,
        )
        self._send(self._names.of(FRAMES), letter.key, letter.value, envelope.headers(), None)

    def unusable(
        self, payload_id: str, error: FrameError, received: datetime, *, quarantine: str | None
    ) -> None:
        """Report an object that could not become a frame: an event without payload.

        Parameters
        ----------
        quarantine : sha256 under which the object is kept, None where it is not.
        """
        letter = DeadLetter(
            id=payload_id,
            value=None,
            reason=error.reason.value,
            detail=error.detail,
            time=received,
            quarantine=quarantine,
        )
        topic = self._names.of(DEAD_LETTERS)
        self._send(topic, payload_id.encode(), None, letter.headers(self._source), None)

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
        self._producer.close(timeout=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        done: Callable[[], None] | None,
    ) -> Confirmation:
        self._raise_failure()
        size = len(value or b"")
        self._take_room(size)
        try:
            future = self._producer.send(topic, key=key, value=value, headers=headers)
        except KafkaError as error:
            raise PublishError(f"the broker took no message ({error})") from error
        future.add_both(lambda _: self._give_room(size))
        future.add_errback(self._failed)
        if done is not None:
            future.add_callback(lambda _: done())
        return Confirmation(future)

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
