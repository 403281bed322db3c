"""What a sweep will cost, before it starts."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import torch

from sublm.finetuning.grid import Grid
from sublm.finetuning.halving import Halving
from sublm.finetuning.hyperparameters import Hyperparameters
from sublm.tasks import EncodedTask, predict
from sublm.training import TaskObjective, TrainOptions, fixed, train
from sublm.training.precision import evaluation_precision

STEPS, ROWS = 4, 64
"""Steps, and rows of an evaluation, that are timed."""


def expected_epochs(grid: Grid, halving: Halving) -> dict[Hyperparameters, float]:
    """Epochs that each point is expected to be trained, if all settings were equally good."""
    settings = len(grid.settings)
    levels = halving.levels(max(point.epochs for point in grid))
    shares = [alive / settings for alive in halving.alive(settings, len(levels))]
    return {
        point: sum(
            share * (min(level, point.epochs) - min(before, point.epochs))
            for share, level, before in zip(shares, levels, (0, *levels), strict=False)
        )
        for point in grid
    }


def estimate(
    grid: Grid,
    halving: Halving,
    *,
    rows: Mapping[str, int],
    step_seconds: Mapping[int, float],
    row_seconds: float,
    parameters: int,
    workers: int = 1,
) -> dict[str, Any]:
    """Steps, time and disk of a sweep; early stopping may save some of it.

    Args:
        grid: The points.
        halving: Which settings are dropped.
        rows: Rows of "train", "search" and "validation".
        step_seconds: Batch size -> seconds of a training step.
        row_seconds: Seconds of scoring one row.
        parameters: Of the model.
        workers: Points trained at a time.
    """
    epochs = expected_epochs(grid, halving)
    steps = {point: count * -(-rows["train"] // point.batch_size) for point, count in epochs.items()}
    training = sum(count * step_seconds[point.batch_size] for point, count in steps.items())
    scoring = sum(epochs.values()) * rows["search"] * row_seconds
    levels = halving.levels(max(point.epochs for point in grid))
    ends = halving.alive(len(grid.settings), len(levels))[-1] / len(grid.settings)
    scoring += ends * len(grid) * (rows["search"] + rows["validation"]) * row_seconds
    kept = (halving.keeps(len(grid.settings)) if len(levels) > 1 else 1) * len(grid) / len(grid.settings)
    # Two checkpoints of weights and Adam's two moments while a run is trained, and the weights of its best epoch.
    disk = (kept + workers) * 7 * 4 * parameters
    return {
        "points": len(grid),
        "settings": len(grid.settings),
        "levels": list(levels),
        "steps": round(sum(steps.values())),
        "steps_without_halving": sum(point.epochs * -(-rows["train"] // point.batch_size) for point in grid),
        "seconds_per_step": {str(size): round(value, 4) for size, value in step_seconds.items()},
        "seconds": round((training + scoring) / workers, 1),
        "gigabytes": round(disk / 1e9, 3),
    }


def time_steps(model: Any, data: EncodedTask, grid: Grid, *, precision: str) -> dict[int, float]:
    """Batch size -> seconds of a training step, measured on a copy of the model."""
    return {size: _time_step(model, data, size, precision) for size in sorted({point.batch_size for point in grid})}


def _time_step(model: Any, data: EncodedTask, size: int, precision: str) -> float:
    steps = data.steps_per_epoch("train", size)
    count = min(STEPS, steps)
    rates: list[float] = []
    train(
        copy.deepcopy(model),
        data.batches("train", size, 0),
        fixed(teach="labels"),
        # The smallest rate: this is about time, and nothing may diverge.
        TrainOptions(epochs=1, batch_size=size, learning_rate=1e-9, log_every=1, precision=precision),
        steps_per_epoch=steps,
        objective=TaskObjective(data.task.kind),
        progress=lambda step, steps, loss, rate: rates.append(rate),
        pause=lambda step: step >= count,
    )
    return 1 / rates[-1]


def time_row(model: Any, data: EncodedTask, *, precision: str) -> float:
    """Seconds of scoring one row of average length."""
    rows = data.splits["search"].select(range(min(ROWS, len(data.splits["search"]))))
    cheap = evaluation_precision(precision)
    predict(model, rows, precision=cheap)  # warm-up
    began = time.perf_counter()
    predict(model, rows, precision=cheap)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / len(rows)
