"""The patient's facts: a deterministic fold over the set of findings, evidence and actions.

Pure. Facts are sets: repeating one changes nothing, and the order in which they come leaves no
trace. What follows from them is said by `stream.judge`. The clock comes in by `fold_tick` alone: it
closes series that have been quiet, and raises alarms to which nobody attends.
"""

from datetime import datetime, timedelta

from stream import alarms
from stream.facts import bounded, with_action, with_evidence, with_finding
from stream.judge import Spoken, judge
from stream.policies import Policy
from stream.series import complete
from wire.evidence import ModelEvidence
from wire.patient import Patient, SeriesState
from wire.records import Action, Finding

__all__ = ["Spoken", "due", "fold_action", "fold_evidence", "fold_finding", "fold_tick"]


def fold_finding(
    patient: Patient,
    finding: Finding,
    offset: int,
    policy: Policy,
    arrived: datetime | None = None,
) -> tuple[Patient, list[Spoken]]:
    """Fold one finding in.

    Parameters
    ----------
    offset : of the finding in `results`; one that the state covers already changes nothing.
    arrived : when it was written there. Frames may have waited for long to be scored: a series is
        quiet once no finding comes.
    """
    if offset <= patient.version.results:
        return patient, []
    patient = _at(patient, results=offset)
    uid = finding.series_instance_uid
    if uid is None:
        return patient, []
    before = patient.series.get(uid)
    series = with_finding(before or SeriesState(slices={}), finding, arrived)
    if series is before:
        return patient, []
    patient = patient.model_copy(update={"series": {**patient.series, uid: series}})
    patient, said = judge(patient, policy, {uid})
    return bounded(patient, policy.data.standard.confirmation), said


def fold_evidence(
    patient: Patient, evidence: ModelEvidence, offset: int, policy: Policy
) -> tuple[Patient, list[Spoken]]:
    """Fold in what a model answered about a final series.

    It stands behind that series' findings in `results`: of a series that is not known any more
    nothing is kept.

    Parameters
    ----------
    offset : of the evidence in `results`; one that the state covers already changes nothing.
    """
    if offset <= patient.version.results:
        return patient, []
    patient = _at(patient, results=offset)
    uid = evidence.series_instance_uid
    before = patient.series.get(uid)
    series = None if before is None else with_evidence(before, evidence)
    if series is None or series is before:
        return patient, []
    patient = patient.model_copy(update={"series": {**patient.series, uid: series}})
    return judge(patient, policy, {uid}, assess_anew=False)


def fold_action(
    patient: Patient, action: Action, offset: int, policy: Policy
) -> tuple[Patient, list[Spoken]]:
    """Fold one action in.

    Parameters
    ----------
    offset : of the action in `actions`; one that the state covers already changes nothing.
    """
    if offset <= patient.version.actions:
        return patient, []
    patient = _at(patient, actions=offset)
    data = policy.data
    silence, longest = (timedelta(seconds=s) for s in (data.silence_s, data.longest_silence_s))
    changed = with_action(patient, action, silence, longest)
    if changed is patient:
        return patient, []
    return judge(changed, policy, ())


def fold_tick(patient: Patient, now: datetime, policy: Policy) -> tuple[Patient, list[Spoken]]:
    """Let the clock say what only it can say; the same patient where it says nothing."""
    quiet = {uid: state for uid, state in patient.series.items() if _quiet(state, now, policy)}
    changed = patient
    if quiet:
        series = dict(patient.series)
        for uid, state in quiet.items():
            series[uid] = state.model_copy(update={"closed_at": len(state.slices)})
        changed = patient.model_copy(update={"series": series})
    changed, raised = alarms.escalate(changed, policy, now)
    if changed is patient:
        return patient, []
    changed, said = judge(changed, policy, set(quiet))
    version = changed.version.model_copy(update={"ticks": changed.version.ticks + 1})
    return changed.model_copy(update={"version": version}), [*raised, *said]


def due(patient: Patient, now: datetime, policy: Policy) -> bool:
    """Tell whether the clock has something to say of a patient."""
    return (
        any(_quiet(state, now, policy) for state in patient.series.values())
        or any(not s.lapsed and s.until <= now for s in patient.silences.values())
        or any(alarms.unattended(alarm, policy, now) for alarm in patient.alarms.values())
    )


def _at(patient: Patient, *, results: int | None = None, actions: int | None = None) -> Patient:
    changed = {"results": results, "actions": actions}
    update = {name: offset for name, offset in changed.items() if offset is not None}
    return patient.model_copy(update={"version": patient.version.model_copy(update=update)})


def _quiet(state: SeriesState, now: datetime, policy: Policy) -> bool:
    """Tell whether a series is to be closed because nothing came for so long."""
    if complete(state) or not state.slices:
        return False
    if state.received_last is None:
        return True  # nobody says when: better final too soon than never
    data = policy.data
    after = data.quiet_s if state.images is None else data.quiet_counted_s
    return now - state.received_last >= timedelta(seconds=after)
