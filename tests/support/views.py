"""Views of a pretended ward."""

from dataclasses import replace
from functools import cache

from support.pretend_ward import NOW, pretend_ward

from monitor import views


@cache
def ward():
    """Return what is known of 28 patients."""
    return pretend_ward(28)


def tiles(role="nurse", known=None):
    """Return the tiles of the ward."""
    return views.ward(known or ward(), role, NOW).tiles


def tile(cause, known=None, **wanted):
    """Return the first tile with such an alarm and such values."""
    return next(
        t
        for t in tiles(known=known)
        if t.cause == cause and all(getattr(t, k) == v for k, v in wanted.items())
    )


def sheet(shown, role="clinician", known=None):
    """Return the page of the patient of a tile."""
    known = known or ward()
    pid = shown.who.patient_id
    found = views.patient(known, pid, role, NOW)
    assert found is not None
    return found


def changed(shown, **update):
    """Return what is known with one patient changed."""
    pid = shown.who.patient_id
    patient = ward().patients[pid].model_copy(update=update)
    return replace(ward(), patients={**ward().patients, pid: patient})
