"""How Redis is reached: where it is, and as whom."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, NoPermissionError

REMEDY = "correct LESIONSTREAM_REDIS_USER, its password or its rights: docs/operations.md, Access"


@dataclass(frozen=True, slots=True)
class CacheServer:
    """One Redis. As text: its address, without any secret.

    Parameters
    ----------
    url : ``redis://``, ``rediss://`` (TLS) or ``unix://``; may hold user and password.
    user, password : as whom; what the URL says comes first.
    ca : PEM file of the authorities that certify it; None: those this machine trusts.
    """

    url: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None

    def __str__(self) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    @property
    def as_whom(self) -> str:
        """Return the user in words."""
        return self.user or urlsplit(self.url).username or "the default user"

    def client(self) -> dict[str, Any]:
        """Return what ``Redis.from_url`` must be told to get there."""
        told: dict[str, Any] = {"url": self.url, "protocol": 2}
        if self.password is not None:
            told |= {"username": self.user, "password": self.password}
        if self.ca is not None:
            told["ssl_ca_certs"] = str(self.ca)
        return told


def why(server: CacheServer, error: Exception) -> str:
    """Return what went wrong in words for an operator: not let in, not allowed, or nobody there.

    What redis-py says of a pipeline repeats the command, and with it the state of a patient: only
    what Redis itself answered is kept.
    """
    if isinstance(error, AuthenticationError):
        return f"refused: authentication failed for {server.as_whom} at {server}"
    if isinstance(error, NoPermissionError):
        return f"refused: {server.as_whom} has no right to do this at {server}"
    words = str(error).rpartition("of pipeline caused error: ")[2]
    return f"{server}: {type(error).__name__}: {words}"


def is_refusal(error: Exception) -> bool:
    """Tell whether it answers, but does not let us do this: waiting does not help."""
    return isinstance(error, AuthenticationError | NoPermissionError)
