"""Hold the states of many patients: what memory they take, and how they come back from Kafka.

Run as ``python -m benchmarks.many_patients [--patients N] [--slices N] [--studies N]``. Starts a
Kafka of its own and fills `results` with findings. A fresh process gets the states from the log
alone, as where the snapshots are gone, and writes the snapshots; another one gets them from those.
Exit code 1 where the two differ. Prints a table.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

import local
from lesionstream.console import progress_bar, say, set_up_logging
from stream.ledger import Ledger
from stream.policies import POLICIES, choose
from stream.rebuild import rebuild
from stream.snapshots import read_snapshots
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.patient import Patient
from wire.records import EngineUsed, Finding, FrameAddress, LesionCandidate, Plane, StageTimes
from wire.topics import ACTIONS, PATIENTS, RESULTS, TOPICS, Names, partition_of

Noise = Sequence[float]
SPACE = UUID(int=24)
START = datetime(2026, 1, 1, tzinfo=UTC)
BETWEEN_STUDIES = timedelta(days=90)
PITCH_MM, PIXEL_MM = 2.5, 0.7
LESION_MM, FAINT = (9.0, 12.0, 11.5, 8.0), 2
"""Diameters of a lesion of 12 mm in neighbouring slices; other slices with a faint candidate."""

USED = {"name": "lesion", "version": "0.2.0", "sha256": "5e" * 32, "screen": 0.5, "alarm": 0.7864}
ENGINE = EngineUsed.model_validate(USED | {"backend": "onnxruntime-cpu", "precision": "int8"})
TIMES = StageTimes(queued=3.1, decode=9.4, preprocess=21.7, inference=88.2, total=122.4)
HEAT_MAP = "iVBORw0KGgoA" * 150
"""Of a finding at `screen`: as long as a real one."""

UNCONFIRMED = 5_000
"""Messages after which the producer is waited for: it holds them without a bound."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a fresh process saw. memory : resident before, with the states, at most; bytes."""

    wall_s: float
    cpu_s: float
    memory: tuple[int, int, int]
    sizes: tuple[int, ...]
    digest: str


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_patients", description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--slices", type=int, default=24, help="of each series")
    parser.add_argument("--studies", type=int, default=1, help="of each patient, one series each")
    args = parser.parse_args(argv)
    if args.slices < len(LESION_MM) + FAINT:
        parser.error(f"a series has at least {len(LESION_MM) + FAINT} slices")
    count = args.patients * args.slices * args.studies
    with tempfile.TemporaryDirectory(prefix="lesionstream-many-") as folder, ExitStack() as end:
        end.callback(local.down, Path(folder))
        kafka = str(local.up(Path(folder), redis=False, say=say).kafka)
        names = Names(f"many-{secrets.token_hex(4)}-")
        topic_admin.create(Cluster.plain(kafka), names)
        admin = end.enter_context(closing(KafkaAdminClient(bootstrap_servers=kafka)))
        end.callback(admin.delete_topics, [names.of(topic) for topic in TOPICS])
        publish(kafka, names.of(RESULTS), made(args.patients, args.slices, args.studies), count)
        if acknowledge(kafka, names) != count:
            raise SystemExit("not all findings were published")
        fresh = ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)
        by_log = end.enter_context(fresh).submit(load, kafka, names, True).result()
        by_snapshots = fresh.submit(load, kafka, names, False).result()
    print(f"Patients: {args.patients}, each with {args.studies} series of {args.slices} slices.\n")
    print(table([(f"{count} findings", by_log), (f"{args.patients} snapshots", by_snapshots)]))
    same = by_log.digest == by_snapshots.digest and len(by_log.sizes) == args.patients
    print(f"\nThe states are {'the same' if same else 'NOT the same'} both ways.")
    return 0 if same else 1


def made(people: int, slices: int, studies: int) -> Iterator[Finding]:
    """Yield simulated findings, one study of everybody after the other."""
    rng = np.random.default_rng(20)
    first = rng.integers(slices - len(LESION_MM) + 1, size=people)
    places = rng.uniform((-110, -210), (-40, -90), (people, 2))
    for study, person in product(range(studies), range(people)):
        x_mm, y_mm = places[person].tolist()
        sizes = {int(first[person]) + n: mm * 1.1**study for n, mm in enumerate(LESION_MM)}
        faint = rng.choice([n for n in range(slices) if n not in sizes], FAINT, replace=False)
        for number, noise in enumerate(rng.normal(0, 1, (slices, 4)).tolist()):
            lesion, x, y = None, x_mm + 0.4 * noise[2], y_mm + 0.4 * noise[3]
            if number in sizes:
                size = sizes[number] + 0.3 * noise[0]
                lesion = _lesion(0.99 - abs(noise[1]) / 50, x, y, number * PITCH_MM, size)
            elif number in faint:
                lesion = _lesion(0.1 + abs(noise[1]) / 50, -x, y, number * PITCH_MM, 4.0)
            yield _finding(f"PSN-{person:08d}", study, number, slices, lesion, noise)


def _lesion(p: float, x_mm: float, y_mm: float, z_mm: float, size_mm: float) -> LesionCandidate:
    x_px, y_px, wide = 256 + x_mm / PIXEL_MM, 470 + y_mm / PIXEL_MM, size_mm / PIXEL_MM
    box = (x_px - wide / 2, y_px - wide / 2, wide, wide)
    place = {"x_mm": x_mm, "y_mm": y_mm, "z_mm": z_mm, "diameter_mm": size_mm}
    return LesionCandidate(probability=p, x_px=x_px, y_px=y_px, box=box, **place)


