"""The detector with 8-bit convolutions, their ranges taken from real lung fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.lung_field import parts
from training.lesion_fields import Field

VIEWS = 48
"""Fields that ranges of activations are taken from."""

View = NDArray[np.float32]
T = TypeVar("T")


def every_so_often(things: Sequence[T], count: int) -> list[T]:
    """Return at most `count` of them, evenly spread."""
    picked = np.linspace(0, len(things) - 1, min(count, len(things))).astype(int)
    return [things[i] for i in picked.tolist()]


def view_of(field: Field) -> View:
    """Return a field as the network takes it: (1, 1, 256, 352); of a larger one the first part."""
    _, _, part = next(iter(parts(field.pixels.astype(np.float32) / np.float32(255))))
    return part[None, None]


def quantize(path: Path, out: Path, views: Sequence[View]) -> None:
    """Write `path` with signed 8-bit convolutions, a scale for each output channel.

    Zero stays zero (symmetric): TensorRT knows no other 8 bits, and one file serves every runtime.

    Signed activations, though unsigned ones are no slower on VNNI: processors without it saturate
    the sums of unsigned by signed products, and answer wrongly.
    """
    from onnxruntime.quantization import (  # needs onnx, an extra
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[View] = iter(views)

        def get_next(self) -> dict[str, View] | None:
            view = next(self._left, None)
            return None if view is None else {"field": view}

    quantize_static(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        extra_options={"ActivationSymmetric": True},
    )
