"""`listen`: the DICOM listener as a process."""

import signal
import threading

import structlog

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import set_up_logging
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import surface
from producers.listener import ANYONE, PUBLISH_MS, SOURCE, Listener
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from wire import topic_admin
from wire.health import Health

log = structlog.get_logger(__name__)

LOOK_S = 5.0


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
    broker = _BrokerWatch(kafka, told)
    with Listener(
        lambda: Publisher(kafka, names=wanted.names, source=SOURCE, delivery_timeout_ms=PUBLISH_MS),
        quarantine=Quarantine(wanted.quarantine),
        key=load_or_make_key(wanted.pseudonym_key_file),
        allow=frozenset(allow),
        ae_title=ae_title,
    ) as listener:
        opened = listener.start(host, port)

        def health() -> Health:
            facts = {"port": opened, "associations": listener.associations}
            return Health(not_ready=broker.trouble(), facts=facts)

        with surface("listener", health):
            log.info("listening", ae_title=ae_title, host=host, port=opened, allow=sorted(allow))
            broker.run()


class _BrokerWatch:
    """Asks now and then whether a broker answers."""

    def __init__(self, bootstrap: str, end: threading.Event) -> None:
        self._bootstrap = bootstrap
        self._end = end
        self._trouble: tuple[str, ...] = ("the broker was not asked yet",)

    def trouble(self) -> tuple[str, ...]:
        """Return what was wrong at the last look."""
        return self._trouble

    def run(self) -> None:
        """Look until told to end."""
        while True:
            try:
                topic_admin.answers(self._bootstrap)
                self._trouble = ()
            except topic_admin.BrokerUnavailable as error:
                self._trouble = (str(error),)
                log.warning("not ready", why=str(error))
            if self._end.wait(LOOK_S):
                return
