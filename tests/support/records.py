"""Records for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from wire.errors import Reason
from wire.records import Action, EngineUsed, Finding, FrameAddress, StageTimes

SPACE = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)
ENGINE = EngineUsed(
    name="test", version="1", sha256="00", backend="onnxruntime-cpu", precision="fp32"
)


def finding(p: float | None, *, number: int = 0, series: str = "1.2", patient: str = "p-1"):
    """Return the finding of one frame; None for one that was not scored."""
    return Finding(
        id=uuid5(SPACE, f"{patient}|{series}|{number}"),
        frame_id=uuid5(SPACE, f"frame|{patient}|{series}|{number}"),
        patient_id=patient,
        study_instance_uid="1",
        series_instance_uid=series,
        sop_instance_uid=f"{series}.{number}",
        frame_number=1,
        instance_number=number,
        modality="CT",
        event_time=START + timedelta(seconds=number),
        received_time=START,
        status="not-scored" if p is None else "scored",
        reason=Reason.NO_LUNGS if p is None else None,
        detail="no lungs" if p is None else None,
        lesion_probability=p,
        lesions=(),
        engine=ENGINE,
        quality={},
        times_ms=StageTimes(),
        frame=FrameAddress(topic="frames", partition=0, offset=number),
    )


def acknowledgement(about: UUID, *, number: int = 0, patient: str = "p-1") -> Action:
    """Return an acknowledgement of an alarm."""
    return Action(
        id=uuid5(SPACE, f"action|{number}"),
        action="acknowledge",
        patient_id=patient,
        about=about,
        actor=f"nurse {number}",
        event_time=START + timedelta(minutes=number),
    )
