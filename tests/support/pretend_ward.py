"""A ward that is made up: real states of patients, folded from findings, with names and a flow.

What the pages show is then what they would show of such patients; only the patients are invented.
"""

import base64
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from uuid import UUID, uuid5

import cv2
import numpy as np
from support.folding import told
from support.records import ENGINE, SPACE, START, act, series

from engines.loading import load_forecaster
from monitor.known import Called, Flow, FrameRef, Known, Letter, Newest, Said, Shadow
from monitor.shapes import Outline
from stream.consult import consult
from stream.forecasting import ForecastAdviser
from stream.policies import choose
from wire.errors import Reason
from wire.patient import Patient
from wire.records import (
    Alert,
    EngineCheck,
    Finding,
    FrameAddress,
    Heartbeat,
    LesionCandidate,
    Therapy,
)

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
SITE = choose("longitudinal", {"priorities": {"progressive-disease": "high"}})
"""No rule is high by itself: this site wants progression so."""

SIZE_PX = 512
_DRAWN = set(Outline.model_fields)
A, B, C = (70.0, -30.0, 30.0), (-75.0, 20.0, 35.0), (60.0, 50.0, 22.0)
FIRST = (
    "Ada", "Ben", "Carla", "Deniz", "Emil", "Fatma", "Greta", "Hugo", "Iris", "Jan", "Kaya", "Lena",
    "Milo", "Nora", "Oskar", "Pia",
)  # fmt: skip
LAST = (
    "Adler", "Brandt", "Castellanos-Fernández", "Demir", "Ek", "Fischer", "Großmann", "Huber",
    "Ivanova", "Jensen", "Kowalczyk", "Lindqvist", "Meyer",
)  # fmt: skip


def pretend_ward(count: int = 24, *, now: datetime = NOW) -> Known:
    """Return what a monitor knows of so many patients, of every kind there is."""
    kinds = list(_kinds().items())
    patients: dict[str, Patient] = {}
    newest: dict[str, Newest] = {}
    called: dict[str, Called] = {}
    for number in range(count):
        name, (made, trend) = kinds[number % len(kinds)]
        patient = _renamed(made, f"p-{uuid5(SPACE, f'{name}{number}').hex[:16]}")
        patient = _arrived(patient, now - timedelta(minutes=7 * number + 3))
        patients[patient.patient_id] = patient
        newest[patient.patient_id] = _newest(trend, number, now)
        if number % 7 != 5:  # some are not in the vault
            person = f"{LAST[number % len(LAST)]}, {FIRST[number % len(FIRST)]}"
            bed = f"{number // 4 + 1}-{'ABCD'[number % 4]}" if number % 9 != 4 else None
            called[patient.patient_id] = Called(person, bed)
    alarm = technical(now)
    return Known(
        patients=patients,
        newest=newest,
        technical={alarm.alarm_id: alarm},
        history=_history(patients, alarm, now),
        frames=dict(chain.from_iterable(map(_refs, patients.values()))),
        called=called,
        names_from="the vault of this site",
        beds_from="beds.csv",
        flow=_flow(now),
        heartbeat=_heartbeat(now, alarm),
        broker="ok",
        cache="ok",
        ready=True,
    )


def technical(now: datetime) -> Alert:
    """Return a technical alarm about no patient, as the watchdog raises it."""
    return Alert(
        id=uuid5(SPACE, "known-answer"),
        alarm_id=uuid5(SPACE, "known-answer"),
        patient_id=None,
        study_instance_uid=None,
        series_instance_uid=None,
        category="technical",
        priority="medium",
        phase="start",
        state="active",
        inactivation="none",
        cause="lag",
        text="1,204 frames wait to be scored: what is shown may be late",
        evidence=(),
        lesion_probability=None,
        policy_name="watchdog",
        policy_version="1",
        event_time=now - timedelta(minutes=4),
    )


