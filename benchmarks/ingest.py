"""Ingest: our listener into a real Kafka against DCMTK's storescp writing files, side by side.

Run as ``python -m benchmarks.ingest [--slices N] [--repeats N]``. DCMTK's storescu sends the same
slices to each in turn, on one association and on ten at once; storescp runs as it comes, one
association after the other, and with ``--fork``, a process for each association. Starts a Kafka of
its own. Prints the table of docs/operations.md.
"""

# ruff: noqa: S603, S607 -- DCMTK's commands, with arguments of our own
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import local
from lesionstream import children
from lesionstream.console import progress_bar, say
from local.ports import claim
from producers.scanner.course import patients
from producers.scanner.series import scans
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.part10 import to_bytes
from wire.reading import read
from wire.topics import FRAMES, Names

ASSOCIATIONS = (1, 10)
NAMES = Names("ingest-")
READY_S = 60.0


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--slices", type=int, default=500, help="512 x 512, in all")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    if not (shutil.which("storescu") and shutil.which("storescp")):
        say("DCMTK's storescu and storescp are missing: make setup WITH_TESTS=1")
        return 2
    with tempfile.TemporaryDirectory(prefix="lesionstream-ingest-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        kafka = str(local.up(home, say=say).kafka)
        topic_admin.create(Cluster.plain(kafka), NAMES)
        write(home / "slices", args.slices)
        ours, plain, forking = claim(home / "ports.json", ["listener", "plain", "fork"]).values()
        end.callback(_storescp(home / "received", plain).kill)
        end.callback(_storescp(home / "received", forking, "--fork").kill)
        listener = _listener(kafka, home, ours)
        end.callback(children.end, [listener])
        rates = _measured(
            {"storescp": plain, "storescp --fork": forking, "listen": ours}, home, args
        )
        memory = peak_bytes(listener.pid)
        arrived = {Envelope.of(r.headers).id for r in read(Cluster.plain(kafka), NAMES.of(FRAMES))}
    if len(arrived) != args.slices:
        say(f"{len(arrived)} of {args.slices} slices arrived", style="red")
        return 1
    print(table(rates, memory))
    return 0


def write(folder: Path, count: int) -> None:
    """Write simulated slices, each an object of its own, into a folder for each association."""
    (scan,) = scans(list(patients(1, studies=1, slices=8, seed=1)), 8)
    images = list(scan.images())
    share = max(ASSOCIATIONS)
    for number in range(count):
        ds = images[number % len(images)].dataset
        ds.SOPInstanceUID = f"2.25.{number + 1}"
        ds.PatientID = f"BENCH-{number % share}"
        path = folder / str(number % share) / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_bytes(ds))


def _storescp(folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["storescp", *options, "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _listener(kafka: str, home: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {
        "LESIONSTREAM_KAFKA": kafka,
        "LESIONSTREAM_HOME": str(home),
        "LESIONSTREAM_TOPIC_PREFIX": NAMES.prefix,
    }
    words = ["listen", "--host", "127.0.0.1", "--port", str(port), "--allow", "*"]
    with open(home / "listen.log", "wb") as log:
        return children.start(words, environment=environment, stdout=log, stderr=log)


def _measured(
    ports: dict[str, int], home: Path, args: argparse.Namespace
) -> dict[tuple[str, int], list[float]]:
    """Return slices a second by receiver and associations, each as often as repeats."""
    rates: dict[tuple[str, int], list[float]] = {
        (name, count): [] for count in ASSOCIATIONS for name in ports
    }
    for name, port in ports.items():
        _wait_for(name, port)
    with progress_bar("runs") as bar:
        task = bar.add_task("sending", total=len(rates) * args.repeats, note="")
        for _ in range(args.repeats):
            for (name, count), found in rates.items():
                found.append(_rate(home / "slices", ports[name], count))
                bar.advance(task)
    return rates


def _wait_for(name: str, port: int) -> None:
    until_s = time.monotonic() + READY_S
    echo = ["echoscu", "-aec", "LESIONSTREAM", "127.0.0.1", str(port)]
    while subprocess.run(echo, capture_output=True, check=False).returncode:
        if time.monotonic() > until_s:
            raise SystemExit(f"{name} does not answer")
        time.sleep(0.2)


def _rate(folder: Path, port: int, associations: int) -> float:
    """Send with so many storescu at once, a tenth of the slices each; return slices a second."""
    folders = [folder / str(number) for number in range(associations)]
    slices = sum(len(list(one.iterdir())) for one in folders)
    words = ["storescu", "-aec", "LESIONSTREAM", "127.0.0.1", str(port), "+sd"]
    began = time.monotonic()
    senders = [subprocess.Popen([*words, str(one)], stderr=subprocess.DEVNULL) for one in folders]
    if any([sender.wait() for sender in senders]):
        raise SystemExit("a sender was refused")
    return slices / (time.monotonic() - began)


def peak_bytes(pid: int) -> int:
    """Return the peak of the resident memory of a process and its children, added up."""
    listed = (p for p in Path("/proc").iterdir() if p.name.isdigit())
    total = 0
    for process in listed:
        try:
            status = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines()
            )
        except OSError:
            continue  # it has ended
        if pid in (int(process.name), int(status["PPid"])) and "VmHWM" in status:
            total += int(status["VmHWM"].split()[0]) << 10
    return total


def table(rates: dict[tuple[str, int], list[float]], memory: int) -> str:
    """Return the table; ratios are of `listen` to each, on as many associations."""
    lines = [
        "| associations | receiver | slices a second, median | lowest, highest | ratio to it |",
        "|---|---|---|---|---|",
    ]
    for (name, count), found in rates.items():
        ratio = median(rates["listen", count]) / median(found)
        lines.append(
            f"| {count} | `{name}` | {median(found):.0f} | {min(found):.0f}, {max(found):.0f} "
            f"| {ratio:.2f} |"
        )
    lines.append("")
    lines.append(f"Peak memory of `listen` and its decode processes: {memory >> 20} MiB.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
