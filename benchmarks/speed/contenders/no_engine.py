"""Lesionstream's scoring worker with an engine that answers at once.

With ``--undecoded`` nothing is decoded either: what is left is Kafka, Faust and the finding.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

from engines import CtSlice, EngineCard, Preparation, Prepared, Score
from engines.loading import read_card
from stream import faust_app
from stream.health import Pulse
from stream.looking import Looked, Wanted, look
from stream.scoring_app import scoring_app
from stream.strikes import Strikes
from wire.cluster import Cluster
from wire.topics import Names


class NoEngine:
    """Says the same of every slice."""

    backend, precision = "none", "fp32"

    def __init__(self) -> None:
        self.card: EngineCard = read_card("lesion").model_copy(update={"known_answers": {}})
        self.preparation = Preparation("field", self.card.input.window())

    def infer(self, prepared: Prepared) -> Score:
        """Answer at once."""
        return Score(0.1, (), {}, 0.0, 0.0)

    def score(self, ct: CtSlice) -> Score:
        """Answer at once."""
        return Score(0.1, (), {}, 0.0, 0.0)

    def close(self) -> None:
        """Nothing to give back."""


class FirstFrame:
    """Looks at the first frame, and takes every other for it, under an id of its own."""

    def __init__(self) -> None:
        self._first: Looked | None = None

    def __call__(self, payload: bytes | None, frame_number: int | None, wanted: Wanted) -> Looked:
        if self._first is None:
            self._first = look(payload, frame_number, wanted)
        return replace(self._first, frame_id=uuid.uuid4())


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--undecoded", action="store_true")
    parser.add_argument("--decoders", type=int, default=1)
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lesionstream-no-engine-"))
    app = scoring_app(
        Cluster.plain(told.kafka),
        names=Names(told.prefix),
        engine=NoEngine(),
        folder=folder,
        pulse=Pulse(),
        strikes=Strikes(folder / "strikes"),
        decoders=told.decoders,
        look=FirstFrame() if told.undecoded else None,
    )
    faust_app.run(app, log_level=30)


if __name__ == "__main__":
    main()
