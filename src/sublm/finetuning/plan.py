"""What a fine-tuning over a grid will cost, and what is odd about it."""

from __future__ import annotations

from typing import Any

import torch

from sublm.finetuning.decay import ERASED, weight_shrink
from sublm.finetuning.estimate import estimate, time_row, time_steps
from sublm.finetuning.prepare import Prepared
from sublm.progress import Progress, plural, show_duration
from sublm.search.executors.open import share_of_cores


def make_plan(prepared: Prepared) -> dict[str, Any]:
    """The estimated cost, from measured steps, and what weight decay will do."""
    s, grid, rows = prepared.settings, prepared.grid, prepared.rows
    threads = torch.get_num_threads()
    if s.workers > 1 and s.ray is None:
        torch.set_num_threads(share_of_cores(s.workers))
    try:
        step_seconds = time_steps(prepared.model, rows, grid, precision=s.precision)
        row_seconds = time_row(prepared.model, rows, precision=s.precision)
    finally:
        torch.set_num_threads(threads)
    counts = {name: len(split) for name, split in rows.splits.items()}
    cost = estimate(
        grid,
        s.halves(),
        rows=counts,
        step_seconds=step_seconds,
        row_seconds=row_seconds,
        parameters=sum(p.numel() for p in prepared.model.parameters()),
        workers=s.workers,
    )
    return {
        "model": s.model,
        "task": rows.task.name,
        "head": "trained" if prepared.trained else "new",
        "rows": counts,
        **cost,
        "erased": len(erased_settings(prepared)),
    }


def erased_settings(prepared: Prepared) -> list[dict[str, Any]]:
    """The settings whose weight decay leaves next to nothing of the weights."""
    found = []
    for setting in prepared.grid.settings:
        steps = setting.epochs * prepared.rows.steps_per_epoch("train", setting.batch_size)
        shrink = weight_shrink(setting, steps, prepared.settings.schedule)
        if shrink.erases:
            found.append({**setting.to_dict(), **shrink.to_dict()})
    return found


def tell(prepared: Prepared, plan: dict[str, Any], progress: Progress) -> None:
    """Says what is about to be done, and what is odd about it."""
    rungs = f" on rungs at epochs {', '.join(map(str, plan['levels'][:-1]))}" if len(plan["levels"]) > 1 else ""
    points = f"{plural(plan['points'], 'point')} ({plural(plan['settings'], 'setting')})"
    progress.message(
        f"{points}{rungs}: {plan['steps']} steps, about "
        f"{show_duration(plan['seconds'])} and {plan['gigabytes']:.2g} GB of checkpoints"
    )
    erased = erased_settings(prepared)
    if erased:
        worst = max(erased, key=lambda entry: entry["per_step"])
        progress.warning(
            f"Weight decay erases the weights in {len(erased)} of {plan['settings']} settings: less than {ERASED:.0%} "
            "would be left of what the gradient does not hold up, such as embeddings of rare words. The worst takes "
            f"{worst['per_step']:.2%} per step (learning rate {worst['learning_rate']:g} x weight decay "
            f"{worst['weight_decay']:g})."
        )
