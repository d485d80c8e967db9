"""An engine that costs next to nothing: for tests that are about messages, not about engines.

A shipped one takes longer for a frame than all else that happens to it. This one is an operator's
own, added and promoted as any: an ONNX file, a card, ONNX Runtime.
"""

from pathlib import Path

from engines.adding import Told, add_onnx

NAME = "brightest-spot"
SIDE_PX = 16
"""Of a lung's view: a nodule of `support.phantoms` fills a pixel of it, a vessel does not."""

HU_WINDOW = (-1000.0, 550.0)
"""What no nodule is in is at about 0.45, a nodule at about 0.66."""

FLOAT, IR_VERSION, OPSET = 1, 8, 13  # of onnx.proto3


def add_to(home: Path) -> None:
    """Add the engine to the catalogue of a state folder, and promote it."""
    home.mkdir(parents=True, exist_ok=True)
    model = home / f"{NAME}.onnx"
    model.write_bytes(_model())
    told = Told(name=NAME, source="tests", hu_window=HU_WINDOW, screen=0.5, alarm=0.8)
    add_onnx(model, told, home / "engines")
    (home / "promoted.json").write_text(f'{{"promoted": ["{NAME}"]}}\n')


def _model() -> bytes:
    """Return an ONNX file: the probability is the greatest value of a view."""
    greatest = _bytes(1, b"view") + _bytes(2, b"max") + _bytes(4, b"GlobalMaxPool")
    flat = _bytes(1, b"max") + _bytes(2, b"probability") + _bytes(4, b"Flatten")
    graph = (
        _bytes(1, greatest)
        + _bytes(1, flat)
        + _bytes(2, b"graph")
        + _bytes(11, _tensor(b"view", 1, 1, SIDE_PX, SIDE_PX))
        + _bytes(12, _tensor(b"probability", 1, 1))
    )
    return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def _tensor(name: bytes, *shape: int) -> bytes:
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, dims)))


def _bytes(field: int, value: bytes) -> bytes:
    """Return a protobuf field of bytes, shorter than 16 KiB."""
    low, high = len(value) & 127, len(value) >> 7
    return bytes([field << 3 | 2, *([low | 128, high] if high else [low])]) + value


def _number(field: int, value: int) -> bytes:
    """Return a protobuf field of a number below 128."""
    return bytes([field << 3, value])
