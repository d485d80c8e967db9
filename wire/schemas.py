"""JSON Schemas and the AsyncAPI 3 document, generated from the records and the table of topics.

``python -m wire.schemas`` writes them to ``wire/schema/``; a test fails when they are out of step.
"""

import json
from pathlib import Path
from typing import Any

from wire.assessment import Assessment
from wire.envelope import DICOM, JSON
from wire.evidence import ModelEvidence
from wire.patient import Patient
from wire.records import Action, Alert, Comparison, Finding, Heartbeat, Recommendation, Record
from wire.replayed import Replayed
from wire.topics import (
    ACTIONS,
    ALERTS,
    DEAD_LETTERS,
    FRAMES,
    PATIENTS,
    REPLAYED,
    RESULTS,
    STAT,
    TOPICS,
    Topic,
)

FOLDER = Path(__file__).parent / "schema"
VERSION = "1.0.0"

RECORDS: tuple[type[Record], ...] = (
    Finding,
    Comparison,
    Assessment,
    ModelEvidence,
    Recommendation,
    Alert,
    Heartbeat,
    Action,
    Patient,
    Replayed,
)
"""Every JSON record that stands on a topic, by kind."""

_MESSAGES = {
    FRAMES: ("frame",),
    STAT: ("frame",),
    RESULTS: ("finding", "comparison", "assessment", "model-evidence", "recommendation"),
    ACTIONS: ("action",),
    ALERTS: ("alert", "heartbeat"),
    DEAD_LETTERS: ("dead-letter",),
    REPLAYED: ("replayed",),
    PATIENTS: ("patient",),
}
_HEADERS = {
    "ce_specversion": "CloudEvents version, 1.0",
    "ce_id": "id of the event; for a frame its frame_id, recomputed by scoring",
    "ce_source": "constant path of the writer",
    "ce_type": "lesionstream.<kind>.v1",
    "ce_subject": "SOPInstanceUID/FrameNumber, for frames and findings",
    "ce_time": "RFC 3339; of a frame: when its last byte was received",
    "ce_framenumber": "frame number from 1, for frames out of multi-frame objects",
    "content-type": f"{DICOM} or {JSON}",
}
_LETTER_HEADERS = {
    "reason": "why it could not be used",
    "detail": "the reason in words",
    "attempts": "how often it was tried",
    "topic": "where it came from",
    "partition": "where it came from",
    "offset": "where it came from",
    "quarantine": "sha256 in the producer's quarantine folder",
    "engine": "that was asked: name and version",
}


def schema_of(record: type[Record]) -> dict[str, Any]:
    """Return the JSON Schema of one record as it stands on the wire."""
    schema = record.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:lesionstream:{record.kind}:v1",
    } | schema


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document: which messages stand on which topic."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lesionstream",
            "version": VERSION,
            "description": "Scan frames in, findings, recommendations and alerts out, on Kafka. "
            "CloudEvents 1.0 in binary mode. Decision support, not a medical device.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {_slug(topic.name): _channel(topic) for topic in TOPICS},
        "operations": {
            f"{verb}-{_slug(topic.name)}": {
                "action": verb,
                "channel": {"$ref": f"#/channels/{_slug(topic.name)}"},
            }
            for topic, verb in (
                (FRAMES, "send"),
                (STAT, "send"),
                (ACTIONS, "send"),
                (RESULTS, "receive"),
                (ALERTS, "receive"),
                (DEAD_LETTERS, "receive"),
                (PATIENTS, "receive"),
            )
        },
        "components": {"messages": _messages()},
    }


def generated() -> dict[str, str]:
    """Return every generated file: name -> text."""
    documents = {f"{record.kind}.v1.json": schema_of(record) for record in RECORDS}
    documents["asyncapi.json"] = asyncapi()
    return {name: json.dumps(doc, indent=2) + "\n" for name, doc in documents.items()}


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.content,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _MESSAGES[topic]},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _messages() -> dict[str, Any]:
    messages = {
        record.kind: _message(record.kind, JSON, {"$ref": f"./{record.kind}.v1.json"})
        for record in RECORDS
    }
    binary = {"type": "string", "format": "binary"}
    messages["frame"] = _message("frame", DICOM, binary)
    messages["dead-letter"] = _message("dead-letter", DICOM, binary, _LETTER_HEADERS)
    return messages


def _message(
    kind: str, content_type: str, payload: dict[str, Any], more: dict[str, str] | None = None
) -> dict[str, Any]:
    headers = _HEADERS | (more or {})
    return {
        "name": f"lesionstream.{kind}.v1",
        "contentType": content_type,
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"],
            "properties": {
                name: {"type": "string", "description": words} for name, words in headers.items()
            },
        },
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "the patient's pseudonym"},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _slug(name: str) -> str:
    return name.replace(".", "-")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, content in generated().items():
        (FOLDER / file_name).write_text(content)
