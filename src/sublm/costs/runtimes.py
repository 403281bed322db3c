"""Making a candidate ready to run: a torch model, an ONNX Runtime session, an OpenVINO model, or a function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sublm.costs.conditions import Conditions
from sublm.errors import LatencyError
from sublm.optional import try_import
from sublm.outputs import named_outputs
from sublm.pooling import pooling_of

Inputs = dict[str, Tensor]
Candidate = nn.Module | Callable[[Inputs], Any] | str | Path

_VOCABULARY = 16  # for candidates that do not tell theirs: below any


@dataclass(frozen=True)
class Ready:
    """A candidate with its inputs.

    Attributes:
        run: One forward pass.
        inputs: What it is called with in turn, one entry per length.
        device: Where it runs.
        threads: Threads to give torch while it runs.
        in_process: Whether a pass is known to be work of this process alone. A function may wait for another.
    """

    run: Callable[[Any], Any]
    inputs: list[Any]
    device: str
    threads: int
    in_process: bool = True


def make_ready(
    name: str,
    model: Candidate,
    conditions: Conditions,
    lengths: Sequence[int],
    seed: int,
    stack: ExitStack,
    copies: dict[int, nn.Module],
) -> Ready:
    """Loads, converts or wraps a candidate.

    Args:
        name: For messages.
        model: What to run.
        conditions: How.
        lengths: Tokens of each input.
        seed: Of the tokens.
        stack: Gets what has to be undone.
        copies: bf16 copies made so far, by the identity of their model, so that many conditions share one.

    Raises:
        LatencyError: If the candidate does not fit the runtime.
    """
    batches = _batches(model, lengths, conditions.batch, seed)
    if not isinstance(model, (nn.Module, str, Path)):
        if not callable(model):
            raise LatencyError(
                f"{name}: a model, a function or the path of an exported file is needed, not a {type(model).__name__}."
            )
        return Ready(model, batches, "cpu", conditions.threads, in_process=False)
    if conditions.runtime == "torch":
        if isinstance(model, (str, Path)):
            raise LatencyError(f"{name}: files are measured with runtime='onnx' or 'openvino'; load the model first.")
        return _torch_model(model, conditions, batches, stack, copies)
    if isinstance(model, nn.Module):
        raise LatencyError(
            f"{name}: with runtime={conditions.runtime!r} the path of an exported file is needed, not a "
            f"{type(model).__name__}. Write it with sublm export, or use runtime='torch'."
        )
    path = Path(model)
    make = _onnx_session if conditions.runtime == "onnx" else _openvino_model
    run, wanted = make(name, path, conditions)
    return Ready(run, _feeds(name, path, wanted, batches), "cpu", conditions.threads)


def _batches(model: Candidate, lengths: Sequence[int], batch: int, seed: int) -> list[Inputs]:
    """One batch of random tokens per length; special tokens and padding are avoided."""
    config = getattr(model, "config", None)
    vocabulary = int(getattr(config, "vocab_size", _VOCABULARY))
    generator = torch.Generator().manual_seed(seed)
    least = min(5, vocabulary - 1)
    shape = (batch, 1) if type(model).__name__.endswith("MultipleChoice") else (batch,)
    made = []
    for length in lengths:
        ids = torch.randint(least, vocabulary, (*shape, length), generator=generator)
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return made


def _torch_model(
    model: nn.Module, conditions: Conditions, batches: list[Inputs], stack: ExitStack, copies: dict[int, nn.Module]
) -> Ready:
    if conditions.precision == "bf16":
        if id(model) not in copies:
            copies[id(model)] = copy.deepcopy(model).to(torch.bfloat16)
        model = copies[id(model)]
    stack.callback(model.train, model.training)
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    moved = [{key: value.to(device) for key, value in inputs.items()} for inputs in batches]

    forward = (lambda inputs: model(**inputs)) if pooling_of(model) is None else partial(named_outputs, model)

    def run(inputs: Inputs) -> None:
        forward(inputs)
        if device.type != "cpu":  # which answers before it is done
            torch.accelerator.synchronize(device)

    return Ready(run, moved, device.type, conditions.threads)


def _onnx_session(name: str, path: Path, conditions: Conditions) -> tuple[Callable[[Any], Any], list[tuple[str, int]]]:
    onnxruntime = try_import("onnxruntime", extra="onnx", purpose="Measuring with runtime='onnx'")
    _check_file(name, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = conditions.threads, 1
    # threads of a session that is waiting must not spin on the cores of the one being measured
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LatencyError(f"{name}: ONNX Runtime cannot load {path}: {error}.") from error
    return (lambda feed: session.run(None, feed)), [(i.name, len(i.shape)) for i in session.get_inputs()]


def _openvino_model(
    name: str, path: Path, conditions: Conditions
) -> tuple[Callable[[Any], Any], list[tuple[str, int]]]:
    openvino = try_import("openvino", extra="openvino", purpose="Measuring with runtime='openvino'")
    _check_file(name, path)
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(conditions.threads),
        # left to itself it takes bf16 wherever the processor has it
        "INFERENCE_PRECISION_HINT": "bf16" if conditions.precision == "bf16" else "f32",
    }
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
    except Exception as error:
        raise LatencyError(f"{name}: OpenVINO cannot load {path}: {error}.") from error
    request = compiled.create_infer_request()
    inputs = [(i.get_any_name(), len(i.get_partial_shape())) for i in compiled.inputs]
    return (lambda feed: request.infer(feed, share_inputs=True)), inputs


def _check_file(name: str, path: Path) -> None:
    if not path.is_file():
        raise LatencyError(f"{name}: {path} is not a file; give the path of an .onnx file, or of OpenVINO's .xml.")


def _feeds(name: str, path: Path, wanted: list[tuple[str, int]], batches: list[Inputs]) -> list[Any]:
    """The batches as arrays, with the inputs that the file wants; a third axis holds choices."""
    feeds = []
    for inputs in batches:
        known = {**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])}
        missing = [key for key, _ in wanted if key not in known]
        if missing:
            raise LatencyError(f"{name}: {path} has inputs that are not known: {missing}; known are {sorted(known)}.")
        feeds.append({key: (known[key][:, None] if axes == 3 else known[key]).numpy() for key, axes in wanted})
    return feeds
