"""`listen`: the DICOM listener as a process."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import structlog

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.broker_watch import BrokerWatch
from lesionstream.console import set_up_logging
from lesionstream.naming import open_vault
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import surface
from producers.listener import ANYONE, PUBLISH_MS, SOURCE, Listener
from producers.naming import NameKeeper
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from wire.health import Health

log = structlog.get_logger(__name__)


def listen(*, host: str, port: int, ae_title: str, allow: list[str]) -> None:
    """Take C-STORE and C-ECHO until SIGTERM.

    Raises
    ------
    SettingsError   nobody is allowed to send.
    """
    if not allow:
        raise SettingsError(
            "nobody may send: name the AE titles of your devices, as in "
            f"`lesionstream listen --allow SCANNER1 --allow SCANNER2` ('{ANYONE}' is everybody)"
        )
    wanted = settings()
    set_up_logging(wanted.log_level)
    kafka = endpoints.kafka()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    broker = BrokerWatch(kafka, wanted.names, told)
    names = NameKeeper(open_vault)
    with _checked(
        lambda: Publisher(kafka, names=wanted.names, source=SOURCE, delivery_timeout_ms=PUBLISH_MS),
        quarantine=Quarantine(wanted.quarantine),
        key=load_or_make_key(wanted.pseudonym_key_file),
        allow=frozenset(allow),
        ae_title=ae_title,
        keep=names.keep,
    ) as listener:
        opened = listener.start(host, port)

        def health() -> Health:
            facts = {
                "port": opened,
                "associations": listener.associations,
                "names": names.trouble or "kept",
            }
            refused = (f"the last image was refused: {listener.trouble}",)
            trouble = broker.trouble() + (refused if listener.trouble else ())
            return Health(not_ready=trouble, facts=facts)

        with surface("listener", health):
            log.info("listening", ae_title=ae_title, host=host, port=opened, allow=sorted(allow))
            broker.run()


def _checked(connect: Callable[[], Publisher], **kwargs: Any) -> Listener:
    """Return a listener; AE titles that DICOM does not allow are a wrong setting."""
    try:
        return Listener(connect, **kwargs)
    except ValueError as error:
        raise SettingsError(f"AE title: {error}") from error
