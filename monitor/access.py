"""Who may see what: people by password, programs by token, both in one file; or a trusted proxy.

A session is a signed cookie without state on the server: it survives a restart, and ends when the
person is taken out of the file, gets another role or another password.
"""

import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadData, URLSafeTimedSerializer

from monitor.shapes import Role
from monitor.users import NAME, ROLES, Users, UsersFileError, sha256

SESSION_S = 12 * 3600
TRIES = 5
TRIES_OF_ALL = 60
"""From one address in `TRIES_S`: a reverse proxy's is that of the whole ward."""

TRIES_S = 300.0
MOST_REMEMBERED = 10_000


class TooManyTries(Exception):
    """So many wrong passwords came that no more are looked at for a while."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. A program with a token is one, too."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Proxy:
    """A reverse proxy that says who somebody is. Believed only from these addresses."""

    addresses: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    user_header: str = "X-Forwarded-User"
    role_header: str = "X-Forwarded-Role"

    def speaks(self, peer: str | None) -> bool:
        """Tell whether a request comes from it."""
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        return any(address in network for network in self.addresses)


@dataclass(slots=True)
class _Tries:
    """Wrong passwords of the last minutes. Not thread-safe."""

    clock: Callable[[], float]
    wrong: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    def too_many(self, key: str, most: int) -> bool:
        since = self.clock() - TRIES_S
        recent = [at for at in self.wrong.get(key, ()) if at > since]
        return len(recent) >= most

    def failed(self, key: str) -> None:
        since = self.clock() - TRIES_S
        recent = [at for at in self.wrong.pop(key, ()) if at > since]
        self.wrong[key] = [*recent, self.clock()]
        if len(self.wrong) > MOST_REMEMBERED:
            self.wrong.popitem(last=False)


class Access:
    """Tells who asks.

    Parameters
    ----------
    key : signs the sessions.
    demo : everybody is a clinician; whoever serves sees to it that only this machine can ask.
    clock : seconds since 1970.
    """

    def __init__(
        self,
        users: Users,
        key: bytes,
        *,
        proxy: Proxy = Proxy(),
        demo: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.demo = demo
        self.proxy = proxy
        self._users = users
        self._clock = clock
        self._signer = URLSafeTimedSerializer(key, salt="session")
        self._tries = _Tries(clock)
        self._one_at_a_time = threading.Lock()  # a hash takes 64 MiB and a processor

    def person(
        self, headers: Mapping[str, str], cookie: str | None, peer: str | None
    ) -> Person | None:
        """Return who asks; None where nobody may be let in.

        Raises
        ------
        UsersFileError   the file of users cannot be read.
        """
        if self.demo:
            return Person("demo", "clinician")
        if self.proxy.speaks(peer) and self.proxy.user_header in headers:
            return self._by_proxy(headers)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(token.strip())
        return None if cookie is None else self._by_session(cookie)

    def still(
        self, before: Person, headers: Mapping[str, str], cookie: str | None, peer: str | None
    ) -> bool:
        """Tell whether who was let in is let in, as the same, now."""
        try:
            return self.person(headers, cookie, peer) == before
        except UsersFileError:
            return False

    def by_tls(self, scheme: str, headers: Mapping[str, str], peer: str | None) -> bool:
        """Tell whether the browser's way to us is encrypted, as far as we can know."""
        proxied = self.proxy.speaks(peer) and headers.get("x-forwarded-proto") == "https"
        return scheme == "https" or proxied

    def log_in(self, name: str, password: str, peer: str | None) -> str | None:
        """Return a session for who knows the password; None for who does not.

        Raises
        ------
        TooManyTries     wait some minutes.
        UsersFileError   the file of users cannot be read.
        """
        mine, everybodys = f"{peer}|{name[:64]}", f"{peer}"
        with self._one_at_a_time:
            if self._tries.too_many(mine, TRIES) or self._tries.too_many(everybodys, TRIES_OF_ALL):
                raise TooManyTries
            entry = self._users.people().get(name)
            # An unknown name takes as long: who is let in is nobody's business.
            fits = _fits(entry.secret if entry else _nobody(), password)
            if entry is None or not fits:
                self._tries.failed(mine)
                self._tries.failed(everybodys)
                return None
        return self._signer.dumps([name, entry.role, sha256(entry.secret)[:16]])

    def _by_proxy(self, headers: Mapping[str, str]) -> Person | None:
        name, role = headers[self.proxy.user_header], headers.get(self.proxy.role_header)
        if not NAME.fullmatch(name):
            return None
        return next((Person(name, known) for known in ROLES if known == role), None)

    def _by_token(self, token: str) -> Person | None:
        given, found = sha256(token), None
        for name, entry in self._users.tokens().items():
            if hmac.compare_digest(entry.secret, given):
                found = Person(name, entry.role)
        return found

    def _by_session(self, cookie: str) -> Person | None:
        try:
            (name, role, mark), signed = self._signer.loads(cookie, return_timestamp=True)
        except (BadData, ValueError, TypeError):
            return None
        if self._clock() - signed.timestamp() > SESSION_S:
            return None
        entry = self._users.people().get(name)
        if entry is None or entry.role != role or sha256(entry.secret)[:16] != mark:
            return None
        return Person(name, entry.role)


@cache
def _nobody() -> str:
    """Return the hash of a password that nobody has."""
    return PasswordHasher().hash(secrets.token_hex(16))


def _fits(secret: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(secret, password)
    except (VerificationError, InvalidHashError):
        return False
