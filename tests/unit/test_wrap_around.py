"""Values an 8-bit source could not hold come back as if it had clipped them."""

import numpy as np
import pytest

from training.wrap_around import unwrap


@pytest.fixture
def chest():
    """Lung with noise below -1000 HU, a chest wall with a rib, in grey values of any size."""
    rows, columns = np.mgrid[:120, :120]
    chest = np.full((120, 120), 25.0)
    chest += np.random.default_rng(1).normal(0, 16, chest.shape)
    wall = np.clip((rows - 88) / 3, 0, 1)
    chest = chest * (1 - wall) + 190 * wall
    return chest + 120 * np.clip(1 - np.hypot((rows - 105) / 5, (columns - 60) / 35), 0, 1)


def bump(height, y, x, sigma):
    rows, columns = np.mgrid[:120, :120]
    return height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def wrapped(grey):
    return (np.rint(grey).astype(int) % 256).astype(np.uint8)


def clipped(grey):
    return np.clip(np.rint(grey), 0, 255).astype(int)


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.5])
def test_a_calcified_nodule_is_bright_to_its_core(chest, sigma):
    grey = chest + bump(300.0, 40, 60, sigma)
    here = (slice(34, 47), slice(54, 67))
    assert np.abs(wrapped(grey).astype(int) - clipped(grey))[here].max() > 200
    assert np.abs(unwrap(wrapped(grey)).astype(int) - clipped(grey))[here].max() < 40


def test_specks_in_air_and_black_lines_in_bone_go(chest):
    before = np.abs(wrapped(chest).astype(int) - clipped(chest)) > 100
    after = np.abs(unwrap(wrapped(chest)).astype(int) - clipped(chest)) > 100
    assert before.sum() > 500
    assert after.sum() < 0.02 * before.sum()


def test_what_did_not_wrap_is_left_alone(chest):
    """Soft nodules, vessels, and a bronchus: a dark lumen with a wall of soft tissue."""
    grey = np.clip(chest, 0, 255)
    for y, x, sigma in ((30, 30, 1.0), (30, 60, 2.0), (60, 90, 4.0)):
        grey = np.maximum(grey, bump(200.0, y, x, sigma))
    grey = np.maximum(grey, bump(180.0, 60, 30, 4.0)) - bump(170.0, 60, 30, 2.0)
    grey = np.clip(grey, 0, 250)
    assert np.array_equal(unwrap(wrapped(grey)), clipped(grey))


def test_a_hole_that_the_lung_cut_punched_into_a_mass_is_filled(chest):
    grey = np.clip(np.maximum(chest, bump(400.0, 45, 60, 9.0)), 1, 200)
    punched = grey.copy()
    punched[42:48, 57:63] = 0
    assert np.abs(unwrap(wrapped(punched)).astype(int) - clipped(grey)).max() < 20
