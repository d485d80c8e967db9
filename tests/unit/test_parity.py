"""Whether two backends say the same: found where they do not, in one frame or in a batch."""

import numpy as np
import pytest

from engines.parity import TOLERANCE, gap, views


class Arithmetic:
    """A network of plain arithmetic; `wrong` spoils its answers to a batch."""

    backend, precision = "arithmetic", "fp32"
    input_shape = (-1, 1, 32, 48)
    outputs = ("heat", "diameter_mm")

    def __init__(self, add=0.0, scale=1.0, wrong=lambda heat: heat, outputs=outputs):
        self.add, self.scale, self.wrong, self.outputs = add, scale, wrong, outputs

    def run(self, view):
        heat = self.wrong(view[:, :, ::2, ::2] + self.add)
        return dict(zip(self.outputs, (heat, self.scale * (20 + 10 * view)), strict=True))

    def close(self):
        pass


def test_the_same_is_not_apart():
    assert gap(Arithmetic(), Arithmetic()) == 0.0


def test_probabilities_count_as_they_are_and_sizes_relatively():
    assert gap(Arithmetic(), Arithmetic(add=0.004)) == pytest.approx(0.004, abs=1e-5)
    assert gap(Arithmetic(), Arithmetic(scale=1.01)) == pytest.approx(0.01, abs=1e-5)
    assert TOLERANCE["fp32"] < gap(Arithmetic(), Arithmetic(add=0.002)) < TOLERANCE["fp16"]


def test_one_wrong_value_is_found():
    def spoiled(heat):
        heat = heat.copy()
        heat[0, 0, 3, 5] += 0.5
        return heat

    assert gap(Arithmetic(), Arithmetic(wrong=spoiled)) == pytest.approx(0.5, abs=1e-5)


def test_frames_that_change_places_in_a_batch_are_found():
    swapped = Arithmetic(wrong=lambda heat: heat[::-1])
    assert gap(Arithmetic(), swapped) == 0.0
    assert gap(Arithmetic(), swapped, batch=3) > 0.1


def test_no_batch_is_larger_than_it_may_be():
    asked = []

    def note(heat):
        asked.append(len(heat))
        return heat

    gap(Arithmetic(), Arithmetic(wrong=note), batch=3)
    assert asked == [1, 1, 1, 1, 3, 1]


def test_a_share_of_the_values_may_differ():
    def spoiled(heat):
        heat = heat.copy()
        heat[0, 0, 3, 5] += 0.5
        return heat

    assert gap(Arithmetic(), Arithmetic(wrong=spoiled), share=0.99) < 1e-6
    assert gap(Arithmetic(), Arithmetic(add=0.1), share=0.99) == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        Arithmetic(outputs=("heat", "size")),
        Arithmetic(wrong=lambda heat: heat[..., :-1]),
        Arithmetic(wrong=lambda heat: heat * np.nan),
        Arithmetic(wrong=lambda heat: heat * np.inf),
    ],
)
def test_what_cannot_be_compared_is_infinitely_apart(other):
    assert gap(Arithmetic(), other) == float("inf")


def test_views_have_structure_and_are_always_the_same():
    first, second = list(views((-1, 1, 256, 352))), list(views((-1, 1, 256, 352)))
    assert [view.shape for view in first] == [(1, 1, 256, 352)] * 4
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(view.min() >= 0 and view.max() <= 1 and view.dtype == np.float32 for view in first)
    blocks = first[0][0, 0].reshape(16, 16, 22, 16).mean(axis=(1, 3))
    assert blocks.std() > 0.1
    assert next(views((1, 64, 48, 3))).shape == (1, 64, 48, 3)
