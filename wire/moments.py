"""Moments in time as all rooms mean them: in UTC, and such that sums with them exist."""

from datetime import MAXYEAR, MINYEAR, UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without an offset counts as UTC.

    Raises
    ------
    ValueError   in the first or last year of the calendar, or beyond: no device means that.
    """
    try:
        found = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment that no calendar has") from error
    if not MINYEAR < found.year < MAXYEAR:
        raise ValueError("a moment in the first or last year of the calendar")
    return found
