"""The models worker: final assessments in, model evidence out, both on `results`.

The shell around `stream.consult`. It keeps nothing: all that is asked stands in the assessment, and
the same assessment gives the same evidence, by whichever worker and however often.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import faust
import structlog
from faust.types import EventT, StreamT
from pydantic import ValidationError

from stream import metrics
from stream.consult import Adviser, abstention, consult
from stream.faust_app import (
    SESSION_TIMEOUT_S,
    Outgoing,
    acknowledge,
    batches,
    headers_of,
    keep_pulse,
    make_app,
    publish,
    raw_topic,
)
from stream.health import Pulse
from stream.unread import unread
from wire.assessment import Assessment
from wire.cluster import BrokerUnavailable, Cluster
from wire.dead_letters import NOT_A_RECORD
from wire.decode_pool import DecoderUnavailable
from wire.envelope import Envelope
from wire.evidence import ModelEvidence
from wire.topics import DEAD_LETTERS, RESULTS, Names

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/models"
BATCH = 64
WITHIN_S = 0.02


def models_app(
    cluster: Cluster,
    *,
    names: Names,
    advisers: Sequence[Adviser],
    folder: Path,
    pulse: Pulse,
    session_timeout_s: float = SESSION_TIMEOUT_S,
) -> faust.App:
    """Return the Faust app that asks treatment models; the topics must exist.

    Parameters
    ----------
    advisers : each is asked about every final assessment.
    session_timeout_s : see `make_app`.
    """
    app = make_app(cluster, names.group("models"), folder, session_timeout_s=session_timeout_s)
    results, letters = raw_topic(app, names, RESULTS), raw_topic(app, names, DEAD_LETTERS)
    keep_pulse(app, pulse, names.of(RESULTS))

    def answers(event: EventT[bytes]) -> list[Outgoing]:
        """Ask all advisers about an assessment, if it is final."""
        try:
            sheet = Assessment.model_validate_json(event.message.value or b"")
            if sheet.stage != "final":
                return []
        except ValidationError as error:
            why = f"{error.error_count()} problems"
            return [unread(letters, event, NOT_A_RECORD, why, source=SOURCE)]
        return [_said(results, _asked(sheet, adviser)) for adviser in advisers]

    @app.agent(results, name="models", concurrency=1)
    async def models(stream: StreamT[bytes]) -> None:
        async for events in batches(stream, BATCH, WITHIN_S):
            pulse.taken(time.monotonic())
            for event in events:
                if Envelope.of(headers_of(event)).kind == Assessment.kind:
                    pulse.taken(time.monotonic())  # each may take its time
                    await publish(await asyncio.to_thread(answers, event))
                acknowledge([event])
            pulse.acknowledged(time.monotonic(), len(events))

    return app


def _asked(sheet: Assessment, adviser: Adviser) -> ModelEvidence:
    try:
        return consult(sheet, adviser)
    except (BrokerUnavailable, DecoderUnavailable):
        raise  # nothing was found out: the process ends, and the next one asks again
    except Exception as unexpected:  # the message boundary: the other advisers are heard
        return abstention(sheet, adviser, f"the engine failed ({type(unexpected).__name__})")


def _said(topic: faust.TopicT, evidence: ModelEvidence) -> Outgoing:
    engine = f"{evidence.engine.name} {evidence.engine.version}"
    metrics.MODEL_ANSWERS.labels(engine, evidence.status).inc()
    log.info("asked", patient_id=evidence.patient_id, engine=engine, status=evidence.status)
    envelope = Envelope(evidence.kind, str(evidence.id), SOURCE, time=datetime.now(UTC))
    return Outgoing(topic, evidence.patient_id, evidence.to_json(), envelope.headers())
