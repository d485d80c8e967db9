"""`infer` as a user and another program see it: the real command, real files."""

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.phantoms import chest_hu, dataset, part10, write_series

from engines import DEFAULT_ENGINE

pytestmark = [pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]


def infer(home, *words, watch=None):
    """Run the command; return (exit code, findings, stderr)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lesionstream", "infer", *map(str, words)],
        env=os.environ | {"LESIONSTREAM_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if watch:
        watch(process.pid)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    findings = [json.loads(line) for line in out.splitlines()] if "--jsonl" in words else out
    return process.returncode, findings, err


def test_frames_and_what_is_none(tmp_path):
    folder = tmp_path / "in"
    write_series(folder, "P1", slices=2, seed=1)
    (folder / "empty.dcm").touch()
    (folder / "text [bold]x.txt").write_text("no DICOM")
    volume = np.stack([chest_hu(n, size=32) for n in range(3)])
    (folder / "multi.dcm").write_bytes(part10(dataset(volume, Modality="MR")))
    report = dataset(chest_hu(0, size=8), SOPInstanceUID="1.2.99")
    del report.PixelData
    (folder / "report.dcm").write_bytes(part10(report))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("deep/one.dcm", part10(dataset(chest_hu(3))))

    code, findings, err = infer(tmp_path, folder, "--jsonl")
    assert code == 1
    by_path = {}
    for finding in findings:
        by_path.setdefault(Path(finding["frame"]["path"]).name, []).append(finding)
    assert {name: len(lines) for name, lines in by_path.items()} == {
        "P1-1-0000.dcm": 1,
        "P1-1-0001.dcm": 1,
        "empty.dcm": 1,
        "text [bold]x.txt": 1,
        "multi.dcm": 3,
        "report.dcm": 1,
        "one.dcm": 1,
    }
    assert by_path["one.dcm"][0]["frame"]["path"] == f"{folder}/more.zip#deep/one.dcm"
    assert {f["reason"] for f in by_path["multi.dcm"]} == {"modality-not-supported"}
    assert [f["FrameNumber"] for f in by_path["multi.dcm"]] == [1, 2, 3]
    (report_line,) = by_path["report.dcm"]
    assert (report_line["reason"], report_line["SOPInstanceUID"], report_line["FrameNumber"]) == (
        "not-an-image", "1.2.99", None,
    )  # fmt: skip
    assert by_path["P1-1-0000.dcm"][0]["status"] == "scored"
    assert by_path["P1-1-0000.dcm"][0]["engine"]["name"] == DEFAULT_ENGINE
    assert "text [bold]x.txt: undecodable" in err


def test_a_table_for_people_and_exit_code_0(tmp_path):
    write_series(tmp_path / "in", "P1", slices=2, seed=1)
    code, out, err = infer(tmp_path, tmp_path / "in")
    assert code == 0, err
    assert "findings: 2" in out
    assert "decision support only" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["/not/there"], "/not/there: No such file"),
        ([".", "--engine", "nothing"], "nothing"),
        ([".", "--device", "cuda"], "cannot run on cuda"),
        ([], "Missing argument"),
    ],
)
def test_usage_errors_exit_2_and_say_what_to_do(tmp_path, words, complaint):
    code, _, err = infer(tmp_path, *words)
    assert code == 2
    assert complaint in err


def test_the_same_bits_each_time_whatever_else_is_scored(tmp_path):
    paths = write_series(tmp_path / "in", "P1", slices=6, seed=1)
    _, together, _ = infer(tmp_path, tmp_path / "in", "--jsonl")
    _, alone, _ = infer(tmp_path, paths[4], "--jsonl")
    key = ("frame_id", "id", "lesion_probability")
    assert [alone[0][k] for k in key] == [together[4][k] for k in key]


def test_a_folder_of_hostile_files(data, tmp_path):
    """Each of the 349 files is answered, without traceback, below 1.5 GB, within 5 minutes."""
    peak = PeakMemory()
    started = time.monotonic()
    code, findings, _ = infer(tmp_path, data / "dicom", "--jsonl", watch=peak.watch)
    assert time.monotonic() - started < 300
    assert peak.stop() < 1.5e9
    assert code == 1
    files = {path.name for path in (data / "dicom").rglob("*") if path.is_file()}
    assert {Path(f["frame"]["path"]).name for f in findings} == files
    for finding in findings:
        assert (finding["status"] == "scored") == (finding["lesion_probability"] is not None)
    # The same pixels in five encodings (wg04): one frame, one answer.
    same = {
        f["lesion_probability"]
        for f in findings
        if Path(f["frame"]["path"]).name.startswith("wg04__CT1_")
        and f["frame"]["path"].rpartition("_")[2] in ("UNC", "J2KR", "JLSL", "JPLL", "RLE")
    }
    assert len(same) == 1


class PeakMemory:
    """The greatest resident memory of a process and all its descendants, bytes."""

    def __init__(self):
        self._peak, self._done = 0, threading.Event()

    def watch(self, pid):
        self._thread = threading.Thread(target=self._loop, args=(pid,))
        self._thread.start()

    def stop(self):
        self._done.set()
        self._thread.join()
        assert self._peak > 50e6, "nothing was measured"
        return self._peak

    def _loop(self, pid):
        while not self._done.wait(0.05):
            self._peak = max(self._peak, self._tree(pid))

    def _tree(self, pid):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            threads = Path(f"/proc/{pid}/task").glob("*/children")
            children = [child for thread in threads for child in thread.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return pages * os.sysconf("SC_PAGESIZE") + sum(self._tree(child) for child in children)
