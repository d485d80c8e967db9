"""Scans to replay, and what must come of them."""

import pytest

pytest.register_assert_rewrite("support.chaos")

from support import chaos  # noqa: E402 - only now, for it asserts


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Return a folder of 500 frames: five patients, two series each."""
    return chaos.write_scans(tmp_path_factory.mktemp("scans"), 10)


@pytest.fixture(scope="session")
def undisturbed(scans, tmp_path_factory):
    """Return what becomes of these scans when nothing is killed."""
    return chaos.undisturbed(scans, tmp_path_factory.mktemp("undisturbed"))
