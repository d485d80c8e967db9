"""Names on their way into the vault, and names in pixels. What is wrong is said; no image waits."""

import threading
import time
from collections.abc import Callable

import structlog

from identity.pseudonyms import KeyFileError
from identity.vault import Vault, VaultError
from producers import metrics
from producers.prepare import Prepared
from wire.burned_in import BurnedIn

log = structlog.get_logger(__name__)

AGAIN_S = 30.0
"""A vault that failed is opened again after this, and what stands is said again."""

REMEDY = "docs/privacy.md: names in pixels"


class NameKeeper:
    """Keeps the name of each patient whose images pass. Thread-safe; never raises.

    Parameters
    ----------
    connect : opens the vault; called again after it failed.
    """

    def __init__(self, connect: Callable[[], Vault]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._vault: Vault | None = None
        self._not_before_s = 0.0
        self._trouble = ""
        self._unsaid = 0
        self._say_again_s = 0.0

    @property
    def trouble(self) -> str:
        """Return why names are not kept; empty where they are."""
        return self._trouble

    def keep(self, prepared: Prepared) -> None:
        """Put the name of a frame's patient into the vault, if the device said one.

        A name that the pixels may show goes on with them: that is counted, and said now and then.
        """
        if prepared.burned_in != "no":
            self._notice(prepared.burned_in)
        if prepared.named is None:
            return
        with self._lock:
            if self._vault is None and time.monotonic() < self._not_before_s:
                return
            try:
                if self._vault is None:
                    self._vault = self._connect()
                self._vault.put(prepared.patient_id, prepared.named)
                self._trouble = ""
            except (VaultError, KeyFileError) as error:
                log.error("names are not kept", why=str(error), images="go on")
                self._trouble = str(error)
                self._not_before_s = time.monotonic() + AGAIN_S
                self._drop()

    def _notice(self, annotation: BurnedIn) -> None:
        metrics.BURNED_IN.labels(annotation).inc()
        with self._lock:
            self._unsaid += 1
            if time.monotonic() < self._say_again_s:
                return
            count, self._unsaid = self._unsaid, 0
            self._say_again_s = time.monotonic() + AGAIN_S
        log.warning("pixels may show a name", annotation=annotation, frames=count, see=REMEDY)

    def close(self) -> None:
        """Release the vault."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._vault is not None:
            self._vault.close()
            self._vault = None
