"""How Kafka is reached: where its brokers are, and as whom. Every client is made by it."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


class BrokerUnavailable(Exception):
    """No broker answers, or it refuses what was asked.

    Operator action: see that Kafka runs at the address in ``LESIONSTREAM_KAFKA``
    (``lesionstream up`` starts a local one), then run the command again.
    """


class BrokerRefused(BrokerUnavailable):
    """The broker answers, and does not let this user in, or do what was asked.

    Operator action: correct the ``LESIONSTREAM_KAFKA_...`` settings of user, password or authority,
    or give the user what ``lesionstream topics acl`` prints (docs/operations.md, Access).
    """


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to the brokers; the password is in no repr."""

    user: str
    password: str = field(repr=False)
    mechanism: Mechanism = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers of one cluster. As text: their addresses, without any secret.

    Parameters
    ----------
    servers : ``host:port`` of one broker or more.
    tls : whether everything is encrypted, and the broker shows who it is.
    ca : PEM file of the authorities that certify the brokers; None: those this machine trusts.
    login : only with `tls`, so that nobody on the way can become us.
    """

    servers: tuple[str, ...]
    tls: bool = False
    ca: Path | None = None
    login: Login | None = None

    def __post_init__(self) -> None:
        if not self.tls and (self.login or self.ca):
            raise ValueError("a login or authorities without TLS")

    def __str__(self) -> str:
        return ",".join(self.servers)

    @classmethod
    def plain(cls, servers: str) -> Self:
        """Return a cluster that lets everybody in, at ``host:port[,host:port]``."""
        return cls(tuple(servers.split(",")))

    @property
    def protocol(self) -> str:
        """Return Kafka's name of how we speak to it."""
        if not self.tls:
            return "PLAINTEXT"
        return "SASL_SSL" if self.login else "SSL"

    def context(self) -> ssl.SSLContext | None:
        """Return what checks the brokers' certificates; None without TLS.

        Raises
        ------
        OSError   `ca` cannot be read, or holds no certificate.
        """
        return _context(self.ca) if self.tls else None

    def client(self) -> dict[str, Any]:
        """Return what each client of kafka-python must be told to get there."""
        told: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.protocol,
        }
        if self.tls:
            told["ssl_context"] = self.context()
        if self.login:
            told["sasl_mechanism"] = self.login.mechanism
            told["sasl_plain_username"] = self.login.user
            told["sasl_plain_password"] = self.login.password
        return told


@lru_cache
def _context(ca: Path | None) -> ssl.SSLContext:
    """Return one context for all connections: the watchdog makes a new one each second."""
    return ssl.create_default_context(cafile=ca)