@cache
def _studies() -> dict[str, list[list[Finding]]]:
    """Return, by kind of patient, the findings of each study."""

    def course(*sizes: float | None, b: tuple[float, ...] = (), c: float | None = None):
        found = []
        for study, size in enumerate(sizes, start=1):
            lesions = {} if size is None else {"a": (A, size)}
            if b:
                lesions["b"] = (B, b[study - 1])
            if c is not None and study == len(sizes):
                lesions["c"] = (C, c)
            shift = (5.0, -4.0, 2.0) if study % 2 == 0 else (0.0, 0.0, 0.0)
            found.append([_placed(f) for f in series(lesions, study=study, shift=shift)])
        return found

    coming = course(12.0, 13.0)
    coming[-1] = coming[-1][:14]
    blurred = course(11.0, 11.0)
    blurred[-1] = [
        f.model_copy(
            update={
                "status": "not-scored",
                "reason": Reason.QUALITY,
                "detail": "SliceThickness is 7 mm, more than 5 mm",
                "lesion_probability": None,
                "lesions": (),
            }
        )
        for f in blurred[-1]
    ]
    return {
        "progression": course(12.0, 15.0, 14.0, 21.0, b=(10.5, 10.0, 11.0, 15.5)),
        "response": course(24.0, 17.0, 13.0),
        "stable": course(14.0, 14.3, 13.8),
        "nothing": course(None),
        "new lesion": course(12.0, 11.8, c=9.0),
        "first study": course(8.5),
        "gone": course(13.0, None, b=(11.0, 11.2)),
        "coming in": coming,
        "growing": course(13.0, 15.6),
        "nothing either": course(None, None),
        "not scored": blurred,
        "silenced": course(12.0, 18.0),
        "acknowledged": course(12.0, 19.0),
        "stable either": course(10.6, 10.4, 10.5, 10.8),
    }


@cache
def _findings() -> dict[UUID, Finding]:
    return {f.id: f for course in _studies().values() for study in course for f in study}


@cache
def _kinds() -> dict[str, tuple[Patient, tuple[float, ...]]]:
    """Return a patient of each kind with the probabilities of the last frames."""
    found = {}
    engine = ForecastAdviser(load_forecaster("response"), 42.0)
    for kind, course in _studies().items():
        patient: Patient | None = None
        for number, study in enumerate(course):
            patient, _ = told(study, patient, first_offset=1000 * number, policy=SITE)
            if number == 0 and len(course) > 2:
                start = START + timedelta(days=9)
                plan = "carboplatin, pemetrexed"
                given = act("therapy", number=1, therapy=Therapy(plan=plan, start=start))
                patient, _ = told([given], patient, first_offset=500, policy=SITE)
        assert patient is not None
        sheets = [state.assessment for state in patient.series.values() if state.assessment]
        asked = [consult(sheet, engine) for sheet in sheets if sheet.stage == "final"]
        patient, _ = told(asked, patient, first_offset=8000, policy=SITE)
        found[kind] = (patient, tuple(f.lesion_probability or 0.0 for f in course[-1]))
    for kind, action in (("acknowledged", "acknowledge"), ("silenced", "silence")):
        patient, trend = found[kind]
        acts = [act(action, alarm, number=2) for alarm in patient.alarms]
        found[kind] = (told(acts, patient, first_offset=9000, policy=SITE)[0], trend)
    return found


def _placed(finding: Finding) -> Finding:
    """Return a finding on frames of 512 pixels of 1 mm, with ids of its own and a heat map."""
    lesions = tuple(_at(found) for found in finding.lesions)
    shown = "|".join(f"{found.box[2]:.2f}" for found in lesions)
    return finding.model_copy(
        update={
            "id": uuid5(finding.id, shown),
            "lesions": lesions,
            "heat_map": heat_map(tuple((f.x_px, f.y_px) for f in lesions)) if lesions else None,
        }
    )


def _at(found: LesionCandidate) -> LesionCandidate:
    x, y = SIZE_PX / 2 + (found.x_mm or 0.0), SIZE_PX / 2 + (found.y_mm or 0.0)
    size = found.diameter_mm or 0.0
    box = (x - size / 2, y - size / 2, size, size)
    return found.model_copy(update={"x_px": x, "y_px": y, "box": box})


@cache
def heat_map(places: tuple[tuple[float, float], ...]) -> str:
    """Return a heat map that is warm at these places."""
    heat = np.zeros((64, 64), np.float32)
    rows, columns = np.mgrid[0:64, 0:64]
    for x, y in places:
        at = (columns + 0.5 - x * 64 / SIZE_PX) ** 2 + (rows + 0.5 - y * 64 / SIZE_PX) ** 2
        heat = np.maximum(heat, np.exp(-at / 3))
    png = cv2.imencode(".png", (heat * 255).astype(np.uint8))[1]
    return base64.b64encode(png.tobytes()).decode()


def _refs(patient: Patient) -> Iterator[tuple[UUID, FrameRef]]:
    """Yield where frames lie; those of the first study have expired."""
    known = _findings()
    for uid, state in patient.series.items():
        if uid == "1.1" and len(patient.series) > 3:
            continue
        for number, i in enumerate(state.slices):
            yield i, _ref(known[i], patient.patient_id, number)


