"""Frames that come at a steady rate, and when each was answered; for `benchmarks.handover`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Self

from producers.prepare import Prepared, prepare
from producers.publisher import Publisher
from producers.scanner.course import patients
from producers.scanner.series import scans
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.part10 import to_bytes
from wire.reading import read
from wire.records import Alert, Finding
from wire.topics import ALERTS, FRAMES, RESULTS, Names

SOURCE = "/lesionstream/benchmark"
KEY = b"benchmark" * 4
POLICY = 'policy = "threshold"\nthreshold = 0.0\n'
"""Every frame with a score alarms, whatever the engine thinks of it."""
EVERY = 4
"""Of the pixels of a simulated image: 128 x 128 are left, which cost little."""


class Feed:
    """Publish frames from a thread, each of another patient, while the context is open.

    sent : how many so far.
    """

    def __init__(self, cluster: Cluster, names: Names, fps: float) -> None:
        self._publisher = Publisher(cluster, names=names, source=SOURCE)
        self._pause_s = 1 / fps
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="feed", daemon=True)
        self.sent = 0

    def _publish(self) -> None:
        began = time.monotonic()
        for frame in frames():
            due_s = began + self.sent * self._pause_s
            if self._over.wait(max(0.0, due_s - time.monotonic())):
                return
            self._publisher.frame(frame)
            self.sent += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._publisher.flush()
        self._publisher.close()


def frames() -> Iterator[Prepared]:
    """Yield frames of simulated patients, each of another one, for ever."""
    (scan,) = scans(list(patients(1, studies=1, slices=8, seed=1)), 8)
    ds = list(scan.images())[4].dataset
    pixels = ds.pixel_array[::EVERY, ::EVERY]
    ds.PixelData, (ds.Rows, ds.Columns) = pixels.tobytes(), pixels.shape
    ds.PixelSpacing = [float(mm) * EVERY for mm in ds.PixelSpacing]
    for number in count(1):
        ds.PatientID = f"BENCH-{number:06d}"
        ds.SOPInstanceUID, ds.SeriesInstanceUID = f"2.25.1{number:06d}", f"2.25.2{number:06d}"
        ds.StudyInstanceUID = f"2.25.3{number:06d}"
        (frame,) = prepare(to_bytes(ds), KEY)
        assert isinstance(frame, Prepared)
        yield frame


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on the topics, by patient. Times in seconds.

    sent : when the last byte of the frame was there.
    findings : how many findings there are.
    alerts : when the alert was said first.
    """

    sent: dict[str, float]
    findings: Counter[str]
    alerts: dict[str, float]

    @property
    def whole(self) -> bool:
        """Return whether every frame was answered, and alarmed."""
        return self.sent.keys() == self.findings.keys() == self.alerts.keys()


def seen(cluster: Cluster, names: Names, sent: int) -> Seen | None:
    """Return what became of so many frames; None before there is an alert of each."""
    alerts: dict[str, float] = {}
    for record in read(cluster, names.of(ALERTS)):
        if Envelope.of(record.headers).kind == Alert.kind:
            alerts.setdefault((record.key or b"").decode(), record.timestamp / 1000)
    if len(alerts) < sent:
        return None
    findings = Counter(
        (record.key or b"").decode()
        for record in read(cluster, names.of(RESULTS))
        if Envelope.of(record.headers).kind == Finding.kind
    )
    begun: dict[str, float] = {}
    for record in read(cluster, names.of(FRAMES)):
        received = Envelope.of(record.headers).time
        assert received is not None
        begun[(record.key or b"").decode()] = received.timestamp()
    return Seen(begun, findings, alerts)
