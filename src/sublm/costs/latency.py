"""Measured latency of models, the candidates taking turns."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sublm.costs.lengths import representative_lengths
from sublm.errors import LatencyError
from sublm.optional import try_import

Runtime = Literal["torch", "onnx"]
Precision = Literal["fp32", "bf16"]
Inputs = dict[str, Tensor]
Candidate = nn.Module | Callable[[Inputs], Any] | str | Path

_MIN_ROUNDS = 3  # below that neither a median nor a spread means anything
_VOCABULARY = 32  # for candidates that do not tell theirs: below any


@dataclass(frozen=True)
class Latency:
    """The latency of one forward pass, in milliseconds, over the rounds of a measurement.

    Attributes:
        minimum: The least disturbed round: what to compare candidates by on a busy machine.
        median: The middle round.
        mean: The mean round.
        spread: The interquartile range.
        rounds: Number of rounds.
        runtime: "torch" or "onnx".
        precision: "fp32" or "bf16" in torch; "file" in ONNX Runtime, where the file decides.
        threads: Threads of one forward pass.
        length: Tokens, or the lengths over which each round takes the mean.
        batch: Sequences in one forward pass.
        device: Device of the model, such as "cpu".
    """

    minimum: float
    median: float
    mean: float
    spread: float
    rounds: int
    runtime: str
    precision: str
    threads: int
    length: int | tuple[int, ...]
    batch: int
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = asdict(self)
        return data | {"length": list(self.length) if isinstance(self.length, tuple) else self.length}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """Reads what `to_dict` wrote."""
        length = data["length"]
        return cls(**{**data, "length": tuple(length) if isinstance(length, list) else length})


def measure_latency(
    models: Mapping[str, Candidate],
    *,
    runtime: Runtime = "torch",
    precision: Precision = "fp32",
    threads: int = 1,
    length: int | Sequence[int] = 128,
    batch: int = 1,
    rounds: int = 30,
    warmup: int = 3,
    budget_s: float | None = None,
    samples: int = 16,
    seed: int = 0,
) -> dict[str, Latency]:
    """Measures models against each other, one forward pass of each in every round, in a shuffled order.

    A slow spell of the machine then hits all candidates alike, and no candidate always follows the same other one.
    Before it is timed, a candidate runs once, so that others have not emptied the caches for it.

    Args:
        models: Name -> what to run. With "torch": a model (put in evaluation mode meanwhile), or a function of a
            batch `{"input_ids": [batch, length], "attention_mask": [batch, length]}`. With "onnx": the path of an
            `.onnx` file, or such a function. In multiple choice, a batch holds one choice of each example.
        runtime: "torch" or "onnx" (ONNX Runtime on the CPU; needs `pip install sublm[onnx]`).
        precision: "bf16" measures a copy of a torch model in that type, as it would be deployed.
        threads: Threads that one forward pass may use; torch's own number is restored afterwards.
        length: Tokens of a sequence, or the lengths of a task's own texts: a round is then the mean over `samples`
            representative ones (`representative_lengths`).
        batch: Sequences in one forward pass, all of the same length.
        rounds: Rounds that count.
        warmup: Rounds before them that do not.
        budget_s: Seconds after which no further round starts, once three are made.
        samples: How many lengths to take of several.
        seed: Of the order and the tokens.

    Returns:
        Name -> latency, in the order given.

    Raises:
        LatencyError: If an argument cannot be used, or a model cannot be run; it is named.
        MissingPackageError: If ONNX Runtime is asked for and not installed.
    """
    if runtime not in ("torch", "onnx"):
        raise LatencyError(f"runtime must be 'torch' or 'onnx'; got {runtime!r}.")
    if precision not in ("fp32", "bf16"):
        raise LatencyError(f"precision must be 'fp32' or 'bf16'; got {precision!r}.")
    if precision != "fp32" and runtime == "onnx":
        raise LatencyError("precision belongs to runtime='torch'; an ONNX file has its own. Leave it out.")
    for name, value, least in (
        ("threads", threads, 1),
        ("batch", batch, 1),
        ("rounds", rounds, 1),
        ("warmup", warmup, 0),
    ):
        if value < least:
            raise LatencyError(f"{name} must be at least {least}; got {value}.")
    lengths = representative_lengths([length] if isinstance(length, int) else length, samples)
    if not models:
        return {}

    order_rng = random.Random(seed)
    with ExitStack() as stack:
        stack.enter_context(_torch_threads(threads))
        stack.enter_context(torch.inference_mode())
        runs = {
            name: _prepare(name, model, runtime, precision, threads, _batches(model, lengths, batch, seed), stack)
            for name, model in models.items()
        }
        recorded: dict[str, list[float]] = {name: [] for name in runs}
        order = list(runs)
        started = time.perf_counter()
        for number in range(-warmup, rounds):
            if number == 0:
                started = time.perf_counter()
            if budget_s is not None and number >= _MIN_ROUNDS and time.perf_counter() - started > budget_s:
                break
            order_rng.shuffle(order)
            for name in order:
                elapsed = _one_round(name, *runs[name][:2])
                if number >= 0:
                    recorded[name].append(elapsed)
    kind = "file" if runtime == "onnx" else precision
    stated = lengths[0] if isinstance(length, int) else lengths
    return {
        name: _summary(values, runtime, kind, threads, stated, batch, runs[name][2])
        for name, values in recorded.items()
    }


def _one_round(name: str, run: Callable[[Any], Any], batches: list[Any]) -> float:
    """Milliseconds of a forward pass, the mean over the batches.

    An untimed pass comes first: it brings the weights back into the caches, where they are when a model runs alone.
    Without it, small models measure up to 10 % slower than they run when deployed, as candidates evict each other.
    """
    try:
        run(batches[0])
        started = time.perf_counter_ns()
        for inputs in batches:
            run(inputs)
        return (time.perf_counter_ns() - started) / 1e6 / len(batches)
    except Exception as error:
        raise LatencyError(
            f"{name} could not be measured: {type(error).__name__}: {error}. "
            "Mend it or leave it out; a latency is never guessed."
        ) from error


def _summary(
    values: list[float],
    runtime: str,
    precision: str,
    threads: int,
    length: int | tuple[int, ...],
    batch: int,
    device: str,
) -> Latency:
    low, median, high = (float(q) for q in np.percentile(values, (25, 50, 75)))
    return Latency(
        minimum=min(values),
        median=median,
        mean=float(np.mean(values)),
        spread=high - low,
        rounds=len(values),
        runtime=runtime,
        precision=precision,
        threads=threads,
        length=length,
        batch=batch,
        device=device,
    )


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def _prepare(
    name: str,
    model: Candidate,
    runtime: Runtime,
    precision: Precision,
    threads: int,
    batches: list[Inputs],
    stack: ExitStack,
) -> tuple[Callable[[Any], Any], list[Any], str]:
    """What to call, with which inputs, and on which device it runs."""
    if isinstance(model, (str, Path)):
        if runtime != "onnx":
            raise LatencyError(f"{name}: files are measured with runtime='onnx'; load {model} first to use torch.")
        return _onnx_session(name, Path(model), threads, batches)
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise LatencyError(f"{name}: a model, a function or the path of an .onnx file is needed; got {model!r}.")
        return model, batches, "cpu"
    if runtime != "torch":
        raise LatencyError(
            f"{name}: with runtime='onnx' the path of an .onnx file is needed, not a {type(model).__name__}. "
            "Write it with sublm export, or use runtime='torch'."
        )
    return _torch_model(model, precision, batches, stack)


def _torch_model(
    model: nn.Module, precision: Precision, batches: list[Inputs], stack: ExitStack
) -> tuple[Callable[[Inputs], Any], list[Inputs], str]:
    if precision == "bf16":
        model = copy.deepcopy(model).to(torch.bfloat16)
    stack.callback(model.train, model.training)
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    moved = [{key: value.to(device) for key, value in inputs.items()} for inputs in batches]

    def run(inputs: Inputs) -> None:
        model(**inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run, moved, device.type


def _onnx_session(
    name: str, path: Path, threads: int, batches: list[Inputs]
) -> tuple[Callable[[Any], Any], list[Any], str]:
    onnxruntime = try_import("onnxruntime", extra="onnx", purpose="Measuring with runtime='onnx'")
    if not path.is_file():
        raise LatencyError(f"{name}: {path} is not a file; give the path of an .onnx file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # threads of a session that is waiting must not spin on the cores of the one being measured
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LatencyError(f"{name}: ONNX Runtime cannot load {path}: {error}.") from error
    wanted = [i.name for i in session.get_inputs()]
    choices = any(i.name == "input_ids" and len(i.shape) == 3 for i in session.get_inputs())
    feeds = []
    for inputs in batches:
        known = {**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])}
        missing = [key for key in wanted if key not in known]
        if missing:
            raise LatencyError(f"{name}: {path} has inputs that are not known: {missing}; known are {sorted(known)}.")
        feeds.append({key: (known[key][:, None] if choices else known[key]).numpy() for key in wanted})
    return (lambda feed: session.run(None, feed)), feeds, "cpu"
