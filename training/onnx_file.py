"""Write a converted network as an .onnx file that others can rely on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPSET = 17


def save(proto: Any, path: Path, names: Mapping[str, str]) -> None:
    """Give the graph's ends their promised names and a free first axis that of a batch; write it.

    Parameters
    ----------
    names : new name by the old one; what the converter noted of its machine is dropped.
    """
    import onnx  # heavy, training only

    for end in (*proto.graph.input, *proto.graph.output):
        end.name = names[end.name]
        first = end.type.tensor_type.shape.dim[0]
        if not first.dim_value:
            first.dim_param = "batch"
    for node in proto.graph.node:
        for ends in (node.input, node.output):
            for i, old in enumerate(ends):
                ends[i] = names.get(old, old)
    del proto.graph.value_info[:]
    proto.producer_name = "lesionstream"
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, str(path))
