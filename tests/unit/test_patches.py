"""Patches: nobody is on both sides of a split, even where nothing says whose a patch is."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from training.candidate_job import patients_of
from training.luna import HELD_OUT_PATIENTS, read_patients
from training.patches import read_labels, read_patches

SERIES = ["", "a", "", "", "b", "b", "", "d", ""]
PATIENTS = {"a": "A", "b": "B", "c": "C", "d": "A"}


@pytest.fixture
def folder(tmp_path):
    count = len(SERIES)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["row", "candidate", "label", "seriesuid_aligned"])
        table.writerows([i, 10 * i, int(bool(uid)), uid] for i, uid in enumerate(SERIES))
    pixels = np.zeros((count, 50, 50), dtype=np.uint8)
    np.savez(tmp_path / "patches.npz", x=pixels, candidate=np.arange(count) * 10)
    return tmp_path


def test_a_patch_without_a_scan_lies_between_its_neighbours(folder):
    patches = read_patches(folder, PATIENTS)
    assert patches.first.tolist() == [0, 0, 0, 0, 1, 1, 1, 3, 3]
    assert patches.last.tolist() == [0, 0, 1, 1, 1, 1, 3, 3, 3]


def test_what_may_be_a_patients_is_left_out_with_the_patient(folder):
    patches = read_patches(folder, PATIENTS)
    assert patches.without({"C"}).candidates.tolist() == [0, 10, 20, 30, 40, 50, 70, 80]
    assert patches.without({"A"}).candidates.tolist() == [40, 50]
    assert patches.without({"B"}).candidates.tolist() == [0, 10, 70, 80]


def test_labels_are_read_in_order_or_not_at_all(folder, tmp_path_factory):
    labels = read_labels(folder)
    assert labels is not None
    assert labels.labels.tolist() == [int(bool(uid)) for uid in SERIES]
    assert len(set(labels.scans[[1, 2, 3]])) == 1
    assert read_labels(tmp_path_factory.mktemp("empty")) is None


def test_real_patches_are_on_one_side_of_a_split_or_on_none():
    data = os.environ.get("LESIONSTREAM_DATA")
    if not data or not (Path(data) / "luna16-patches").is_dir():
        pytest.skip("LESIONSTREAM_DATA names no folder with luna16-patches")
    patients = read_patients(Path(data) / "luna16-slices")
    patches = read_patches(Path(data) / "luna16-patches", patients)
    assert not HELD_OUT_PATIENTS & {patches.patients[i] for i in patches.first}
    left_out = set(sorted(set(patients.values()))[::5])
    inside, outside = patches.only(left_out), patches.without(left_out)
    assert len(inside.labels) > 200
    assert len(outside.labels) > 2000
    assert not set(inside.candidates) & set(outside.candidates)
    assert {inside.patients[i] for i in (*inside.first, *inside.last)} <= left_out
    assert not {outside.patients[i] for i in (*outside.first, *outside.last)} & left_out


def test_the_parts_of_the_list_share_nobody(folder):
    patches = read_patches(folder, PATIENTS)
    parts = [patients_of(patches, part, 2) for part in range(2)]
    assert parts == [{"A", "B"}, {"C"}]
    assert patients_of(patches, -1, 2) == set()
    unseen = [set(patches.only(left_out).candidates.tolist()) for left_out in parts]
    assert unseen == [{0, 10, 20, 30, 40, 50, 70, 80}, set()]
