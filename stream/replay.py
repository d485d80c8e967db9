"""Past findings, evidence and actions through a policy: what would have been said.

Pure. Findings are facts, policies are functions of them: so a changed policy can be tried on all
that ever happened, before it decides anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from stream.fold import Spoken, due, fold_tick
from stream.inbox import Foldable, fold
from stream.policies import RAISED, Policy
from wire.patient import Patient
from wire.records import Alert, Priority, Recommendation

END = datetime.max.replace(tzinfo=UTC)
"""All that ever comes has come: series without a count are closed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one series in the end.

    answers : rules that stand, in order of their names.
    alarms : rule -> priority of the alarms that were started, without escalation by time.
    """

    patient_id: str
    series_instance_uid: str
    event_time: datetime | None
    response: str
    answers: tuple[str, ...]
    alarms: tuple[tuple[str, Priority], ...]

    @property
    def worst(self) -> Priority | None:
        """Return the highest priority that was alarmed."""
        return max((p for _, p in self.alarms), key=RAISED.__getitem__, default=None)


@dataclass(slots=True)
class _Told:
    recommendations: dict[UUID, Recommendation] = field(default_factory=dict)
    withdrawn: set[UUID] = field(default_factory=set)
    alarms: dict[UUID, Alert] = field(default_factory=dict)

    def take(self, said: Iterable[Spoken]) -> None:
        for words in said:
            if isinstance(words, Alert) and words.phase == "start":
                self.alarms.setdefault(words.id, words)
            elif isinstance(words, Recommendation):
                if words.phase == "start":
                    self.recommendations[words.id] = words
                    self.withdrawn.discard(words.id)
                elif words.phase == "end":
                    self.withdrawn.add(words.recommendation_id)


def replay(events: Iterable[Foldable], policy: Policy) -> Iterator[Verdict]:
    """Yield what a policy makes of each series, by patient and time.

    Parameters
    ----------
    events : those of one patient in the order in which they came; patients may be mixed.
    """
    patients: dict[str, Patient] = {}
    told: dict[str, _Told] = {}
    for offset, event in enumerate(events):
        name = event.patient_id
        if name is None:
            continue
        patient = patients.get(name) or Patient.new(name, "replay")
        patients[name], said = fold(patient, event, offset, policy, None)
        told.setdefault(name, _Told()).take(said)
    for name, patient in sorted(patients.items()):
        if due(patient, END, policy):
            patients[name], said = fold_tick(patient, END, policy)
            told[name].take(said)
        yield from _verdicts(patients[name], told[name])


def _verdicts(patient: Patient, told: _Told) -> Iterator[Verdict]:
    for uid, state in sorted(
        patient.series.items(), key=lambda item: (str(item[1].first_time), item[0])
    ):
        answers = {
            words.rule
            for about, words in told.recommendations.items()
            if words.series_instance_uid == uid and about not in told.withdrawn
        }
        alarms = {
            (alarm.cause, alarm.priority)
            for alarm in told.alarms.values()
            if alarm.series_instance_uid == uid
        }
        yield Verdict(
            patient.patient_id,
            uid,
            state.first_time,
            state.assessment.response if state.assessment else "",
            tuple(sorted(answers)),
            tuple(sorted(alarms)),
        )