def _ref(finding: Finding, patient_id: str, number: int) -> FrameRef:
    return FrameRef(
        finding_id=finding.id,
        frame_id=finding.frame_id,
        patient_id=patient_id,
        sop_instance_uid=f"{patient_id}.{finding.sop_instance_uid}",
        frame_number=1,
        finding=(0, number),
        frame=FrameAddress(topic="frames", partition=0, offset=number),
        outlines=tuple(Outline(**found.model_dump(include=_DRAWN)) for found in finding.lesions),
        heat_map=finding.heat_map is not None,
    )


def _renamed(patient: Patient, patient_id: str) -> Patient:
    """Return the same patient under another pseudonym, alarms and recommendations too."""

    def own(known: Mapping[UUID, object]) -> dict[UUID, object]:
        return {uuid5(i, patient_id): value for i, value in known.items()}

    named = ("acknowledgements", "silences", "decisions", "recommendations", "alarms")
    changed = {name: own(getattr(patient, name)) for name in named}
    return patient.model_copy(update=changed | {"patient_id": patient_id})


def _arrived(patient: Patient, when: datetime) -> Patient:
    """Return a patient whose alarms began then, a pause of sound being over in 95 s after NOW."""
    alarms = {
        i: alarm.model_copy(
            update={
                "since": when,
                "paused_until": alarm.paused_until and NOW + timedelta(seconds=95),
            }
        )
        for i, alarm in patient.alarms.items()
    }
    return patient.model_copy(update={"alarms": alarms})


def _newest(trend: tuple[float, ...], number: int, now: datetime) -> Newest:
    last = now - timedelta(seconds=7 * number * number + 2)
    wobble = [0.04 * math.sin(n * 1.7 + number) for n in range(len(trend))]
    values = [min(1.0, max(0.0, p + w)) for p, w in zip(trend, wobble, strict=True)]
    spots = tuple((last - timedelta(seconds=len(trend) - n), v) for n, v in enumerate(values))
    return Newest(received_time=last, trend=spots)


def _history(patients: Mapping[str, Patient], alarm: Alert, now: datetime) -> tuple[Said, ...]:
    alerts = [
        alarm.model_copy(
            update={
                "id": i,
                "alarm_id": i,
                "patient_id": patient.patient_id,
                "category": state.category,
                "priority": state.priority,
                "cause": state.cause,
                "text": state.text,
                "delay_ms": 640.0 + 13 * number,
            }
        )
        for number, patient in enumerate(patients.values())
        for i, state in patient.alarms.items()
    ]
    total = len(alerts)
    said = [Said(n, a, now - timedelta(minutes=3 * (total - n))) for n, a in enumerate(alerts)]
    return (*said, Said(total, alarm, now - timedelta(minutes=4)))


def _flow(now: datetime) -> Flow:
    shadow = ENGINE.model_copy(update={"name": "lesion-next", "version": "2"})
    letters = (
        Letter(
            now - timedelta(minutes=9), "frames", 3, 1207, "undecodable", "JPEG 2000: truncated"
        ),
        Letter(now - timedelta(hours=2), "frames", 11, 88, "too-large", "31.9 MiB"),
        Letter(
            now - timedelta(hours=3), "frames", 0, 12, "not-deidentified", "PatientIdentityRemoved"
        ),
    )
    return Flow(
        lag={"scoring": 1204, "patients": 0},
        members={"scoring": 2, "patients": 1},
        delay_p50_ms=412.0,
        delay_p99_ms=1890.0,
        frames_per_s=41.3,
        frames=18_204,
        not_scored={"no-lungs": 1203, "quality": 24, "undecodable": 1},
        engines=(ENGINE,),
        shadows=(Shadow(ENGINE, shadow, 4021, 37),),
        dead_letters=3,
        letters=letters,
    )


def _heartbeat(now: datetime, alarm: Alert) -> Heartbeat:
    return Heartbeat(
        id=uuid5(SPACE, "heartbeat"),
        time=now,
        newest_frame_time=now - timedelta(seconds=2),
        lag={"scoring": 1204, "patients": 0},
        members={"scoring": 2, "patients": 1},
        broker="ok",
        cache="ok",
        engines=(
            EngineCheck(
                name="lesion",
                version="0.2.0",
                ok=True,
                detail="the answer is the known one",
                checked=now - timedelta(seconds=40),
            ),
            EngineCheck(
                name="lesion-next", version="2", ok=None, detail="not run yet", checked=None
            ),
        ),
        alarms=(alarm,),
    )
