"""`simulate`: the simulated scanner, to a folder or by C-STORE to a listener."""

import itertools
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lesionstream.console import print_json, progress_bar, say
from lesionstream.settings import SettingsError
from lesionstream.tls import own_tls
from producers.scanner.course import patients
from producers.scanner.device import SUCCESS, Device, Faults
from producers.scanner.series import Image, Scan, scans
from producers.tls import client_context

AE_TITLE = "SIMSCANNER"
TRUTH = "truth.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is scanned. loop : new patients come when these are done, for ever."""

    patients: int = 4
    studies: int = 3
    slices: int = 24
    seed: int = 1
    loop: bool = False

    def scans(self) -> Iterator[Scan]:
        """Yield the series in order."""
        for seed in itertools.count(self.seed):
            people = patients(self.patients, studies=self.studies, slices=self.slices, seed=seed)
            yield from scans(list(people), self.slices)
            if not self.loop:
                return

    def images(self) -> Iterator[Image]:
        """Yield the images in order."""
        for scan in self.scans():
            yield from scan.images()

    @property
    def count(self) -> int | None:
        """Return how many images there will be; None where there is no end."""
        return None if self.loop else self.patients * self.studies * self.slices


@dataclass(slots=True)
class Truth:
    """The truth of all series so far; the last one may not be complete."""

    seed: int
    series: list[dict[str, Any]] = field(default_factory=list)

    def following(self, plan: Plan) -> Iterator[Image]:
        """Yield the images of a plan, and keep their truths."""
        for scan in plan.scans():
            seen: list[dict[str, Any]] = []
            self.series.append(scan.truth(seen))
            try:
                for image in scan.images():
                    seen.append(image.truth)
                    yield image
            finally:
                self.series[-1] = scan.truth(seen)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        words = {"simulated": True, "seed": self.seed, "series": self.series}
        path.write_text(json.dumps(words, indent=1, allow_nan=False) + "\n")


def write_files(plan: Plan, folder: Path) -> int:
    """Write the images and their truth below `folder`; return the exit code."""
    if plan.loop:
        raise SettingsError("--loop has no end: it needs --to")
    truth = Truth(plan.seed)
    with progress_bar("images") as bar:
        task = bar.add_task("scanning", total=plan.count, note="")
        for image in truth.following(plan):
            ds = image.dataset
            path = folder / ds.PatientID / f"study-{ds.StudyID}" / f"{ds.InstanceNumber:04d}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(path, enforce_file_format=True)
            bar.advance(task)
    truth.write(folder / TRUTH)
    say(f"{plan.count} images and {TRUTH} below {folder}")
    return 0


def send(
    plan: Plan,
    *,
    to: str,
    calling: str,
    called: str,
    fps: float | None,
    faults: Faults,
    truth_file: Path | None,
    tls: bool,
    jsonl: bool,
) -> int:
    """Send the images by C-STORE; return 1 if one that is whole was not taken.

    Raises
    ------
    NotTaken   nobody listens, or the association is rejected.
    """
    host, _, port = to.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f"--to {to}: give HOST:PORT of a listener")
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    truth = Truth(plan.seed)
    statuses: Counter[str] = Counter()
    refused = 0
    with (
        Device(
            (host, int(port)),
            ae_title=calling,
            called=called,
            faults=faults,
            seed=plan.seed,
            tls=own_tls(client_context) if tls else None,
        ) as device,
        progress_bar("images") as bar,
    ):
        task = bar.add_task("sending", total=plan.count, note="")
        found = truth.following(plan) if truth_file is not None else plan.images()
        images = (image.dataset for image in found)
        for sent in device.send(images, fps=fps, stop=told.is_set):
            statuses[f"{sent.status:04X}"] += 1
            refused += sent.status != SUCCESS and sent.fault != "truncated"
            bar.advance(task)
            if jsonl:
                print_json(
                    {
                        "SOPInstanceUID": sent.sop_instance_uid,
                        "PatientID": sent.patient_id,
                        "status": sent.status,
                        "comment": sent.comment,
                        "fault": sent.fault,
                    }
                )
    if truth_file is not None:
        truth.write(truth_file)
    say("sent: " + ", ".join(f"{n} with status {status}" for status, n in sorted(statuses.items())))
    return 1 if refused else 0
