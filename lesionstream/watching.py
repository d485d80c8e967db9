"""`tail` and `patient`."""

import json
from typing import Any

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, print_json, say
from lesionstream.settings import settings
from stream.cache import cache_key
from stream.snapshots import read_snapshots
from wire.cache_server import why
from wire.envelope import Envelope, rfc3339
from wire.patient import Patient
from wire.reading import read
from wire.topics import PATIENTS


def tail(topic: str, *, jsonl: bool, from_beginning: bool, follow: bool) -> None:
    """Print the messages of a topic."""
    name = settings().names.prefix + topic
    for record in read(endpoints.kafka(), name, from_beginning=from_beginning, follow=follow):
        shown = _as_object(record)
        if jsonl:
            print_json(shown)
        else:
            out.print(_as_line(shown), markup=False, highlight=False, soft_wrap=True)


def patient(patient_id: str | None) -> int:
    """Print one patient's state, or list all."""
    if patient_id is None:
        _list_patients()
        return 0
    state = state_of(patient_id)
    if state is None:
        say(f"nothing is known of {patient_id}; `lesionstream patient` lists who is known")
        return 1
    print(json.dumps(state.model_dump(mode="json", by_alias=True), indent=2))
    return 0


def state_of(patient_id: str) -> Patient | None:
    """Return what is known of a patient; None for nobody's pseudonym."""
    return _cached(patient_id) or _snapshots().get(patient_id)


def _cached(patient_id: str) -> Patient | None:
    """Return the state in Redis; None where it is not there or Redis is not."""
    server = endpoints.redis()
    try:
        with Redis.from_url(**server.client(), socket_timeout=2) as redis:
            state = redis.hget(cache_key(settings().names.prefix, patient_id), "state")
    except RedisError as error:
        say(f"Redis: {why(server, error)}; reading the snapshots from Kafka")
        return None
    try:
        return None if state is None else Patient.model_validate_json(state)
    except ValidationError:
        say("the state in Redis is damaged; reading the snapshots from Kafka")
        return None


def _snapshots() -> dict[str, Patient]:
    kafka, names = endpoints.kafka(), settings().names
    found = read_snapshots(kafka, names, range(PATIENTS.partitions))
    return {patient_id: state for (_, patient_id), state in found.patients.items()}


def _list_patients() -> None:
    table = Table("PatientID", "series", "frames", "greatest probability", "answer", "alarms")
    for patient_id, state in sorted(_snapshots().items()):
        series = list(state.series.values())
        slices = [seen for s in series for seen in s.slices.values()]
        p = max((seen.probability or 0.0 for seen in slices), default=0.0)
        answers = [r.text for r in state.recommendations.values() if not r.withdrawn]
        open_alarms = [a for a in state.alarms.values() if a.state != "inactive"]
        table.add_row(
            escape(patient_id),
            str(len(series)),
            str(len(slices)),
            f"{p:.3f}",
            answers[-1] if answers else "no answer yet",
            str(len(open_alarms)),
        )
    out.print(table)


def _as_object(record: Any) -> dict[str, Any]:
    """Return a message as one JSON object: the record itself, or what can be said of a frame."""
    envelope = Envelope.of(record.headers)
    place = {"partition": record.partition, "offset": record.offset}
    kind = {"kind": envelope.kind}
    if envelope.content_type.startswith("application/json") and record.value:
        try:
            said = json.loads(record.value, parse_constant=str)  # NaN is not JSON
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return kind | {"problem": "not a JSON object", "kafka": place}
        return kind | said | {"kafka": place}
    return kind | {
        "frame_id": envelope.id,
        "subject": envelope.subject,
        "source": envelope.source,
        "FrameNumber": envelope.frame_number,
        "time": rfc3339(envelope.time) if envelope.time else None,
        "bytes": len(record.value or b""),
        "kafka": place,
    }


def _as_line(shown: dict[str, Any]) -> str:
    """Return the few words a person wants of a message."""
    kind = str(shown.get("kind") or "?")
    who = str(shown.get("PatientID") or "")
    if kind == "finding":
        p = shown.get("lesion_probability")
        scored = isinstance(p, int | float)
        what = f"lesion probability {p:.3f}" if scored else shown.get("detail")
    elif kind == "frame":
        what = f"{shown['subject']}  {shown['bytes']:,} bytes"
    else:
        words = ("priority", "phase", "text", "rationale", "action", "actor")
        what = "  ".join(str(shown[word]) for word in words if shown.get(word))
    place = shown["kafka"]
    return f"{place['partition']:>2}:{place['offset']:<6} {kind:<15} {who:<35} {what}"
