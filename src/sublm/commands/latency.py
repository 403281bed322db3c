"""`sublm latency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def latency(
    models: list[Path],
    *,
    runtime: Literal["torch", "onnx"] = "torch",
    precision: Literal["fp32", "bf16"] = "fp32",
    threads: int = 1,
    length: int = 128,
    batch: int = 1,
    rounds: int = 30,
    seed: int = 0,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Measure how long models take, one beside the other.

    The models take turns, so that a busy moment of the machine hits them all alike. Times are milliseconds of one
    forward pass: compare by the minimum, judge by the spread how quiet the machine was.

    Args:
        models: Folders of models; for the runtime onnx, each with its model.onnx.
        runtime: What runs them.
        precision: Of the torch runtime.
        threads: Threads of one forward pass.
        length: Tokens of a text.
        batch: Texts at a time.
        rounds: Times each model is measured.
        seed: Of the random texts.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm latency runs/sst2/models/* --threads 2 --length 64
    """
    from sublm.commands._summary import LatencySummary
    from sublm.costs import measure_latency
    from sublm.errors import UsageError
    from sublm.export.save import load
    from sublm.progress import make_progress

    missing = [str(folder) for folder in models if not folder.exists()]
    if missing:
        raise UsageError(f"There is no model at {', '.join(missing)}.")
    with make_progress(quiet=quiet).stage("Measuring"):
        candidates = {str(folder): folder / "model.onnx" if runtime == "onnx" else load(folder) for folder in models}
        found = measure_latency(
            candidates,
            runtime=runtime,
            precision=precision,
            threads=threads,
            length=length,
            batch=batch,
            rounds=rounds,
            seed=seed,
        )
    return LatencySummary({name: value.to_dict() for name, value in found.items()})
