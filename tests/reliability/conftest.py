"""Scans to replay, and what must come of them."""

import os

import pytest
from support import cell as cells
from support import chaos
from support.bench import Bench


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Return a folder of 500 frames: five patients, two series each."""
    return chaos.write_scans(tmp_path_factory.mktemp("scans"), 10)


@pytest.fixture(scope="session")
def undisturbed(scans, tmp_path_factory):
    """Return what becomes of these scans when nothing is killed."""
    return chaos.undisturbed(scans, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def seed():
    """Return the seed of this run of cells."""
    return int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="session")
def few_scans(tmp_path_factory):
    """Return a folder of 240 frames: three patients side by side, two series each."""
    return cells.write_scans(tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="session")
def expected(few_scans, tmp_path_factory):
    """Return what becomes of these when nothing happens."""
    return chaos.undisturbed(few_scans, tmp_path_factory.mktemp("expected"))


@pytest.fixture
def bench(servers, few_scans, expected, seed, tmp_path):
    """Return where a cell is set up."""
    return Bench(servers, few_scans, expected, seed, tmp_path)
