"""Everything one server of the monitor needs, and the views made of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from monitor import pages, views
from monitor.access import Access
from monitor.acting import Recorder, Views
from monitor.feed import Feed
from monitor.frames import Pictures
from monitor.hub import Hub
from monitor.known import Called, Known
from monitor.screens import Fragments, Key

log = structlog.get_logger(__name__)

CALLED_S = 5.0
"""Names and beds are asked for again after so long."""


def nobody() -> Mapping[str, Called]:
    """Return the names and beds there are without vault and list of beds: none."""
    return {}


@dataclass
class Site:
    """Everything the server needs.

    called : names and beds by PatientID; may read files.
    names_from, beds_from : what they are read from, for the page to say; None: there is none.
    """

    hub: Hub
    access: Access
    recorder: Recorder
    pictures: Pictures
    bootstrap: str
    alerts_topic: str
    called: Callable[[], Mapping[str, Called]] = nobody
    names_from: str | None = None
    beds_from: str | None = None
    seen: Views = field(default_factory=lambda: Views(time.monotonic))
    feed: Feed | None = None
    _called: tuple[float, Mapping[str, Called]] | None = None

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
        return replace(
            self.hub.known(),
            called=self._names(),
            names_from=self.names_from,
            beds_from=self.beds_from,
        )

    def _names(self) -> Mapping[str, Called]:
        now_s, known = time.monotonic(), self._called
        if known is None or now_s - known[0] > CALLED_S:
            try:
                found = self.called()
            except Exception as error:  # whatever a vault has: the ward is shown by pseudonyms
                log.error("no names", error=f"{type(error).__name__}: {error}")
                found = {} if known is None else known[1]
            known = self._called = (now_s, found)
        return known[1]
