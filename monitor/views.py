"""From what is known to what is shown: one view for one role at one moment. Pure.

The same objects are rendered as pages (`monitor.pages`) and answered by `/api`.
"""

from datetime import datetime
from itertools import chain

from monitor import alarm_lines, sheets
from monitor.known import Known
from monitor.shapes import (
    AlarmLine,
    AlarmSheet,
    LetterLine,
    PatientSheet,
    Role,
    ShadowLine,
    SystemSheet,
    Ward,
    WorkerLine,
)
from monitor.tiles import need, tile
from wire.topics import UNASKED

HISTORY_SHOWN = 100
LETTERS_SHOWN = 50

Lines = dict[str, tuple[AlarmLine, ...]]
"""Alarms that stand, by PatientID."""


def ward(known: Known, role: Role, now: datetime) -> Ward:
    """Return the ward: a tile a patient, most needy first."""
    lines, technical = _lines(known, role, now), alarm_lines.technical(known, role, now)
    tiles = (
        tile(
            patient,
            known.newest.get(patient_id),
            alarm_lines.who(known, patient_id, role),
            lines[patient_id],
        )
        for patient_id, patient in known.patients.items()
    )
    return Ward(
        tiles=tuple(sorted(tiles, key=need)),
        technical=technical,
        names=alarm_lines.names_in_words(known, role),
        ready=known.ready,
        bar=alarm_lines.bar(known, _all(lines, technical)),
    )


def patient(known: Known, patient_id: str, role: Role, now: datetime) -> PatientSheet | None:
    """Return one patient's page; None for one that is not known."""
    found = known.patients.get(patient_id)
    if found is None:
        return None
    lines, technical = _lines(known, role, now), alarm_lines.technical(known, role, now)
    bar = alarm_lines.bar(known, _all(lines, technical))
    return sheets.sheet(known, found, role, bar, now)


def alarms(known: Known, role: Role, now: datetime) -> AlarmSheet:
    """Return the alarm list: what stands, and what was said of late."""
    lines, technical = _lines(known, role, now), alarm_lines.technical(known, role, now)
    standing = sorted(_all(lines, technical), key=alarm_lines.alarm_key)
    return AlarmSheet(
        alarms=tuple(standing),
        history=alarm_lines.history(known, role)[:HISTORY_SHOWN],
        bar=alarm_lines.bar(known, standing),
    )


def system(known: Known, role: Role, now: datetime) -> SystemSheet:
    """Return how the system runs."""
    flow, beat = known.flow, known.heartbeat
    lines, technical = _lines(known, role, now), alarm_lines.technical(known, role, now)
    return SystemSheet(
        broker=known.broker,
        cache=known.cache,
        heartbeat=beat.time if beat else None,
        newest_frame=beat.newest_frame_time if beat else None,
        workers=tuple(
            WorkerLine(
                name=name,
                lag=flow.lag.get(name),
                members=flow.members.get(name),
                missed=flow.members.get(name) == 0
                and (name not in UNASKED or flow.lag.get(name) != 0),
                oldest=flow.oldest.get(name),
            )
            for name in sorted({*flow.lag, *flow.members})
        ),
        frames=flow.frames,
        frames_per_s=flow.frames_per_s,
        delay_p50_ms=flow.delay_p50_ms,
        delay_p99_ms=flow.delay_p99_ms,
        not_scored=dict(sorted(flow.not_scored.items())),
        engines=flow.engines,
        checks=beat.engines if beat else (),
        shadows=tuple(
            ShadowLine(
                active=one.active, shadow=one.shadow, compared=one.compared, disagreed=one.disagreed
            )
            for one in flow.shadows
        ),
        dead_letters=flow.dead_letters,
        letters=tuple(
            LetterLine(
                time=letter.time,
                place=f"{letter.topic}/{letter.partition}@{letter.offset}",
                reason=letter.reason,
                detail=letter.detail,
            )
            for letter in flow.letters[:LETTERS_SHOWN]
        ),
        technical=technical,
        bar=alarm_lines.bar(known, _all(lines, technical)),
    )


def _lines(known: Known, role: Role, now: datetime) -> Lines:
    return {
        patient_id: alarm_lines.of_patient(known, found, role, now)
        for patient_id, found in known.patients.items()
    }


def _all(lines: Lines, technical: tuple[AlarmLine, ...]) -> chain[AlarmLine]:
    return chain(technical, *lines.values())
