"""Engines: one CT slice in, one score out.

A leaf: arrays in, numbers out. Nothing here knows Kafka, Redis, Faust or DICOM, and importing it
needs no GPU and loads no runtime; `load_engine` does.

>>> from engines import DEFAULT_ENGINE, CtSlice, load_engine
>>> engine = load_engine(DEFAULT_ENGINE)                     # doctest: +SKIP
>>> engine.score(CtSlice(hu, (0.7, 0.7))).lesion_probability  # doctest: +SKIP
0.73
"""

from engines.card import (
    Accepted,
    DataSource,
    EngineCard,
    Figure,
    InputSpec,
    OperatingPoints,
)
from engines.errors import (
    CatalogueError,
    EngineError,
    EngineFailed,
    NotScorable,
    NotScorableReason,
)
from engines.loading import DEFAULT_ENGINE, list_engines, load_engine
from engines.plausible import implausible
from engines.preparing import prepare
from engines.protocol import Candidate, CtSlice, Engine, Preparation, Prepared, Score

__all__ = [
    "DEFAULT_ENGINE",
    "Accepted",
    "Candidate",
    "CatalogueError",
    "CtSlice",
    "DataSource",
    "Engine",
    "EngineCard",
    "EngineError",
    "EngineFailed",
    "Figure",
    "InputSpec",
    "NotScorable",
    "NotScorableReason",
    "OperatingPoints",
    "Preparation",
    "Prepared",
    "Score",
    "implausible",
    "list_engines",
    "load_engine",
    "prepare",
]
