"""The engine alone: frames that lie in memory, decoded, prepared and scored one after the other.

No Kafka but to fetch them first. Prints one line of JSON: rate, cpu_s and peak_bytes.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.scores import Scores
from wire.cluster import Cluster
from wire.reading import read

WARM_UP = 10


def main() -> None:
    """Score every frame of the topic."""
    told = options.read()
    measured(told, Scores(told.threads).of)


def measured(told: options.Options, answer: Callable[[bytes], object]) -> None:
    """Answer every frame of the topic from memory, and print what that took."""
    payloads = [record.value for record in read(Cluster.plain(told.kafka), told.frames)]
    for payload in payloads[:WARM_UP]:
        answer(payload)
    began, used = time.perf_counter(), time.process_time()
    for payload in payloads:
        answer(payload)
    rate = len(payloads) / (time.perf_counter() - began)
    cpu_s = (time.process_time() - used) / len(payloads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"rate": rate, "cpu_s": cpu_s, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
