"""`worker scoring`, also `--stat`, `worker patients` and `worker models`."""

import os
from datetime import timedelta

import faust
import structlog

from engines import Engine
from engines.loading import load_effects, load_forecaster, read_card
from lesionstream import catalogue, endpoints
from lesionstream.console import set_up_logging
from lesionstream.policies import policy_of
from lesionstream.settings import settings
from lesionstream.surface import surface
from stream import faust_app
from stream.comparing import PlanAdviser
from stream.consult import Adviser
from stream.forecasting import ForecastAdviser
from stream.health import Pulse
from stream.lesion_pixels import LesionPixels
from stream.strikes import Strikes
from stream.watch import WorkerWatch
from wire.cluster import Cluster
from wire.rights import DECIDING, MODELS, SCORING, URGENT
from wire.topics import INPUT

log = structlog.get_logger(__name__)

MOST_DECODERS = 8
"""Of one worker by default: each takes some 0.15 GB."""


def run(
    name: str,
    *,
    shadow: str | None = None,
    session_timeout_s: float = faust_app.SESSION_TIMEOUT_S,
) -> None:
    """Run a worker until SIGTERM; waits for broker and topics first.

    Parameters
    ----------
    name : of `wire.topics.INPUT`.
    shadow : for scoring: an engine that looks at every frame, too, and decides nothing.
    session_timeout_s : see `stream.faust_app.make_app`; another one for measuring alone.
    """
    wanted = settings()
    level = set_up_logging(wanted.log_level)
    kafka = endpoints.kafka()
    pulse = Pulse()
    made = {"patients": _patients, "models": _models}.get(name)
    if made is None:
        app = _scoring(name, shadow, kafka, pulse, session_timeout_s)
    else:
        app = made(kafka, pulse, session_timeout_s)
    watch = WorkerWatch(
        pulse,
        cluster=kafka,
        group=wanted.names.group(name),
        topic=wanted.names.of(INPUT[name]),
    )
    watch.start()
    with surface(name, watch.health):
        faust_app.run(app, log_level=level)


def _scoring(
    name: str, shadow: str | None, kafka: Cluster, pulse: Pulse, session_timeout_s: float
) -> faust.App:
    wanted = settings()
    engine = catalogue.load(catalogue.engine_in_use())
    faust_app.wait_for_topics(kafka, wanted.names, SCORING if name == "scoring" else URGENT)
    from stream.scoring_app import scoring_app

    log.info(name, engine=engine.card.name, backend=engine.backend, kafka=str(kafka))
    return scoring_app(
        kafka,
        names=wanted.names,
        worker=name,
        engine=engine,
        shadow=None if shadow is None else catalogue.load(shadow),
        folder=wanted.home / "faust",
        pulse=pulse,
        strikes=Strikes(wanted.home / "strikes"),
        promoted=_Promotions(engine.card.name).newer,
        session_timeout_s=session_timeout_s,
        decoders=wanted.decoders or decoders_for(engine.backend, cores()),
    )


def decoders_for(backend: str, cores: int) -> int:
    """Return how many decode processes keep an engine busy.

    A CPU takes longer to ask it than to decode. A GPU waits for them: all cores but two.
    """
    return min(MOST_DECODERS, max(1, cores - 2)) if backend.endswith("-cuda") else 1


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _patients(kafka: Cluster, pulse: Pulse, session_timeout_s: float) -> faust.App:
    wanted = settings()
    redis = endpoints.redis()
    policy = policy_of(wanted.policy)
    faust_app.wait_for_topics(kafka, wanted.names, DECIDING)
    from stream.patients_worker import patients_app

    log.info("patients", kafka=str(kafka), policy=policy.NAME, version=policy.version)
    return patients_app(
        kafka,
        names=wanted.names,
        cache=redis,
        folder=wanted.home / "faust",
        pulse=pulse,
        policy=policy,
        retention=timedelta(days=days) if (days := wanted.retention_days) else None,
        session_timeout_s=session_timeout_s,
    )


def _models(kafka: Cluster, pulse: Pulse, session_timeout_s: float) -> faust.App:
    wanted = settings()
    advisers = [_adviser(name, kafka) for name in wanted.models.split(",")]
    faust_app.wait_for_topics(kafka, wanted.names, MODELS)
    from stream.models_worker import models_app

    log.info("models", kafka=str(kafka), engines=[adviser.card.name for adviser in advisers])
    return models_app(
        kafka,
        names=wanted.names,
        advisers=advisers,
        folder=wanted.home / "faust",
        pulse=pulse,
        session_timeout_s=session_timeout_s,
    )


def _adviser(name: str, kafka: Cluster) -> Adviser:
    """Return an engine with what it is asked, by its task.

    Raises
    ------
    EngineError   there is no such engine, or it is none of these.
    """
    places = catalogue.catalogues()
    if read_card(name, catalogues=places).task == "effect":
        engine = load_effects(name, catalogues=places)
        pixels = LesionPixels(kafka, settings().names, engine.card.input.window())
        plans = policy_of(settings().policy).data.plans
        return PlanAdviser(engine, plans, pixels.view)
    forecaster = load_forecaster(name, catalogues=places)
    return ForecastAdviser(forecaster, settings().next_visit_days)


class _Promotions:
    """Tells when another engine was promoted than the one in use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def newer(self) -> Engine | None:
        """Return the promoted engine, loaded, or None where nothing changed.

        A name that cannot be loaded is tried once, not every two seconds.
        """
        name = catalogue.engine_in_use()
        if name == self._name:
            return None
        self._name = name
        return catalogue.load(name)
