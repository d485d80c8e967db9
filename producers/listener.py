"""The DICOM listener: C-STORE and C-ECHO in front of `frames`.

The answer to a C-STORE tells the truth: success means that all in-sync replicas have every frame
of the object. What cannot be understood is kept in quarantine and refused with the reason; while
the broker is away, or there is no room, the device is told to keep its image and try again.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import structlog
from pydicom.dataset import Dataset
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    _config,
    evt,
)
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from producers import metrics
from producers.prepare import Prepared, prepare
from producers.publisher import Confirmation, Publisher, PublishError
from producers.quarantine import Quarantine
from producers.unusable import set_aside
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.errors import FrameError, Reason

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/listener"
AE_TITLE = "LESIONSTREAM"
PORT = 11112

ANYONE = "*"
"""In the allow-list: any calling AE title."""

PUBLISH_MS = 10_000
"""How long an object may wait for the broker; devices wait 30 s and more for an answer."""

CONNECT_AGAIN_S = 3.0
"""After a connection failed, devices are told at once for so long: each would wait 8 s in turn."""

MAX_OBJECT_BYTES = 256 << 20
"""Of one C-STORE: a decode process holds it three times, and has 1 GiB. Larger: `too-large`."""

IDLE_S = 60.0
MAX_ASSOCIATIONS = 32
MAX_PDU_BYTES = 128 << 10

VERIFICATION = "1.2.840.10008.1.1"

SUCCESS = 0x0000
SOME_FRAMES = 0xB006
OUT_OF_RESOURCES = 0xA700
UNDERSTOOD_NOT: dict[Reason, int] = {
    Reason.UNDECODABLE: 0xC000,
    Reason.NOT_AN_IMAGE: 0xC001,
    Reason.TOO_LARGE: 0xC002,
    Reason.NOT_DEIDENTIFIED: 0xC003,
}
"""Status of an object without a usable frame (PS3.4 Table B.2-1: "cannot understand")."""

MAX_COMMENT = 64
"""Characters of ErrorComment, an LO."""

# Identifiers of patients never reach a log.
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_HANDLER_LEVEL = "none"


@dataclass(frozen=True, slots=True)
class Received:
    """One object as a device sent it: Part 10 bytes."""

    name: str
    data: bytes

    def sha256(self) -> str:
        """Return the sha256 (hex) of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        yield self.data


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of a C-STORE, and words for its ErrorComment."""

    status: int
    comment: str = ""

    def dataset(self) -> Dataset:
        """Return it as pynetdicom sends it."""
        found = Dataset()
        found.Status = self.status
        if self.comment:
            found.ErrorComment = self.comment.encode("ascii", "replace").decode()[:MAX_COMMENT]
        return found


class Listener:
    """A DICOM SCP that publishes what it receives. Runs in threads of its own once started.

    Parameters
    ----------
    connect : makes a publisher; called again after one failed.
    key : of the pseudonyms.
    allow : calling AE titles; `ANYONE` for all.
    ae_title : the title that devices must call.
    workers : decode processes.
    keep : called with each frame before it is published, to keep the patient's name.
    """

    def __init__(
        self,
        connect: Callable[[], Publisher],
        *,
        quarantine: Quarantine,
        key: bytes,
        allow: frozenset[str],
        ae_title: str = AE_TITLE,
        workers: int = 2,
        keep: Callable[[Prepared], None] = lambda prepared: None,
    ) -> None:
        self._connect = connect
        self._keep = keep
        self._publisher: Publisher | None = None
        self._one_connects = threading.Lock()
        self._no_connection_until_s = 0.0
        self._trouble = ""
        self._quarantine = quarantine
        self._key = key
        self._pool = DecodePool(prepare, workers=workers)
        self._server: ThreadedAssociationServer | None = None
        self._ae = AE(ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = [] if ANYONE in allow else sorted(allow)
        self._ae.maximum_associations = MAX_ASSOCIATIONS
        self._ae.maximum_pdu_size = MAX_PDU_BYTES
        self._ae.network_timeout = IDLE_S
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
        self._ae.add_supported_context(VERIFICATION)

    def start(self, host: str, port: int) -> int:
        """Begin to listen; return the port (0 picks a free one).

        Raises
        ------
        OSError   the port is taken, or may not be opened.
        """
        self._pool.warm_up()
        self._server = self._ae.start_server(
            (host, port),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_ACCEPTED, self._on_accepted),
                (evt.EVT_REJECTED, self._on_rejected),
                (evt.EVT_ABORTED, self._on_aborted),
            ],
        )
        assert self._server is not None  # noqa: S101 -- only a blocking server returns None
        return int(self._server.server_address[1])

    def close(self) -> None:
        """End all associations and release what was held."""
        if self._server is not None:
            self._server.shutdown()
        self._ae.shutdown()
        self._pool.close()
        if self._publisher is not None:
            self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def associations(self) -> int:
        """Return how many associations are open."""
        return len(self._ae.active_associations)

    @property
    def trouble(self) -> str:
        """Return why the last object was refused for now; empty where it was not."""
        return self._trouble

    def take(self, received: Received) -> Answer:
        """Publish an object, and return what its sender is told."""
        try:
            answer = self._published(received)
        except PublishError as error:
            log.error("not published", why=str(error), told="try again")
            answer = Answer(OUT_OF_RESOURCES, "the broker takes nothing, try again")
        except DecoderUnavailable as error:
            log.error("not published", why=str(error), told="try again")
            answer = Answer(OUT_OF_RESOURCES, "no decoder can be started, try again")
        self._trouble = answer.comment if answer.status == OUT_OF_RESOURCES else ""
        return answer

    def _published(self, received: Received) -> Answer:
        publisher = self._connected()
        try:
            return self._sent(received, publisher)
        except PublishError:
            self._drop(publisher)
            raise

    def _sent(self, received: Received, publisher: Publisher) -> Answer:
        now = datetime.now(UTC)
        confirmations: list[Confirmation] = []
        errors: list[FrameError] = []
        try:
            if len(received.data) > MAX_OBJECT_BYTES:
                words = f"{len(received.data):,} bytes, the limit is {MAX_OBJECT_BYTES:,}"
                raise FrameError(Reason.TOO_LARGE, words)
            for item in self._pool.run(received.data, self._key):
                if isinstance(item, FrameError):
                    errors.append(item)
                else:
                    self._keep(item)
                    confirmations.append(publisher.frame(item, now))
        except FrameError as error:
            errors.append(error)
        for confirmation in confirmations:
            confirmation.wait(PUBLISH_MS / 1000)
        metrics.FRAMES_PUBLISHED.inc(len(confirmations))
        for problem in errors:
            metrics.UNUSABLE.labels(problem.reason.value).inc()
            not_kept = set_aside(
                received, problem, now, publisher=publisher, quarantine=self._quarantine
            )
            log.warning("not a frame", reason=problem.reason, detail=problem.detail)
            if not_kept is not None:
                log.error("not kept", why=not_kept, told="try again")
                return Answer(OUT_OF_RESOURCES, "no room for what cannot be read, try again")
        return _answer(len(confirmations), errors)

    def _connected(self) -> Publisher:
        with self._one_connects:
            if self._publisher is None:
                if time.monotonic() < self._no_connection_until_s:
                    raise PublishError("no broker answered a moment ago")
                try:
                    self._publisher = self._connect()
                except PublishError:
                    self._no_connection_until_s = time.monotonic() + CONNECT_AGAIN_S
                    raise
            return self._publisher

    def _drop(self, failed: Publisher) -> None:
        """Drop a publisher that failed: it takes nothing more. Another one may be in its place."""
        with self._one_connects:
            if self._publisher is failed:
                self._publisher = None
        failed.close()

    def _on_store(self, event: Event) -> Dataset:
        title = event.assoc.requestor.ae_title
        with metrics.STORE_SECONDS.time():
            try:
                answer = self.take(Received(f"C-STORE from {title}", event.encoded_dataset()))
            except Exception as unexpected:  # the message boundary: the device keeps its image
                log.error("not published", why=type(unexpected).__name__, told="try again")
                answer = Answer(OUT_OF_RESOURCES, "internal error, try again")
        metrics.STORED.labels(f"{answer.status:04X}").inc()
        return answer.dataset()

    def _on_accepted(self, event: Event) -> None:
        log.info("association", calling=event.assoc.requestor.ae_title)

    def _on_rejected(self, event: Event) -> None:
        metrics.ASSOCIATIONS_REJECTED.inc()
        asked = event.assoc.requestor.primitive
        log.warning(
            "association rejected",
            calling=event.assoc.requestor.ae_title,
            called=asked.called_ae_title if asked else None,
            remedy="if this device may send: listen --allow with its title; it must call ours",
        )

    def _on_aborted(self, event: Event) -> None:
        log.warning("association aborted", calling=event.assoc.requestor.ae_title)


def _answer(frames: int, errors: list[FrameError]) -> Answer:
    if not errors:
        return Answer(SUCCESS)
    words = f"{errors[0].reason}: {errors[0].detail}"
    if frames:
        return Answer(SOME_FRAMES, f"{len(errors)} frames kept apart, {words}")
    return Answer(UNDERSTOOD_NOT.get(errors[0].reason, 0xC000), words)
