"""Fold events into a patient, as the patients worker does, without Kafka."""

import json

from stream.inbox import fold
from stream.policies import choose
from wire.patient import Patient

LONGITUDINAL, THRESHOLD = choose("longitudinal"), choose("threshold")


def told(events, patient=None, *, first_offset=0, policy=LONGITUDINAL):
    """Fold in order; return the state and all that was said."""
    patient, said = patient or Patient(patient_id="p-1"), []
    for offset, event in enumerate(events, start=first_offset):
        patient, spoken = fold(patient, event, offset, policy, None)
        said += spoken
    return patient, said


def facts(patient):
    """Return the state without what counts messages."""
    return json.loads(patient.model_copy(update={"version": None}).to_json())


def kinds(said, kind):
    """Return what was said of one kind."""
    return [words for words in said if isinstance(words, kind)]


def final(patient, study):
    """Return the assessment of a study's series."""
    return patient.series[f"1.{study}"].assessment
