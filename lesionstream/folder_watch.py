"""`watch`: folders into which devices drop files, as a process."""

import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.broker_watch import BrokerWatch
from lesionstream.console import say, set_up_logging
from lesionstream.naming import open_vault
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import surface
from producers.clearing import Clear, delete, move_to
from producers.dropped import Taker, take_apart
from producers.folder_ledger import Ledger
from producers.folder_watch import PUBLISH_MS, SOURCE, FolderWatch
from producers.naming import NameKeeper
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from wire.decode_pool import DecodePool
from wire.health import Health
from wire.topics import FRAMES, STAT

log = structlog.get_logger(__name__)

STILL_S = 120.0
"""Without a sign of life for so long, a share does not answer, or one file takes very long."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    move_to, delete : what becomes of files that are done.
    stat : what is dropped is urgent.
    """

    folders: Sequence[Path]
    settle_s: float
    patience_s: float
    move_to: Path | None = None
    delete: bool = False
    stat: bool = False


def watch(wish: Wish) -> None:
    """Publish what is dropped until SIGTERM or SIGINT.

    Raises
    ------
    SettingsError   a folder is none, or folders lie within one another.
    """
    roots = _roots(wish)
    wanted = settings()
    set_up_logging(wanted.log_level)
    kafka = endpoints.kafka()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    broker = BrokerWatch(kafka, wanted.names, told)
    names = NameKeeper(open_vault)
    key = load_or_make_key(wanted.pseudonym_key_file)
    with (
        _ledger(wanted.home / "watch.sqlite", key) as ledger,
        DecodePool(take_apart) as pool,
    ):
        watching = FolderWatch(
            roots,
            lambda: Publisher(
                kafka, names=wanted.names, source=SOURCE, delivery_timeout_ms=PUBLISH_MS
            ),
            taker=Taker(
                pool,
                quarantine=Quarantine(wanted.quarantine),
                key=key,
                keep=names.keep,
                name_of=ledger.name_of,
                topic=STAT if wish.stat else FRAMES,
            ),
            ledger=ledger,
            settle_s=wish.settle_s,
            patience_s=wish.patience_s,
            clear=_clear(wish, roots),
        )
        with surface("watch", lambda: _health(watching, broker, names)):
            pool.warm_up()
            threading.Thread(target=broker.run, name="broker", daemon=True).start()
            log.info("watching", folders=[str(root) for root in roots])
            if sys.stdin and sys.stdin.isatty():
                say("drop DICOM files or zips there; Ctrl-C ends", style="green")
            watching.run(told)
            log.info("ended", published=watching.published, waiting=watching.waiting)
    names.close()


def _health(watching: FolderWatch, broker: BrokerWatch, names: NameKeeper) -> Health:
    still_s = time.monotonic() - watching.alive_s
    still = (f"nothing happened for {still_s:.0f} s",) if still_s > STILL_S else ()
    facts = {
        "published": watching.published,
        "unusable": watching.unusable,
        "waiting": watching.waiting,
        "links": watching.links,
        "names": names.trouble or "kept",
    }
    return Health(not_ready=broker.trouble() + watching.trouble + still, facts=facts)


def _roots(wish: Wish) -> list[Path]:
    """Return the folders, absolute, after what cannot be meant is refused."""
    if wish.delete and wish.move_to is not None:
        raise SettingsError("--delete and --move-to: a file that is done goes one way")
    roots = list(dict.fromkeys(folder.resolve() for folder in wish.folders))
    for root in roots:
        if not root.is_dir():
            raise SettingsError(f"{root} is no folder")
    apart = [*roots, *([wish.move_to.resolve()] if wish.move_to else [])]
    for one in apart:
        for other in apart:
            if one is not other and one.is_relative_to(other):
                raise SettingsError(f"{one} lies within {other}: its files would come twice")
    home = settings().home.resolve()
    for root in roots:
        hidden = home.is_relative_to(root) and any(
            part.startswith(".") for part in home.relative_to(root).parts
        )
        if root.is_relative_to(home) or (home.is_relative_to(root) and not hidden):
            raise SettingsError(f"{root} and the state folder {home} must lie apart")
    return roots


def _clear(wish: Wish, roots: Sequence[Path]) -> Clear | None:
    if wish.move_to is not None:
        return move_to(wish.move_to.resolve(), roots)
    return delete if wish.delete else None


def _ledger(path: Path, key: bytes) -> Ledger:
    try:
        return Ledger(path, key)
    except sqlite3.Error as error:
        raise SettingsError(f"{path}: {error}") from error
