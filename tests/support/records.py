"""Records for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from wire.errors import Reason
from wire.records import (
    Action,
    EngineUsed,
    Finding,
    FrameAddress,
    LesionCandidate,
    Plane,
    StageTimes,
    Therapy,
)

SPACE = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)
ENGINE = EngineUsed(
    name="test",
    version="1",
    sha256="00",
    backend="onnxruntime-cpu",
    precision="fp32",
    screen=0.5,
    alarm=0.8,
)
PITCH_MM = 2.5
WEEK = timedelta(weeks=1)


def finding(
    p: float | None,
    *,
    number: int = 0,
    series: str = "1.2",
    patient: str = "p-1",
    lesions: tuple[LesionCandidate, ...] = (),
    images: int | None = None,
    study: str = "1",
    when: datetime = START,
):
    """Return the finding of one frame; None for one that was not scored."""
    return Finding(
        id=uuid5(SPACE, f"{patient}|{series}|{number}"),
        frame_id=uuid5(SPACE, f"frame|{patient}|{series}|{number}"),
        patient_id=patient,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=f"{series}.{number}",
        frame_number=1,
        instance_number=number,
        modality="CT",
        event_time=when + timedelta(seconds=number),
        received_time=when,
        status="not-scored" if p is None else "scored",
        reason=Reason.NO_LUNGS if p is None else None,
        detail="no lungs" if p is None else None,
        lesion_probability=p,
        lesions=lesions,
        engine=ENGINE,
        quality={"lung_area_cm2": 300.0 - (number - 12) ** 2},
        plane=Plane(
            location_mm=number * PITCH_MM,
            slice_thickness_mm=PITCH_MM,
            pitch_mm=PITCH_MM,
            images=images,
            lung_centre_mm=(0.0, 0.0, number * PITCH_MM),
        ),
        times_ms=StageTimes(),
        frame=FrameAddress(topic="frames", partition=0, offset=number),
    )


def candidate(p: float, x_mm: float, y_mm: float, z_mm: float, diameter_mm: float):
    """Return a candidate at a place in the patient."""
    return LesionCandidate(
        probability=p,
        x_px=x_mm,
        y_px=y_mm,
        x_mm=x_mm,
        y_mm=y_mm,
        z_mm=z_mm,
        diameter_mm=diameter_mm,
        box=(x_mm, y_mm, diameter_mm, diameter_mm),
    )


def series(
    lesions: dict[str, tuple[tuple[float, float, float], float]],
    *,
    study: int = 1,
    images: int = 24,
    p: float = 0.95,
    patient: str = "p-1",
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    weeks: float | None = None,
):
    """Return the findings of a whole series: spheres, each seen where it cuts a slice.

    Parameters
    ----------
    lesions : name -> (centre mm, diameter mm).
    study : also its number in time, six weeks apart; `weeks` says another time.
    """
    found = []
    when = START + (6 * (study - 1) if weeks is None else weeks) * WEEK
    for number in range(images):
        z = number * PITCH_MM
        seen = []
        for centre, diameter in lesions.values():
            x, y, at = (a + b for a, b in zip(centre, shift, strict=True))
            half = diameter / 2
            if abs(z - at) < half:
                chord = 2 * (half**2 - (z - at) ** 2) ** 0.5
                if abs(z - at) < PITCH_MM / 2:
                    chord = diameter  # the largest cut is measured as it is
                seen.append(candidate(p, x, y, z, chord))
        found.append(
            finding(
                p if seen else 0.05,
                number=number,
                series=f"1.{study}",
                study=f"9.{study}",
                patient=patient,
                lesions=tuple(seen),
                images=images,
                when=when,
            )
        )
    return found


def acknowledgement(about: UUID, *, number: int = 0, patient: str = "p-1") -> Action:
    """Return an acknowledgement of an alarm."""
    return act("acknowledge", about, number=number, patient=patient)


def act(
    what: str,
    about: UUID | None = None,
    *,
    number: int = 0,
    patient: str = "p-1",
    reason: str | None = None,
    until: datetime | None = None,
    therapy: Therapy | None = None,
) -> Action:
    """Return what a person did, `number` minutes after the start."""
    return Action(
        id=uuid5(SPACE, f"action|{what}|{number}"),
        action=what,
        patient_id=patient,
        about=about,
        actor=f"nurse {number}",
        event_time=START + timedelta(minutes=number),
        reason=reason,
        until=until,
        therapy=therapy,
    )
