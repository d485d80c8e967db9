"""The listener's TCP server: pynetdicom's, with bounds where that one trusts its peers.

There a TLS handshake holds up everybody who wants to connect, a PDU or object may be of any size,
and a peer that stops in the middle of a PDU keeps its thread for ever.
"""

import contextlib
import io
import os
import queue
import select
import socket
import socketserver
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from producers import metrics

log = structlog.get_logger(__name__)

MAX_PDU_BYTES = 128 << 10
"""Announced to devices: DCMTK's largest. A CT slice takes five."""

MAX_READ_BYTES = 1 << 20
"""Longest PDU read all the same: a request for an association lists up to 128 contexts."""

MAX_OBJECT_BYTES = 256 << 20
"""Of one C-STORE: a decode process holds it three times, and has 1 GiB. The association is
aborted as soon as more comes."""

MAX_AHEAD = 2
"""Requests that a device may send before the first is answered; each holds an open file."""

IDLE_S = 60.0
"""Silence on an association, and the time for one PDU; also what is waited for a TLS handshake
together with the request for an association."""

HANDSHAKE_S = 10.0

LOOK_S = 0.05
"""pynetdicom asks in two loops a thousand times a second whether there is something to read, to
send or to do, for each idle association, too. Ours wait so long, and wake up."""


