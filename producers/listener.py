"""The DICOM listener: C-STORE and C-ECHO in front of `frames`.

The answer to a C-STORE tells the truth: success means that all in-sync replicas, or the spool on
the disk, have every frame of the object. What cannot be understood is kept in quarantine and
refused with the reason; while there is no room, the device is told to keep its image and try again.
"""

import contextlib
import os
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from producers import metrics
from producers.dicom_server import IDLE_S, MAX_PDU_BYTES, Server
from producers.outbox import NotStored, Outbox
from producers.prepare import Prepared, prepare_source
from producers.quarantine import Quarantine
from producers.sources import Source
from producers.storage_classes import CLASSES, SYNTAXES, VERIFICATION
from producers.unusable import set_aside
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.errors import FrameError, Reason
from wire.topics import FRAMES, STAT, Topic

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/listener"
AE_TITLE = "LESIONSTREAM"
PORT = 11112

ANYONE = "*"
"""In the allow-list: any calling AE title."""

MAX_ASSOCIATIONS = 32

REQUEST_S = 10.0
"""A connection on which no association was requested by then is closed: it takes one's place."""

RESERVE_BYTES = 16 << 20
"""Free space on the disk of the state folder below which no association is accepted."""

LEFT_OVER_S = 600.0
"""An object of which nothing came for so long belongs to an association that is gone."""

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

NO_ROOM = (0x02, 0x03, 0x02)
"""A-ASSOCIATE-RJ: transient, by the provider, "local limit exceeded" (PS3.8 Table 9-21)."""

MAX_COMMENT = 64
"""Characters of ErrorComment, an LO."""

# Identifiers of patients never reach a log; what comes goes to a file, whatever its size.
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_HANDLER_LEVEL = "none"
_config.STORE_RECV_CHUNKED_DATASET = True


