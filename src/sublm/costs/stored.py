"""In which precision an ONNX file is stored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sublm.optional import try_import

_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulInteger")
_FLOATS = {1: "fp32", 10: "fp16"}  # the numbers of ONNX's types


def stored_precision(path: str | Path) -> str:
    """What precision an ONNX file is in, by its operators and the types of its weights.

    Returns:
        "fp32", "fp16", "int8" (ranges of activations are measured in every pass) or "int8-static" (they are in the
        file); "file" for anything else, if the file cannot be read, or without the package onnx.
    """
    try:
        onnx = try_import("onnx", extra="onnx", purpose="Reading ONNX")
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # no package, or a broken file (protobuf has a class per version), of which its runtime tells
        return "file"
    operators = {node.op_type for nodes in (model.graph, *model.functions) for node in nodes.node}
    if operators & set(_DYNAMIC):
        return "int8"
    if "QuantizeLinear" in operators or any(name.startswith("QLinear") for name in operators):
        return "int8-static"
    if "DequantizeLinear" in operators or any(name.startswith("MatMulNBits") for name in operators):
        return "file"  # weights alone are quantised
    held: Counter[str] = Counter()
    for tensor in _weights(model.graph):
        held[_FLOATS.get(tensor.data_type, "file")] += int(np.prod(tensor.dims, dtype=np.int64))
    return held.most_common(1)[0][0] if held else "file"


def _weights(graph: Any) -> list[Any]:
    """The stored tensors that are no integers: those count positions and shapes."""
    constants = (node.attribute for node in graph.node if node.op_type == "Constant")
    tensors = [
        *graph.initializer,
        *(entry.t for attributes in constants for entry in attributes if entry.name == "value"),
    ]
    return [tensor for tensor in tensors if tensor.data_type not in (6, 7, 9)]  # int32, int64, bool
