"""`evaluate lesion` on a drawn set: predictions, figures, a page; labels change nothing."""

import csv
import json

import cv2
import numpy as np
import pytest
from support.phantoms import chest_hu, dataset, part10
from typer.testing import CliRunner

from lesionstream.cli import app

BOXES = [
    "image", "cx_px", "cy_px", "diameter_px", "diameter_mm", "lidc_patient", "seriesuid",
    "luna16_subset",
]  # fmt: skip


def _slice(rng, nodule):
    """Draw lungs as LUNA16's slices show them: 1 mm, 8 bit, everything else black."""
    grey = np.zeros((260, 320), dtype=np.uint8)
    for x in (90, 230):
        cv2.ellipse(grey, (x, 130), (58, 88), 0, 0, 360, 180, -1)
        cv2.ellipse(grey, (x, 130), (50, 80), 0, 0, 360, 27, -1)
    for x, y in rng.uniform((60, 80), (120, 180), (6, 2)):
        cv2.circle(grey, (int(x), int(y)), 2, 120, -1, cv2.LINE_AA)
    cv2.circle(grey, nodule, 5, 190, -1, cv2.LINE_AA)
    return np.clip(grey + rng.normal(0, 3, grey.shape) * (grey > 0), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    slices = folder / "luna16-slices"
    (slices / "images").mkdir(parents=True)
    rows = []
    for i in range(6):
        place = (70 + 6 * i, 110 + 5 * i)
        cv2.imwrite(str(slices / "images" / f"{i}.png"), _slice(rng, place))
        rows.append([f"images/{i}.png", *place, 10, 10.0, f"P-{i // 2}", f"1.2.{i}", 0])
    _table(slices / "labels.csv", BOXES, rows)
    _table(slices / "ignore.csv", ["image", "cx_px", "cy_px", "diameter_mm"], [])
    patches = folder / "luna16-patches"
    patches.mkdir()
    pixels = np.stack([_slice(rng, (90, 130))[105:155, 65:115] for _ in range(8)])
    pixels[::2] = 27
    np.savez(patches / "patches.npz", x=pixels, candidate=np.arange(8) * 7)
    columns = ["row", "candidate", "label", "seriesuid_aligned"]
    _table(patches / "labels.csv", columns, [[i, 7 * i, i % 2, f"1.2.{i}"] for i in range(8)])
    return folder


def _table(path, head, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def _evaluate(data, tmp_path, name):
    file, page = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.html"
    words = ["--data", str(data), "--predictions", str(file), "--report", str(page)]
    result = CliRunner().invoke(app, ["evaluate", "lesion", *words])
    assert result.exit_code == 0, result.output
    return file, page, result.output


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_predictions_figures_and_a_page(data, tmp_path):
    file, page, output = _evaluate(data, tmp_path, "first")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == [
        *range(0, 56, 7), *(f"images/{i}.png" for i in range(6))
    ]  # fmt: skip
    assert lines[0]["threshold"] == 0.5
    assert all(0.0 <= line["score"] <= 1.0 for line in lines)
    assert all(c["probability"] >= 0.01 for line in lines[8:] for c in line["lesions"])
    empty, full = ([line["score"] for line in lines[i:8:2]] for i in (0, 1))
    assert max(empty) < min(full)
    assert "mean FROC sensitivity" in output
    text = page.read_text()
    assert "No patient of the slices and frames is on its list" in text
    assert text.count("data:image/png;base64,") > 6
    assert "half-lungs, sensitivity at screen" in text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_labels_change_no_prediction(data, tmp_path):
    first, _, _ = _evaluate(data, tmp_path, "first")
    path = data / "luna16-patches" / "labels.csv"
    before = path.read_text()
    (data / "luna16-slices" / "labels.csv").rename(tmp_path / "kept.csv")
    path.write_text(before.replace(",1,", ",0,"))
    try:
        again, _, output = _evaluate(data, tmp_path, "again")
    finally:
        path.write_text(before)
        (tmp_path / "kept.csv").rename(data / "luna16-slices" / "labels.csv")
    assert again.read_text() == first.read_text()
    assert "mean FROC" not in output


def test_whole_frames_are_shown_by_what_became_of_them(tmp_path):
    folder = tmp_path / "lidc-dicom"
    (folder / "P-1").mkdir(parents=True)
    for i in range(3):
        image = part10(dataset(chest_hu(seed=i, size=256)))
        (folder / "P-1" / f"{i}.dcm").write_bytes(image)
    head = ["file", "lesion_3of4", "clean_negative"]
    rows = [["P-1/0.dcm", 1, 0], ["P-1/1.dcm", 0, 1], ["P-1/2.dcm", 0, 0]]
    _table(folder / "slices.csv", head, rows)
    outline = ["P-1/0.dcm", "nodule>=3mm", "80,100 90,100 90,110 80,110"]
    _table(folder / "contours.csv", ["file", "kind", "contour"], [outline])
    file, page, output = _evaluate(tmp_path, tmp_path, "frames")
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [
        "P-1/0.dcm",
        "P-1/1.dcm",
        "P-1/2.dcm",
    ]
    assert "of 1 slices with a lesion" in " ".join(output.split())
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3
    assert "Whole frames that the readers dispute: 1" in text


def test_a_folder_without_a_set_says_what_is_missing(tmp_path):
    result = CliRunner().invoke(app, ["evaluate", "lesion", "--data", str(tmp_path)])
    assert isinstance(result.exception, FileNotFoundError)
    assert "patches.npz" in str(result.exception)