@dataclass(frozen=True, slots=True)
class Received:
    """One object as a device sent it: a Part 10 file, deleted once it is answered.

    topic : where its frames go, by who sent it.
    """

    name: str
    path: Path
    topic: Topic = FRAMES

    @property
    def source(self) -> Source:
        """Return it as what decode processes read."""
        return Source(self.path)

    def sha256(self) -> str:
        """Return the sha256 (hex) of the bytes."""
        return self.source.sha256()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        yield from self.source.chunks()


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
    outbox : closed with the listener.
    receiving : folder for objects on their way in: names of patients lie there for a moment.
    key : of the pseudonyms.
    allow : calling AE titles; `ANYONE` for all.
    stat : those of them whose images are urgent.
    ae_title : the title that devices must call.
    tls : certificate, key and authorities, from `producers.dicom_server.server_context`.
    associations : at most so many at a time.
    keep : called with each frame before it is published, to keep the patient's name.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        receiving: Path,
        quarantine: Quarantine,
        key: bytes,
        allow: frozenset[str],
        stat: frozenset[str] = frozenset(),
        ae_title: str = AE_TITLE,
        tls: ssl.SSLContext | None = None,
        associations: int = MAX_ASSOCIATIONS,
        keep: Callable[[Prepared], None] = lambda prepared: None,
    ) -> None:
        self._outbox = outbox
        self._receiving = receiving
        self._other_files = tempfile.tempdir  # pynetdicom writes what comes where tempfile says
        self._keep = keep
        self._stat = stat
        self._trouble = ""
        self._quarantine = quarantine
        self._key = key
        self._tls = tls
        self._pool = DecodePool(prepare_source, workers=max(2, os.cpu_count() or 1))
        self._server: Server | None = None
        self._ae = AE(ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = [] if ANYONE in allow else sorted(allow)
        self._ae.maximum_associations = associations
        self._ae.maximum_pdu_size = MAX_PDU_BYTES
        self._ae.network_timeout = IDLE_S
        self._ae.acse_timeout = REQUEST_S
        for sop_class in CLASSES:
            self._ae.add_supported_context(sop_class, SYNTAXES)
        self._ae.add_supported_context(VERIFICATION)

    def start(self, host: str, port: int) -> int:
        """Begin to listen; return the port (0 picks a free one).

        Raises
        ------
        OSError   the port is taken, or may not be opened.
        """
        self._receiving.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._other_files, tempfile.tempdir = tempfile.tempdir, str(self._receiving)
        self._outbox.start()
        self._pool.warm_up()
        self._server = Server(
            self._ae,
            (host, port),
            self._tls,
            [
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_ACCEPTED, self._on_accepted),
                (evt.EVT_REJECTED, self._on_rejected),
                (evt.EVT_ABORTED, self._on_aborted),
            ],
        )
        self._server.start()
        return self._server.port

    def close(self) -> None:
        """End all associations and release what was held."""
        if self._server is not None:
            self._server.shutdown()
        for association in self._associations():
            association.abort()
        self._pool.close()
        self._outbox.close()
        if not self._associations():
            tempfile.tempdir = self._other_files
        shutil.rmtree(self._receiving, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def associations(self) -> int:
        """Return how many associations are open."""
        return len(self._associations())

    @property
    def trouble(self) -> str:
        """Return why the last object was refused for now; empty where it was not."""
        return self._trouble

    def tidy(self) -> None:
        """Delete what is left of objects whose associations ended before they were whole."""
        with contextlib.suppress(OSError):  # one that is gone by now, or a folder that is not ours
            for file in self._receiving.iterdir():
                if time.time() - file.stat().st_mtime > LEFT_OVER_S:
                    file.unlink()

    def take(self, received: Received) -> Answer:
        """Publish an object, and return what its sender is told."""
        try:
            answer = self._published(received)
        except NotStored as error:
            log.error("not published", why=str(error), told="try again")
            answer = Answer(OUT_OF_RESOURCES, "no broker and no room in the spool, try again")
        except DecoderUnavailable as error:
            log.error("not published", why=str(error), told="try again")
            answer = Answer(OUT_OF_RESOURCES, "no decoder can be started, try again")
        self._trouble = answer.comment if answer.status == OUT_OF_RESOURCES else ""
        return answer

    def _published(self, received: Received) -> Answer:
        now = datetime.now(UTC)
        delivery = self._outbox.delivery()
        frames = 0
        errors: list[FrameError] = []
        try:
            for item in self._pool.run(received.source, self._key):
                if isinstance(item, FrameError):
                    errors.append(item)
                else:
                    self._keep(item)
                    delivery.frame(item, now, received.topic)
                    frames += 1
        except FrameError as error:
            errors.append(error)
        for problem in errors:
            metrics.UNUSABLE.labels(problem.reason.value).inc()
            not_kept = set_aside(
                received,
                problem,
                now,
                publisher=delivery,
                quarantine=self._quarantine,
                topic=received.topic,
            )
            log.warning("not a frame", reason=problem.reason, detail=problem.detail)
            if not_kept is not None:
                log.error("not kept", why=not_kept, told="try again")
                return Answer(OUT_OF_RESOURCES, "no room for what cannot be read, try again")
        delivery.wait()
        metrics.FRAMES_PUBLISHED.inc(frames)
        return _answer(frames, errors)

    def _associations(self) -> list[Association]:
        return self._server.active_associations if self._server else []

    def _on_requested(self, event: Event) -> None:
        """Refuse at the door while the disk is full."""
        if shutil.disk_usage(self._receiving).free < RESERVE_BYTES:
            log.error("the disk is full, no association is accepted", folder=str(self._receiving))
            self._trouble = "the disk of the state folder is full"
            event.assoc.acse.send_reject(*NO_ROOM)
            event.assoc.kill()  # once it is sent
            metrics.ASSOCIATIONS_REJECTED.inc()

    def _on_store(self, event: Event) -> Dataset:
        title = event.assoc.requestor.ae_title
        topic = STAT if title in self._stat else FRAMES
        with metrics.STORE_SECONDS.time():
            try:
                answer = self.take(Received(f"C-STORE from {title}", event.dataset_path, topic))
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
        return Answer(SUCCESS) if frames else Answer(0xC000, "no frame came of it")
    words = f"{errors[0].reason}: {errors[0].detail}"
    if frames:
        return Answer(SOME_FRAMES, f"{len(errors)} frames kept apart, {words}")
    return Answer(UNDERSTOOD_NOT.get(errors[0].reason, 0xC000), words)
