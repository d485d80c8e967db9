"""Training tiles: targets lie where the nodules are, ignored places do not count, seeds hold."""

import numpy as np
import pytest

from engines.heat_map import CELL_MM
from training.lesion_fields import Field
from training.lesion_tiles import CELLS, TILE, Sampler, heat_target, patch_target
from training.luna import LunaSlice
from training.patches import Patches

NOBODY = np.zeros((0, 3))


def _field(nodules):
    pixels = np.full((200, 260), 30, dtype=np.uint8)
    rows, columns = np.mgrid[:200, :260]
    for x, y, diameter in nodules:
        pixels[np.hypot(columns - x, rows - y) <= diameter / 2] = 220
    source = LunaSlice("images/1.png", "LIDC-IDRI-0000", 0, (), ())
    mask = np.ones((200, 260), dtype=np.uint8)
    return Field(source, pixels, mask, np.asarray(nodules, float).reshape(-1, 3), NOBODY)


def _patches(count=8):
    pixels = np.full((count, 50, 50), 40, dtype=np.uint8)
    pixels[::2, 20:30, 20:30] = 230
    numbers = np.arange(count)
    return Patches(pixels, 1 - numbers % 2, numbers, numbers, numbers, ("",) * count)


@pytest.mark.parametrize("augmentation", ["flips", "moderate", "heavy"])
@pytest.mark.parametrize("patches", [None, _patches()])
def test_the_target_lies_on_the_nodule_however_the_tile_was_turned(augmentation, patches):
    fields = [_field([(80, 90, 14)]), _field([(200, 60, 14), (60, 150, 14)])]
    sampler = Sampler(
        fields, augmentation=augmentation, even_sizes=True, seed=1, patches=patches, mosaics=12
    )
    batch = sampler.draw(0, 48)
    assert batch.tiles.shape == (48, TILE, TILE, 1)
    assert batch.targets.shape == (48, CELLS, CELLS, 3)
    coarse = batch.tiles[..., 0].reshape(48, CELLS, CELL_MM, CELLS, CELL_MM).mean(axis=(2, 4))
    centres = batch.targets[..., 0] >= 1.0
    counted = batch.targets[..., 1] > 0
    assert centres.sum() > 20
    assert coarse[centres & counted].min() > 0.6
    assert coarse[(batch.targets[..., 0] < 0.01) & counted].max() < 0.5


def test_a_batch_is_the_same_for_its_seed_and_number_alone():
    fields = [_field([(80, 90, 8)])]
    one, other = (Sampler(fields, augmentation="heavy", even_sizes=False, seed=3) for _ in range(2))
    other.draw(0, 4)
    assert np.array_equal(one.draw(5, 4).tiles, other.draw(5, 4).tiles)
    assert not np.array_equal(one.draw(5, 4).tiles, one.draw(6, 4).tiles)


def test_ignored_findings_do_not_count_but_on_a_nodule():
    nodule = np.array([[48.5, 48.5, 8.0]])
    apart = np.array([[20.5, 20.5, 8.0]])
    target = heat_target(nodule, np.concatenate((apart, nodule)))
    assert target[24, 24].tolist() == pytest.approx([1.0, 1.0, np.log(8.0)])
    assert target[10, 10, 1] == 0.0
    assert target[10, 30, 1] == 1.0
    assert target[0, 0, 1] == 0.0  # the edge, where half of what a cell should see is missing


def test_nothing_is_known_of_a_patch_off_its_middle():
    none, nodule = (patch_target(np.array([24.0, 24.0]), nodule=label) for label in (False, True))
    assert none[..., 0].max() == 0.0
    assert none[12, 12, 1] == 1.0
    assert none[2, 2, 1] == 0.0
    assert nodule[..., 0].max() == 1.0
    assert (nodule[..., 2] == 0.0).all()


def test_mined_places_are_looked_at():
    field = _field([(40, 40, 8)])
    field.pixels[148:153, 198:203] = 255
    sampler = Sampler([field], augmentation="flips", even_sizes=False, seed=1)
    before = (sampler.draw(0, 64).tiles > 0.99).any(axis=(1, 2, 3)).mean()
    sampler.mine([(0, 200.0, 150.0)])
    after = (sampler.draw(0, 64).tiles > 0.99).any(axis=(1, 2, 3)).mean()
    assert after > before + 0.15
