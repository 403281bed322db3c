"""`sublm latency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def latency(
    models: list[Path],
    *,
    runtime: list[str] | None = None,
    precision: list[str] | None = None,
    threads: list[int] | None = None,
    length: list[int] | None = None,
    batch: list[int] | None = None,
    rounds: int = 30,
    budget: float | None = None,
    out: Path | None = None,
    seed: int = 0,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Measure how long models take, one beside the other.

    Of several runtimes, precisions, numbers of threads, lengths and batches every combination is measured. All of them
    take turns, so that a busy moment of the machine hits them all alike. Times are milliseconds of one forward pass:
    compare by the minimum, judge by the spread how quiet the machine was. ONNX files that are not in a model's folder
    are written for the time of the measurement; one that is given and is not in fp32 is measured as it is.

    Args:
        models: Folders of models, or ONNX files (with --runtime onnx or openvino); they come before the options.
        runtime: What runs them: torch, onnx, openvino, or one with its precision, such as onnx-int8; torch if not
            given.
        precision: fp32, bf16 (torch, openvino), fp16, int8-static (onnx, openvino), int8 (onnx); fp32 if not given.
        threads: Threads of one forward pass; 1 if not given.
        length: Tokens of a text; 128 if not given.
        batch: Texts at a time; 1 if not given.
        rounds: Times each model is measured.
        budget: Seconds after which no further round starts, once three are made.
        out: A file to write the result to, as JSON.
        seed: Of the random texts.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm latency runs/sst2/models/* --threads 2 --length 64
        sublm latency MODEL --runtime torch onnx --precision fp32 int8 --length 32 128
    """
    from rich.console import Console

    from sublm.commands._summary import LatencySummary
    from sublm.costs.table import latency_table
    from sublm.errors import UsageError
    from sublm.files import write_json
    from sublm.paths import check_output
    from sublm.progress import make_progress

    missing = [str(folder) for folder in models if not folder.exists()]
    if missing:
        raise UsageError(f"There is no model at {', '.join(missing)}.")
    if out is not None:
        check_output("--out", out)
    with make_progress(quiet=quiet).stage("Measuring"):
        found = latency_table(
            {str(folder): folder for folder in models},
            runtimes=runtime or ["torch"],
            precisions=precision or ["fp32"],
            threads=threads or [1],
            lengths=length or [128],
            batches=batch or [1],
            rounds=rounds,
            budget_s=budget,
            seed=seed,
        )
    summary = LatencySummary(found)
    if out is not None:
        try:
            write_json(out, found)
        except OSError:  # what took minutes to measure is not lost with the file
            Console(stderr=True, highlight=False).print(summary, crop=False)
            raise
    return summary
