"""The first words with a broker, by hand: whether it answers, and if not, at which of them it ends.

A client library reconnects, waits and retries inside itself; in the end it says that it could not
bootstrap, whether nobody was there, the certificate was not the right one or the password wrong.
"""

import socket
import ssl
import struct
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from kafka.errors import AuthorizationError, SaslAuthenticationFailedError
from kafka.net.sasl import get_sasl_mechanism

from wire.cluster import BrokerRefused, BrokerUnavailable, Cluster, Login

LIMIT_S = 2.0

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = (18, 0), (17, 1), (36, 0)
"""Kafka's numbers of requests, and their versions (Kafka protocol guide)."""

MAX_ANSWER_BYTES = 1 << 20
"""What is longer comes from something else than a broker."""


def greet(cluster: Cluster, within_s: float = LIMIT_S) -> None:
    """Ask any of the brokers which requests it knows: it tells this before anybody has logged in.

    Raises
    ------
    OSError   none answers in time.
    """
    for number, address in enumerate(cluster.servers, 1):
        try:
            with Greeting(cluster, address, within_s / len(cluster.servers)) as greeting:
                greeting.ask(API_VERSIONS, b"")
            return
        except OSError:
            if number == len(cluster.servers):
                raise


def unreachable(cluster: Cluster, error: Exception, doing: str = "") -> BrokerUnavailable:
    """Return what went wrong in words for an operator: nobody there, not let in, not allowed.

    Parameters
    ----------
    doing : what failed, once contact was made: ``to read results``.
    """
    user = cluster.login.user if cluster.login else "nobody in particular"
    kind = type(error).__name__
    if isinstance(error, AuthorizationError):
        return BrokerRefused(f"refused: {user} has no right {doing} at {cluster} ({kind})")
    if isinstance(error, SaslAuthenticationFailedError):
        return BrokerRefused(f"refused: authentication failed for {user} at {cluster}")
    if doing:
        return BrokerUnavailable(f"it failed {doing} at {cluster} ({error})")
    return BrokerUnavailable(f"no broker answers at {cluster} ({error}){_hangs_up(cluster)}")


def knock(cluster: Cluster) -> None:
    """See whether we are let in, before a client is made that would try for seconds in vain.

    Raises
    ------
    BrokerRefused   we are not; the words say why. Where nobody is there the client will say so.
    """
    if not cluster.tls:
        return
    address = cluster.servers[0]
    try:
        with Greeting(cluster, address, LIMIT_S) as greeting:
            greeting.ask(API_VERSIONS, b"")
            if cluster.login:
                greeting.log_in(cluster.login)
    except ssl.SSLCertVerificationError as bad:
        raise BrokerRefused(
            f"refused: the certificate of {address} is not to be trusted ({bad.verify_message}); "
            "LESIONSTREAM_KAFKA_CA names who is"
        ) from bad
    except NotLetIn as bad:
        raise BrokerRefused(f"refused: authentication failed for {bad} at {address}") from bad
    except (OSError, struct.error):  # nobody, or no broker: the client will say so
        return


def _hangs_up(cluster: Cluster) -> str:
    """Return what it may be where somebody listens, and ends the talk at our first words."""
    try:
        greet(cluster)
    except (ConnectionRefusedError, TimeoutError, socket.gaierror):
        return ""
    except OSError:
        wants = "speaks no TLS" if cluster.tls else "wants TLS or a login"
        return f"; it hangs up: perhaps it {wants}, see LESIONSTREAM_KAFKA_SECURITY"
    return ""


class NotLetIn(Exception):
    """The words: who, and why not."""


class Greeting:
    """A connection on which a few questions are asked.

    Raises
    ------
    OSError   nobody is there, speaks TLS as we do, or has a certificate that we believe.
    """

    def __init__(self, cluster: Cluster, address: str, within_s: float) -> None:
        self._deadline = time.monotonic() + within_s
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((host, int(port)), within_s))
            if (context := cluster.context()) is not None:
                connection = context.wrap_socket(connection, server_hostname=host)
                stack.enter_context(connection)
            self._connection = connection
            self._open = stack.pop_all()

    def ask(self, request: tuple[int, int], body: bytes) -> bytes:
        """Return the body of an answer.

        Raises
        ------
        OSError   none comes in time.
        """
        key, version = request
        header = struct.pack(">hhih", key, version, 0, -1)  # correlation id 0, no client id
        self._connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        (size,) = struct.unpack(">i", self._read(4))
        if not 4 <= size <= MAX_ANSWER_BYTES:
            raise ConnectionError("what answers is no broker")
        return self._read(size)[4:]

    def log_in(self, login: Login) -> None:
        """Prove who we are."""
        name = login.mechanism.encode()
        (code,) = struct.unpack_from(
            ">h", self.ask(SASL_HANDSHAKE, struct.pack(">h", len(name)) + name)
        )
        if code:
            raise NotLetIn(f"{login.user}: it takes no {login.mechanism}")
        mechanism = get_sasl_mechanism(login.mechanism)(
            security_protocol="SASL_SSL",
            sasl_mechanism=login.mechanism,
            sasl_plain_username=login.user,
            sasl_plain_password=login.password,
        )
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = self.ask(SASL_AUTHENTICATE, struct.pack(">i", len(token)) + token)
            code, length = struct.unpack_from(">hh", answer)
            if code:
                raise NotLetIn(login.user)
            begin = 4 + max(0, length)
            (size,) = struct.unpack_from(">i", answer, begin)
            mechanism.receive(answer[begin + 4 : begin + 4 + size])

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
            part = self._connection.recv(size - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return bytes(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
