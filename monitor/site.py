"""Everything one server of the monitor needs, and the views made of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from monitor import pages, views
from monitor.access import Access
from monitor.acting import Recorder, Views
from monitor.feed import Feed
from monitor.frames import Pictures
from monitor.hub import Hub
from monitor.known import Known, Roll
from monitor.screens import Fragments, Key
from wire.cluster import Cluster

log = structlog.get_logger(__name__)

CALLED_S = 5.0
"""Names and beds are asked for again after so long."""


@dataclass
class Site:
    """Everything the server needs.

    roll : names and beds; may read files.
    """

    hub: Hub
    access: Access
    recorder: Recorder
    pictures: Pictures
    cluster: Cluster
    alerts_topic: str
    roll: Callable[[], Roll] = Roll
    seen: Views = field(default_factory=lambda: Views(time.monotonic))
    feed: Feed | None = None
    _roll: tuple[float, Roll] | None = None

    def sheet(self, key: Key, now: datetime) -> pages.Sheet | None:
        """Return a view as data; None for a patient who is not known."""
        known = self.known()
        if key.view == "ward":
            return views.ward(known, key.role, now)
        if key.view == "alarms":
            return views.alarms(known, key.role, now)
        if key.view == "system":
            return views.system(known, key.role, now)
        return views.patient(known, key.patient_id or "", key.role, now)

    def draw(self, key: Key) -> Fragments | None:
        """Return the parts of a view; None where there is none."""
        now = datetime.now(UTC)
        sheet = self.sheet(key, now)
        return None if sheet is None else pages.fragments(key.view, sheet, now)

    def known(self) -> Known:
        """Return what is known now, with names and beds."""
        roll = self._names()
        return replace(
            self.hub.known(),
            called=roll.called,
            names_from=roll.names_from,
            beds_from=roll.beds_from,
        )

    def _names(self) -> Roll:
        now_s, known = time.monotonic(), self._roll
        if known is None or now_s - known[0] > CALLED_S:
            try:
                found = self.roll()
            except Exception as error:  # whatever a vault has: the ward is shown by pseudonyms
                log.error("no names", error=f"{type(error).__name__}: {error}")
                found = Roll() if known is None else known[1]
            known = self._roll = (now_s, found)
        return known[1]