class BoundedSocket(AssociationSocket):
    """The socket of one association.

    Parameters
    ----------
    made : the one that pynetdicom made; this one takes its place.
    """

    def __init__(self, made: AssociationSocket) -> None:
        vars(self).update(vars(made))
        self._since_answer_bytes = 0
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._bell)
        own = self._connected()
        self._file = own.fileno()
        self._waiting = select.poll()  # no `select`, which ends at file 1024
        for file in (self._file, self._bell):
            self._waiting.register(file, select.POLLIN)
        own.settimeout(IDLE_S)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def ready(self) -> bool:
        """Return whether there is data to read, after waiting a little for it, or for `wake`."""
        own = self.socket
        if own is None or not self._is_connected:
            return False
        if self.assoc.dimse.msg_queue.qsize() >= MAX_AHEAD:  # it does not wait for answers: we do
            time.sleep(LOOK_S / 10)
            return False
        if isinstance(own, ssl.SSLSocket) and own.pending():
            return True
        events = dict(self._waiting.poll(LOOK_S * 1000))
        if self._bell in events:
            os.eventfd_read(self._bell)
        if events.get(self._file, 0) & select.POLLNVAL:  # closed meanwhile
            self.event_queue.put("Evt17")
            return False
        return self._file in events

    def wake(self) -> None:
        """Let whoever waits for data look for something to send instead."""
        os.eventfd_write(self._bell, 1)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes`, less where the peer has closed.

        Raises
        ------
        OSError   the peer wants to send too much, or takes too long.
        """
        if nr_bytes > MAX_READ_BYTES:
            self._refuse("a PDU", nr_bytes, MAX_READ_BYTES)
            raise OSError("PDU too long")
        self._since_answer_bytes += nr_bytes
        if self._since_answer_bytes > MAX_OBJECT_BYTES + MAX_READ_BYTES:
            self._refuse("an object", self._since_answer_bytes, MAX_OBJECT_BYTES)
            self.assoc.abort(block=False)
            raise OSError("object too large")
        if self._held_bytes() > MAX_READ_BYTES:
            self._refuse("a command", self._held_bytes(), MAX_READ_BYTES)
            raise OSError("command too long")
        own, until_s = self._connected(), time.monotonic() + IDLE_S
        data = bytearray(nr_bytes)
        view, read = memoryview(data), 0
        while read < nr_bytes:
            count = own.recv_into(view[read:])
            read += count
            if not count:
                break
            if time.monotonic() > until_s:
                raise TimeoutError("one PDU took too long")
        view.release()
        del data[read:]
        if nr_bytes > 6:  # the whole PDU: the peer waits for its acknowledgement, 40 ms otherwise
            self._acknowledge_now(own)
        return data

    def send(self, bytestream: bytes) -> None:
        """Send; what comes next belongs to another object."""
        self._since_answer_bytes = 0
        super().send(bytestream)

    def _held_bytes(self) -> int:
        """Return what of the message on its way is held in memory: all but images."""
        message = self.assoc.dimse.message
        if message is None:
            return 0
        return message.encoded_command_set.tell() + (message.data_set or io.BytesIO()).tell()

    def _connected(self) -> socket.socket:
        if self.socket is None:
            raise OSError("closed")
        return self.socket

    @staticmethod
    def _acknowledge_now(own: socket.socket) -> None:
        with contextlib.suppress(OSError):
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _refuse(self, what: str, size: int, limit: int) -> None:
        metrics.ASSOCIATIONS_REJECTED.inc()
        log.warning(
            f"{what} is too large, the association ends",
            calling=self.assoc.requestor.ae_title,
            size_bytes=size,
            limit_bytes=limit,
        )


class _Outgoing(queue.Queue[Any]):
    """What an association has to send; wakes up the thread that sends it."""

    def __init__(self, own: BoundedSocket) -> None:
        super().__init__()
        self._own = own

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._own.wake()


class _Incoming(queue.Queue[Any]):
    """Messages for an association; who asks for one waits a little, whatever it says."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return super().get(True, timeout if block else LOOK_S)


class Handler(RequestHandler):
    """Takes one connection: the handshake in a thread of its own, then an association."""

    server: "Server"

    def handle(self) -> None:
        """Shake hands, and let the association begin."""
        try:
            if isinstance(self.request, ssl.SSLSocket):
                self.request.settimeout(HANDSHAKE_S)
                self.request.do_handshake()
        except (ssl.SSLError, OSError) as error:
            metrics.ASSOCIATIONS_REJECTED.inc()
            why = error.reason if isinstance(error, ssl.SSLError) else type(error).__name__
            log.warning(
                "TLS refused",
                peer=self.client_address[0],
                why=why,
                remedy="the device needs a certificate of the authority in LESIONSTREAM_TLS_CA",
            )
            self.server.shutdown_request(self.request)
            return
        finally:
            self.server.shaken()
        if self.server.closing:
            self.server.shutdown_request(self.request)
            return
        association = self._create_association()
        own = BoundedSocket(cast(AssociationSocket, association.dul.socket))
        association.dul.socket = own
        association.dul.to_provider_queue = _Outgoing(own)
        association.dimse.msg_queue = _Incoming()
        association.start()


class Server(ThreadedAssociationServer):
    """Accepts connections; a thread each.

    Parameters
    ----------
    entity : whose limits and contexts hold.
    address : (host, port).
    tls : for TLS; None for none.
    handlers : pynetdicom's events and what is called for them.

    Raises
    ------
    OSError   the port is taken, or may not be opened.
    """

    daemon_threads = True

    def __init__(
        self,
        entity: ApplicationEntity,
        address: tuple[str, int],
        tls: ssl.SSLContext | None,
        handlers: list[tuple[Any, Callable[..., Any]]],
    ) -> None:
        self._may_connect = threading.BoundedSemaphore(2 * entity.maximum_associations)
        self.closing = False
        contexts = _Shared(entity.supported_contexts)
        super().__init__(entity, address, entity.ae_title, contexts, tls, handlers, Handler)  # type: ignore[arg-type]
        self._loop = threading.Thread(target=self.serve_forever, name="dicom-server", daemon=True)

    @property
    def port(self) -> int:
        """Return the port that was opened."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to accept."""
        self._loop.start()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection; a TLS handshake comes later."""
        connection, address = cast(socket.socket, self.socket).accept()
        if self.ssl_context:
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return False, which closes the connection, where far too many are open."""
        room = len(self.active_associations) < 2 * self.ae.maximum_associations
        if room and self._may_connect.acquire(blocking=False):
            return True
        metrics.ASSOCIATIONS_REJECTED.inc()
        log.warning("too many connections", peer=client_address[0])
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, if one can be started."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            self.shaken()
            raise

    def shaken(self) -> None:
        """Count one handshake less."""
        self._may_connect.release()

    def shutdown(self) -> None:
        """Stop accepting; associations go on until they are aborted."""
        self.closing = True
        socketserver.BaseServer.shutdown(self)
        self.server_close()
        self._loop.join()


class _Shared(list[PresentationContext]):
    """Contexts that all associations share: they are only read.

    pynetdicom copies them for each association, every class with every syntax.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shared":
        return self
