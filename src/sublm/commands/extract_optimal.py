"""`sublm extract-optimal`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def extract_optimal(
    *,
    out: Path,
    corpus: Path | None = None,
    task: str | None = None,
    model: str | None = None,
    start: Literal["scratch", "slices"] = "scratch",
    grid: Literal["bort"] | None = None,
    grid_layers: list[int] | None = None,
    grid_heads: list[int] | None = None,
    grid_hidden: list[int] | None = None,
    grid_neurons: list[int] | None = None,
    target: list[str] | None = None,
    maximum: str = "largest",
    compare_maximum: list[str] | None = None,
    stride: int = 1,
    exhaustive: bool = False,
    count_embeddings: bool = True,
    cost: Literal["macs", "latency"] = "macs",
    runtime: Literal["torch", "onnx", "openvino"] = "torch",
    runtime_precision: Literal["fp32", "bf16", "fp16", "int8", "int8-static"] = "fp32",
    threads: int = 1,
    length: int = 128,
    rounds: int = 20,
    train_steps: int = 100,
    checks: int | None = None,
    error_at: int | None = None,
    error: Literal["relative", "loss"] = "relative",
    learning_rate: list[float] | None = None,
    batch_size: list[int] | None = None,
    weight_decay: list[float] | None = None,
    seeds: int = 1,
    section: int = 256,
    limit: int | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Find the shape with the best balance of size, speed and error, before any model is trained to its end.

    Of a grid of depths, heads, hidden sizes and FFN widths, every N-th shape by size is trained for a few steps. The
    one with the largest W-coefficient, (1 - p/p(T)) (1 - i/i(T)) / error, is the result: p are its parameters, i what a
    forward pass takes, T is the maximum point. Every training is recorded; stopped or killed, the same command goes on.

    Args:
        out: The run directory.
        corpus: Text packed by `sublm pretrain-data`, for the masked-language-model loss.
        task: A task instead, for its loss: a name, a file or a folder.
        model: Whose family, vocabulary and tokenizer candidates have; a BERT for the corpus if not given.
        start: From scratch, candidates begin with random weights; as slices, with the first layers and the largest
            units of the model.
        grid: A published grid; sizes that are given take the place of its own.
        grid_layers: Depths.
        grid_heads: Numbers of heads; those that do not divide a hidden size are left out there.
        grid_hidden: Hidden sizes.
        grid_neurons: FFN widths.
        target: What candidates must keep, such as 'parameters<=20M' or 'macs<=50%'; shares are of the maximum point's.
        maximum: The maximum point T, which candidates must stay below: largest (of the grid), model, bert-base,
            bert-large, bort, or layers-heads-hidden-neurons.
        compare_maximum: Other points that the ranking is compared under; T twice as deep, and twice as wide, if not
            given.
        stride: Every how-manieth candidate by size is trained (ε); 1 trains all.
        exhaustive: Train those that the stride leaves out, too, and tell what it cost.
        count_embeddings: Whether p counts the embedding tables.
        cost: What i is: macs, counted, or latency, measured.
        runtime: What runs a model whose latency is measured.
        runtime_precision: In what precision: bf16 in torch and openvino, fp16 and int8-static in onnx and openvino,
            int8 in onnx.
        threads: Threads of a forward pass that is measured.
        length: Tokens of a text that MACs and latency are of; of a task's texts, at most.
        rounds: Times each shape is measured.
        train_steps: Steps of a training.
        checks: How often the loss is taken in it; ten times, or after every step of fewer, if not given.
        error_at: Steps after which the error is taken; more than the training has extrapolates; its end if not given.
        error: The loss as a share of that of guessing, or the loss itself.
        learning_rate: One or several; 0.001 if not given.
        batch_size: One or several; 32 if not given.
        weight_decay: One or several; 0.01 if not given.
        seeds: How often every training is done, with seeds from --seed on.
        section: Pieces or texts that the loss is taken on; none is trained on.
        limit: Use only so many rows of the task.
        precision: Of the trainings.
        seed: The first seed.
        dry_run: Say what would be trained, and train nothing.
        overwrite: Take other settings in the same run; trainings that they do not touch are kept.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm extract-optimal --corpus corpus --grid bort --stride 10 --out runs/shape
        sublm extract-optimal --task mrpc --model ./bert --grid-layers 2 4 --out runs/shape
    """
    from sublm.commands._extraction import ExtractionSummary, PlannedExtraction
    from sublm.progress import make_progress
    from sublm.stages.extraction import ExtractionSettings, extract

    settings = ExtractionSettings(
        out=out,
        corpus=corpus,
        task=task,
        model=model,
        start=start,
        grid=grid,
        grid_layers=grid_layers,
        grid_heads=grid_heads,
        grid_hidden=grid_hidden,
        grid_neurons=grid_neurons,
        target=target or [],
        maximum=maximum,
        compare_maximum=compare_maximum or [],
        stride=stride,
        exhaustive=exhaustive,
        count_embeddings=count_embeddings,
        cost=cost,
        runtime=runtime,
        runtime_precision=runtime_precision,
        threads=threads,
        length=length,
        rounds=rounds,
        train_steps=train_steps,
        checks=min(10, max(1, train_steps)) if checks is None else checks,
        error_at=error_at,
        error=error,
        learning_rate=learning_rate or [1e-3],
        batch_size=batch_size or [32],
        weight_decay=weight_decay or [0.01],
        seeds=seeds,
        section=section,
        limit=limit,
        precision=precision,
        seed=seed,
    )
    found = extract(settings, make_progress(quiet=quiet), overwrite=overwrite, dry_run=dry_run)
    return PlannedExtraction(found) if dry_run else ExtractionSummary(found, out)
