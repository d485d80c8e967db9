"""`listen`: the DICOM listener as a process."""

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import structlog

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.broker_watch import BrokerWatch
from lesionstream.console import set_up_logging
from lesionstream.naming import open_vault
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import surface
from lesionstream.tls import own_tls
from producers.listener import ANYONE, SOURCE, Listener
from producers.naming import NameKeeper
from producers.outbox import CONFIRM_S, Outbox
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.spool import Spool
from producers.tls import server_context
from wire import heap
from wire.health import Health

log = structlog.get_logger(__name__)


def listen(
    *,
    host: str,
    port: int,
    ae_title: str,
    allow: list[str],
    associations: int,
    stat: list[str] | None = None,
) -> None:
    """Take C-STORE and C-ECHO until SIGTERM.

    Parameters
    ----------
    stat : those of `allow` whose images are urgent.

    Raises
    ------
    SettingsError   nobody is allowed to send, an urgent device may not, or the files for TLS
        cannot be used.
    """
    if not allow:
        raise SettingsError(
            "nobody may send: name the AE titles of your devices, as in "
            f"`lesionstream listen --allow SCANNER1 --allow SCANNER2` ('{ANYONE}' is everybody)"
        )
    stat = stat or []
    if ANYONE not in allow and (strangers := sorted(set(stat) - set(allow))):
        raise SettingsError(f"--stat {strangers[0]}: may not send; name it by --allow, too")
    if ANYONE in stat:
        raise SettingsError(f"--stat {ANYONE}: where all is urgent nothing is; name AE titles")
    heap.one_arena()
    wanted = settings()
    set_up_logging(wanted.log_level)
    kafka = endpoints.kafka()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    broker = BrokerWatch(kafka, wanted.names, told)
    names = NameKeeper(open_vault)
    tls = own_tls(server_context) if wanted.tls_files else None
    outbox = Outbox(
        lambda: Publisher(
            kafka,
            names=wanted.names,
            source=SOURCE,
            delivery_timeout_ms=int(CONFIRM_S * 1000),
        ),
        Spool(wanted.spool, wanted.spool_bytes),
        SOURCE,
    )
    with _checked(
        outbox,
        receiving=wanted.receiving / str(os.getpid()),
        quarantine=Quarantine(wanted.quarantine),
        key=load_or_make_key(wanted.pseudonym_key_file),
        allow=frozenset(allow),
        stat=frozenset(stat),
        ae_title=ae_title,
        tls=tls,
        associations=associations,
        keep=names.keep,
    ) as listener:
        _clear_what_others_left(wanted.receiving)
        heap.settle()  # pynetdicom looks through all objects every 30 s: not those of imports
        opened = listener.start(host, port)

        def health() -> Health:
            facts = {
                "port": opened,
                "tls": tls is not None,
                "associations": listener.associations,
                "spooled": outbox.waiting,
                "names": names.trouble or "kept",
            }
            said = (
                f"the last image was refused: {listener.trouble}" if listener.trouble else "",
                outbox.trouble,
            )
            return Health(not_ready=broker.trouble() + tuple(filter(None, said)), facts=facts)

        with surface("listener", health):
            log.info(
                "listening",
                ae_title=ae_title,
                host=host,
                port=opened,
                tls=tls is not None,
                allow=sorted(allow),
                stat=sorted(stat),
            )
            broker.run(listener.tidy)


def _clear_what_others_left(folder: Path) -> None:
    """Delete what listeners were receiving when they were killed: no device was told it is kept."""
    for left in folder.iterdir() if folder.exists() else ():
        if not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _checked(outbox: Outbox, **kwargs: Any) -> Listener:
    """Return a listener; AE titles that DICOM does not allow are a wrong setting."""
    try:
        return Listener(outbox, **kwargs)
    except ValueError as error:
        raise SettingsError(f"AE title: {error}") from error