def _finding(
    patient: str, study: int, number: int, slices: int, lesion: LesionCandidate | None, noise: Noise
) -> Finding:
    """Return the finding of one slice."""
    series = uuid5(SPACE, f"{patient}|{study}")
    frame = uuid5(series, str(number))
    event = START + study * BETWEEN_STUDIES + timedelta(seconds=number / 5)
    p = lesion.probability if lesion else 0.001 + abs(noise[0]) / 50
    z_mm, area_cm2 = number * PITCH_MM, 120 + 140 * np.sin(np.pi * (number + 0.5) / slices)
    lungs = (2 * noise[2], 2 * noise[3] - 150, z_mm)
    return Finding(
        id=uuid5(frame, ENGINE.name),
        frame_id=frame,
        patient_id=patient,
        study_instance_uid=f"2.25.{uuid5(series, 'study').int}",
        series_instance_uid=f"2.25.{series.int}",
        sop_instance_uid=f"2.25.{uuid5(frame, 'image').int}",
        frame_number=1,
        instance_number=number + 1,
        modality="CT",
        event_time=event,
        received_time=event + timedelta(seconds=1.5),
        status="scored",
        reason=None,
        detail=None,
        lesion_probability=p,
        lesions=(lesion,) if lesion else (),
        heat_map=HEAT_MAP if p >= (ENGINE.screen or 0) else None,
        engine=ENGINE,
        quality={"lungs": 2, "lung_area_cm2": round(area_cm2 + 4 * noise[1], 2)},
        plane=Plane(location_mm=z_mm, pitch_mm=PITCH_MM, images=slices, lung_centre_mm=lungs),
        times_ms=TIMES,
        frame=FrameAddress(topic="frames", partition=0, offset=number),
    )


def publish(kafka: str, topic: str, records: Iterable[Finding | Patient], count: int) -> None:
    """Write records of patients to a topic of 24 partitions, as the workers do."""
    producer = KafkaProducer(
        bootstrap_servers=kafka, compression_type="lz4", linger_ms=20, batch_size=256 << 10
    )
    with progress_bar("messages") as bar:
        task = bar.add_task(f"to {topic}", total=count, note="")
        for number, record in enumerate(records, 1):
            key = record.patient_id or ""
            place = partition_of(key, RESULTS.partitions)
            headers = Envelope(record.kind, str(number), "/benchmark", time=START).headers()
            producer.send(topic, record.to_json(), key.encode(), headers, place)
            if number % UNCONFIRMED == 0 or number == count:
                producer.flush()
                bar.update(task, completed=number)
    producer.close()


def acknowledge(kafka: str, names: Names) -> int:
    """Commit the ends of `results` and `actions` for the patients workers; return their sum."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=names.group("patients"))
    both = product((RESULTS, ACTIONS), range(RESULTS.partitions))
    places = [TopicPartition(names.of(topic), partition) for topic, partition in both]
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    consumer.commit({place: OffsetAndMetadata(end) for place, end in ends.items()})
    consumer.close(autocommit=False)
    return int(sum(ends.values()))


def load(kafka: str, names: Names, write: bool) -> Loaded:
    """Load all partitions as a patients worker does. write : their snapshots, afterwards."""
    set_up_logging("error")
    say(f"states from {'the log alone' if write else 'the snapshots'} ...")
    ids = topic_admin.topic_ids(Cluster.plain(kafka), names)
    ledger = Ledger(
        partial(read_snapshots, Cluster.plain(kafka), names),
        rebuild=partial(rebuild, Cluster.plain(kafka), names, choose(POLICIES[0])),
        log_id=f"{ids[RESULTS.name]}/{ids[ACTIONS.name]}",
    )
    gc.collect()
    before, wall_s, cpu_s = resident("VmRSS"), time.perf_counter(), time.process_time()
    ledger.load(range(RESULTS.partitions))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    gc.collect()
    memory = (before, resident("VmRSS"), resident("VmHWM"))
    patients = sorted(ledger.all(), key=lambda patient: patient.patient_id)
    states = [patient.to_json() for patient in patients]
    if write:
        publish(kafka, names.of(PATIENTS), patients, len(patients))
    digest = hashlib.sha256(b"\n".join(states)).hexdigest()
    return Loaded(wall_s, cpu_s, memory, tuple(map(len, states)), digest)


def resident(name: str) -> int:
    """Return a memory figure of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


def table(ways: Sequence[tuple[str, Loaded]]) -> str:
    """Return the table, the size of the snapshots, and on what it ran."""
    lines = [
        "| states from | s | CPU s | patients/s | MB before | MB after | MB peak | KB a patient |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, it in ways:
        count, taken = max(1, len(it.sizes)), it.memory[1] - it.memory[0]
        memory = " | ".join(f"{size / 1e6:.0f}" for size in it.memory)
        times = f"{it.wall_s:.1f} | {it.cpu_s:.1f} | {count / it.wall_s:.0f}"
        lines.append(f"| {name} | {times} | {memory} | {taken / count / 1e3:.1f} |")
    sizes = ways[-1][1].sizes or (0,)
    each, most, load_1 = sum(sizes) / len(sizes), max(sizes), os.getloadavg()[0]
    lines += [
        f"\nA snapshot: {each / 1e3:.1f} KB of JSON, at most {most / 1e3:.1f} KB, "
        f"in all {sum(sizes) / 1e6:.1f} MB.",
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load_1:.1f}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
