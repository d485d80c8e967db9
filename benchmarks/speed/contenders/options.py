"""What every contender is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from wire.topics import FRAMES, RESULTS, Names


@dataclass(frozen=True, slots=True)
class Options:
    """Where the broker is, which topics, and how the engine runs.

    workers : frames in hand at once, in one process.
    """

    kafka: str
    names: Names
    threads: int
    workers: int = 1

    @property
    def frames(self) -> str:
        """Name of the topic with the frames."""
        return self.names.of(FRAMES)

    @property
    def results(self) -> str:
        """Name of the topic for the answers."""
        return self.names.of(RESULTS)

    @property
    def group(self) -> str:
        """Consumer group."""
        return f"{self.names.prefix}contender"


def read() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    told = parser.parse_args()
    return Options(told.kafka, Names(told.prefix), told.threads, told.workers)
