"""Files with bytes flipped, cut off, missing or twice: no crash, no memory over the limit."""

import re
import resource
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pytest
from support.damage import damaged
from support.record import recorded

from benchmarks.conformance import Bench, files_in
from benchmarks.sending import TITLE
from producers.listener import AE_TITLE
from producers.prepare import Prepared, prepare_source
from producers.sources import Source
from wire.decode_pool import ATTEMPTS, MEMORY_BYTES, DecodePool
from wire.errors import FrameError

pytestmark = pytest.mark.filterwarnings("ignore")

KEY = b"k" * 32
SMALL_BYTES = 12_000
LOST = re.compile("the decoder (process died|took longer)")
COLUMNS = (
    "| seed | variants | frames | variants with a frame | refused, by reason "
    "| children lost | largest child, MiB of address space |"
)


@dataclass
class Record:
    """What became of many variants."""

    frames: int = 0
    with_frames: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    blamed: int = 0
    children: set[int] = field(default_factory=set)
    peak_bytes: int = 0
    lock: Lock = field(default_factory=Lock)

    def add(self, items: list[Prepared | FrameError]) -> None:
        errors = [item for item in items if isinstance(item, FrameError)]
        frames = len(items) - len(errors)
        with self.lock:
            self.frames += frames
            self.with_frames += frames > 0
            self.refused.update({error.reason.value for error in errors})
            self.blamed += sum(bool(LOST.match(error.detail)) for error in errors)

    def look_at(self, pool: DecodePool) -> None:
        """Note which children there are, and how large each has been."""
        with self.lock:
            for child in list(pool._children):
                try:
                    status = Path(f"/proc/{child.process.pid}/status").read_text()
                    peak = re.search(r"VmPeak:\s+(\d+) kB", status)
                except (OSError, ValueError):
                    continue  # it is just ending
                if peak:
                    self.children.add(int(child.process.pid or 0))
                    self.peak_bytes = max(self.peak_bytes, int(peak[1]) << 10)


def put_through(files, seeds, folder, *, workers):
    """Prepare a variant for each seed as the listener does; return what became of them."""
    record = Record()
    with DecodePool(prepare_source, workers=workers) as pool:

        def one(seed):
            path = folder / f"{seed}.dcm"
            path.write_bytes(damaged(files, seed))
            items = []
            try:
                items.extend(pool.run(Source(path), KEY))
            except FrameError as error:
                items.append(error)
            assert items, f"seed {seed} ended as nothing"
            record.add(items)
            record.look_at(pool)
            path.unlink()

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(one, seeds))
        for child in pool._children:
            assert resource.prlimit(child.process.pid, resource.RLIMIT_AS)[0] == MEMORY_BYTES
        alive = len(pool._children)
    assert record.peak_bytes <= MEMORY_BYTES
    assert len(record.children) - alive <= record.blamed * ATTEMPTS, "a child died unreported"
    return record


@pytest.fixture(scope="module")
def files(data):
    """Return the files."""
    folder = data / "dicom"
    if not folder.is_dir():
        pytest.skip("no folder `dicom` among the labelled images (docs/data.md)")
    return files_in(folder)


def test_500_damaged_variants_of_real_files(files, tmp_path):
    small = [path for path in files if path.stat().st_size < SMALL_BYTES]
    record = put_through(small, range(500), tmp_path, workers=1)
    assert record.with_frames > 50, "the damage is so great that nothing is tried"
    assert sum(record.refused.values()) > 100, "the damage is so small that nothing is tried"


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_10_000_damaged_variants_of_real_files(files, tmp_path):
    with recorded("damaged", COLUMNS) as rows:
        for seed in range(10):
            seeds = range(1000 * (seed + 1), 1000 * (seed + 2))
            found = put_through(files, seeds, tmp_path, workers=2)
            reasons = ", ".join(f"{count} {name}" for name, count in sorted(found.refused.items()))
            rows.append(
                f"| {seed + 1} | {len(seeds)} | {found.frames} | {found.with_frames} | {reasons} "
                f"| {found.blamed * ATTEMPTS} | {found.peak_bytes >> 20} |\n"
            )


def test_storescu_sends_damaged_files_and_the_listener_lives_on(files, stack, tmp_path):
    """DCMTK leaves out what it cannot read, sends the rest as it is, and is answered each time."""
    if shutil.which("storescu") is None:
        pytest.fail("DCMTK's storescu is missing: make setup-tests")
    small = [path for path in files if path.stat().st_size < SMALL_BYTES]
    (tmp_path / "sent").mkdir()
    for seed in range(100):
        (tmp_path / "sent" / f"{seed}.dcm").write_bytes(damaged(small, seed))
    with Bench(stack.kafka, stack.names, tmp_path) as bench:
        done = subprocess.run(
            ["storescu", "-v", "--no-halt", "--required", "+sd", "-aet", TITLE, "-aec", AE_TITLE,
             *map(str, bench.address), tmp_path / "sent"],
            capture_output=True, text=True, errors="replace", timeout=100, check=False,
        )  # fmt: skip
        assert bench.alive()
    said = Counter(re.findall(r"Received Store Response \((.*?)\)", done.stdout + done.stderr))
    assert sum(said.values()) > 20, done.stderr[-500:]
    assert said["Success"] > 5
    assert len(said) > 1, "nothing was refused"
