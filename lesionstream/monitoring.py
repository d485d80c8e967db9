"""`monitor` and `users`."""

import getpass
import ipaddress
import socket
import sys

import structlog

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import out, print_json, say, set_up_logging
from lesionstream.naming import Names
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import ANY_ADDRESS, surface
from monitor.access import Access, Proxy
from monitor.acting import Recorder
from monitor.app import serve
from monitor.frames import Pictures
from monitor.gate import THIS_MACHINE
from monitor.hub import Hub
from monitor.shapes import Role
from monitor.site import Site
from monitor.users import Users
from wire.health import Health
from wire.topics import ALERTS

log = structlog.get_logger(__name__)

LEAST_PASSWORD = 8


def monitor(*, host: str | None, port: int | None, demo: bool) -> None:
    """Serve the monitor until SIGTERM.

    Raises
    ------
    SettingsError   nobody could log in, or a demo would be seen from other machines.
    OSError         the port is taken.
    """
    wanted = settings()
    default_host, _, default_port = wanted.monitor.rpartition(":")
    address = host or default_host.strip("[]")
    if demo and address not in THIS_MACHINE:
        raise SettingsError(f"a demo lets everybody in: it is not served on {address}")
    kafka, redis = endpoints.kafka(), endpoints.redis()
    users, proxy = Users(wanted.users), _proxy()
    if not (demo or proxy.addresses or users.people() or users.tokens()):
        raise SettingsError(
            "nobody could log in: `lesionstream users add NAME --role nurse`, or try `--demo`"
        )
    set_up_logging(wanted.log_level)
    key = load_or_make_key(wanted.home / "monitor.key")
    hub = Hub(kafka, redis, wanted.names)
    site = Site(
        hub=hub,
        access=Access(users, key, proxy=proxy, demo=demo),
        recorder=Recorder(kafka, wanted.names),
        pictures=Pictures(kafka, wanted.names),
        cluster=kafka,
        alerts_topic=wanted.names.of(ALERTS),
        roll=Names().roll,
    )
    with _listening(address, int(default_port) if port is None else port) as listening:
        opened = listening.getsockname()[1]
        url = f"http://{'127.0.0.1' if address == ANY_ADDRESS else _in_url(address)}:{opened}"
        if address not in THIS_MACHINE:
            log.warning(
                "passwords can be read on the way",
                remedy="let a reverse proxy with TLS stand before it (docs/operations.md)",
            )

        def health() -> Health:
            facts = {
                "url": url,
                "clients": 0 if site.feed is None else site.feed.clients,
                "unreadable": dict(hub.board.unreadable),
            }
            return Health(not_ready=hub.not_ready(), facts=facts)

        with surface("monitor", health):
            log.info("monitor", url=url, demo=demo)
            serve(site, listening)


def add_user(name: str, role: Role, *, token: bool) -> None:
    """Let somebody in; a password is asked for, or read from stdin where that is no terminal.

    Raises
    ------
    SettingsError   the password is too short, or was not repeated.
    """
    users = Users(settings().users)
    if token:
        print(users.add_token(name, role))
        say("This token is shown once and kept nowhere: its hash is.")
        return
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise SettingsError("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < LEAST_PASSWORD:
        raise SettingsError(f"a password has at least {LEAST_PASSWORD} characters")
    users.add(name, role, password)
    say(f"{name} may see the monitor as {role}")


def list_users(*, json: bool) -> None:
    """Print who may see the monitor."""
    users = Users(settings().users)
    found = [
        {"name": name, "role": entry.role, "by": by}
        for by, table in (("password", users.people()), ("token", users.tokens()))
        for name, entry in sorted(table.items())
    ]
    if json:
        print_json(found)
        return
    for line in found:
        out.print(f"{line['name']:<30} {line['role']:<10} {line['by']}", markup=False)


def remove_user(name: str) -> int:
    """Take somebody out."""
    if Users(settings().users).remove(name):
        say(f"{name} may not see the monitor any more")
        return 0
    say(f"there is no {name}; `lesionstream users list` lists who there is")
    return 1


def _proxy() -> Proxy:
    wanted = settings()
    try:
        networks = tuple(
            ipaddress.ip_network(text.strip())
            for text in wanted.trusted_proxies.split(",")
            if text.strip()
        )
    except ValueError as error:
        raise SettingsError(f"LESIONSTREAM_TRUSTED_PROXIES: {error}") from error
    return Proxy(networks, wanted.user_header, wanted.role_header)


def _listening(host: str, port: int) -> socket.socket:
    """Return a bound socket: the port is known, and taken, before anything else starts."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
