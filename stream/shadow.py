"""A shadow engine: it looks at every frame, its opinion is compared and decides nothing. Pure."""

from uuid import UUID, uuid5

from wire.records import Comparison, Finding, Opinion


def compare(
    active: Finding, shadow: Finding, *, active_screen: float, shadow_screen: float
) -> Comparison:
    """Compare what two engines said of one frame.

    Parameters
    ----------
    active, shadow : findings of the same frame.
    active_screen, shadow_screen : each engine's threshold on `lesion_probability`.

    Raises
    ------
    ValueError  the findings are of two frames.
    """
    if active.frame_id != shadow.frame_id:
        raise ValueError(f"findings of two frames: {active.frame_id} and {shadow.frame_id}")
    opinions = _opinion(active, active_screen), _opinion(shadow, shadow_screen)
    return Comparison(
        id=comparison_id(active.id, shadow.id),
        frame_id=active.frame_id,
        patient_id=active.patient_id,
        series_instance_uid=active.series_instance_uid,
        sop_instance_uid=active.sop_instance_uid,
        frame_number=active.frame_number,
        active=opinions[0],
        shadow=opinions[1],
        disagree=opinions[0].positive != opinions[1].positive,
    )


def comparison_id(active: UUID, shadow: UUID) -> UUID:
    """Return uuid5 of both findings' ids: a replay makes the same."""
    return uuid5(active, str(shadow))


def _opinion(finding: Finding, screen: float) -> Opinion:
    p = finding.lesion_probability
    return Opinion(
        engine=finding.engine,
        status=finding.status,
        reason=finding.reason,
        lesion_probability=p,
        positive=p is not None and p >= screen,
    )
