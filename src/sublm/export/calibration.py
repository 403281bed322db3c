"""Static int8: the ranges of activations are measured beforehand, on texts of the task."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sublm.errors import ExportError
from sublm.export.onnx import quietly
from sublm.export.sessions import open_session
from sublm.optional import try_import

PERCENTILE = 99.99
"""Share of the activations, in per cent, that the int8 range covers: outliers would waste its few steps."""


def quantise_static(path: str | Path, out: str | Path, batches: Sequence[Mapping[str, Tensor]]) -> Path:
    """Quantises an ONNX file to int8 with fixed ranges: weights per channel, activations as the given texts have them.

    Quantised are the products with weights, in the form of QuantizeLinear and DequantizeLinear that ONNX Runtime,
    OpenVINO and TensorRT read, and the embeddings, as stored. Attention itself stays in float.

    Args:
        path: An ONNX file in float.
        out: The file to write; appears at once, whole.
        batches: Inputs of the model, some dozens to hundreds of texts in all; further entries, and a further axis of
            pairs, are dealt with. Never take texts that a score is reported on.

    Returns:
        The file written.

    Raises:
        MissingPackageError: If onnx or onnxruntime is not installed.
        ExportError: If there is no such file, no text, or the file cannot be quantised.
    """
    quantization = try_import("onnxruntime.quantization", extra="onnx", purpose="Quantising ONNX")
    source, target = Path(path), Path(out)
    if not source.is_file():
        raise ExportError(f"{source} does not exist: write it first with export_onnx(model, path).")
    if not batches:
        raise ExportError("Static int8 needs texts to measure ranges on, and there are none.")
    reader = _reader(quantization.CalibrationDataReader, source, batches)
    weights = {"weight_type": quantization.QuantType.QInt8, "per_channel": True}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        products, written = Path(beside) / "products.onnx", Path(beside) / target.name
        try:
            with quietly(), contextlib.redirect_stdout(io.StringIO()):  # the calibration prints
                quantization.quantize_static(
                    source,
                    products,
                    reader,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    activation_type=quantization.QuantType.QUInt8,
                    calibrate_method=quantization.CalibrationMethod.Percentile,
                    # One batch at a time: they differ in width, and all activations of all would not fit into memory.
                    extra_options={
                        "MatMulConstBOnly": True,
                        "CalibPercentile": PERCENTILE,
                        "CalibStridedMinMax": 1,
                    },
                    **weights,
                )
                quantization.quantize_dynamic(products, written, op_types_to_quantize=["Gather"], **weights)
        except Exception as error:  # the quantiser raises whatever it met
            raise ExportError(f"{source} cannot be quantised: {error}") from error
        written.replace(target)
    return target


def _reader(base: type, path: Path, batches: Sequence[Mapping[str, Tensor]]) -> Any:
    """The batches as ONNX Runtime wants to be handed them, each in the file's own number of axes."""
    axes = open_session(path, "Quantising ONNX").inputs
    if missing := sorted(set(axes) - set(batches[0])):
        raise ExportError(f"{path} has the inputs {', '.join(axes)}; the texts lack {', '.join(missing)}.")

    def fed(batch: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        arrays = {name: batch[name].numpy() for name in axes}
        return {name: array.reshape(-1, *array.shape[1 + array.ndim - axes[name] :]) for name, array in arrays.items()}

    class Reader(base):
        def __init__(self) -> None:
            self.waiting = iter(range(len(batches)))

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.waiting = iter(range(start_index, end_index))

        def get_next(self) -> dict[str, np.ndarray] | None:
            number = next(self.waiting, None)
            return None if number is None else fed(batches[number])

    return Reader()
