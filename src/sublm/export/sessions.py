"""Opening an exported file in its runtime, whatever that is, and asking it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sublm.errors import ExportError
from sublm.optional import try_import


@dataclass(frozen=True)
class Session:
    """An exported file, ready to run.

    Attributes:
        inputs: Name -> number of its axes.
        outputs: Their names.
        answer: Output names and arrays by input name, to arrays.
    """

    inputs: Mapping[str, int]
    outputs: tuple[str, ...]
    answer: Callable[[list[str], dict[str, np.ndarray]], list[np.ndarray]]

    def run(self, outputs: list[str], inputs: Mapping[str, Tensor]) -> list[np.ndarray]:
        """The named outputs for a batch; inputs that the file does not take are passed over."""
        return self.answer(outputs, {name: inputs[name].numpy() for name in self.inputs})


def open_session(path: str | Path, purpose: str, *, precision: str = "fp32") -> Session:
    """Opens an .onnx file in ONNX Runtime, or an .xml file in OpenVINO, with as many threads as torch has.

    Args:
        path: The file.
        purpose: What a missing package is needed for.
        precision: "bf16" lets OpenVINO compute in it; otherwise the file decides.

    Raises:
        MissingPackageError: If the runtime is not installed.
        ExportError: If it cannot read the file.
    """
    return _openvino(path, purpose, precision) if Path(path).suffix == ".xml" else _onnx(path, purpose)


def _onnx(path: str | Path, purpose: str) -> Session:
    runtime = try_import("onnxruntime", extra="onnx", purpose=purpose)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class per cause and no common base
        raise ExportError(f"ONNX Runtime cannot read {path}: {error}") from error
    return Session(
        {entry.name: len(entry.shape) for entry in session.get_inputs()},
        tuple(entry.name for entry in session.get_outputs()),
        session.run,
    )


def _openvino(path: str | Path, purpose: str, precision: str) -> Session:
    runtime = try_import("openvino", extra="openvino", purpose=purpose)
    options = {
        "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
        # left to itself it takes bf16 wherever the processor has it
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    try:
        core: Any = runtime.Core()
        stored = core.read_model(str(path))
        model = core.compile_model(stored, "CPU", options)
    except Exception as error:
        raise ExportError(f"OpenVINO cannot read {path}: {error}") from error

    def answer(outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = model(feed)
        return [np.array(found[name]) for name in outputs]

    return Session(
        {entry.get_any_name(): len(entry.get_partial_shape()) for entry in stored.inputs},
        tuple(entry.get_any_name() for entry in stored.outputs),  # compiling adds names
        answer,
    )
