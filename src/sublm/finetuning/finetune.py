"""Fine-tuning over a grid: from a model and a task to an ordinary model and a table of runs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from sublm.export import ModelCard, known_of, save, write_card
from sublm.files import fingerprint_model
from sublm.finetuning.figure import write_runs_png
from sublm.finetuning.outcome import Outcome, read_outcomes
from sublm.finetuning.plan import make_plan, tell
from sublm.finetuning.prepare import Prepared, prepare
from sublm.finetuning.results import choose, summarise
from sublm.finetuning.settings import FinetuneSettings
from sublm.finetuning.sweep import sweep
from sublm.finetuning.trainer import Trainer, begin, run_point
from sublm.progress import Progress, make_progress, plural
from sublm.run import Run, read_json, write_json
from sublm.search.executors import open_executor
from sublm.supernet.modeling_sublm import SubnetMixin

RUNS, RESULTS, MODEL, PICTURE = "runs", "results.json", "model", "runs.png"
SCHEMA = 1


def finetune(
    model: str | Path,
    *,
    task: str | Path,
    out: str | Path | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tunes a model for a task at every point of a grid and writes the best one as an ordinary folder.

    Runs are compared on the search split, a share of the training rows that none is trained on: settings by the mean
    over their seeds, then the runs of the best setting by their own score. The validation split is reported only.

    Killed at any moment, the same call goes on where it was. More points may be asked for later; runs that are there
    are not done again.

    Args:
        model: A folder of transformers' or SubLM's, or a name on the hub.
        task: A task by name, or a file or folder of your own.
        out: The run directory; `runs/finetune-TASK` by default.
        dry_run: Check everything and give the estimated cost instead.
        overwrite: Use the run directory though it holds a run with other settings.
        quiet: Show nothing but errors.
        **settings: Any field of `FinetuneSettings`, such as `grid="bort"` or `learning_rate=[1e-5, 2e-5]`.

    Returns:
        What `results.json` holds and, as "run", the run directory; or the estimate.

    Raises:
        TrainingError: If the grid is empty or unknown, or no run comes to a score; runs are kept.
        SubLMError: If anything else that was given cannot be used; nothing long has been done by then.
    """
    asked = FinetuneSettings.from_dict({"model": str(model), "task": str(task), **settings})
    progress = make_progress(quiet=quiet)
    prepared = prepare(asked, progress)
    if dry_run:
        return make_plan(prepared)
    folder = Path(out) if out is not None else Path("runs") / f"finetune-{prepared.rows.task.name}"
    with Run(folder, _deciding(prepared), overwrite=overwrite, seed=asked.seed) as run:
        return {**_carry_out(prepared, run, progress), "run": str(folder)}


def _deciding(prepared: Prepared) -> dict[str, Any]:
    """What makes the run another one: a published grid may say how long texts are, and runs of others are no match."""
    s = prepared.settings
    return {**s.deciding(), "max_length": s.max_length or prepared.grid.max_length}


def _carry_out(prepared: Prepared, run: Run, progress: Progress) -> dict[str, Any]:
    """Does what is not done, and writes the results."""
    s, grid, folder = prepared.settings, prepared.grid, run.folder
    inputs = {**_deciding(prepared), "model": fingerprint_model(s.model), "data": prepared.rows.fingerprint}
    stage = run.stage("fine-tuning", inputs, after=(), outputs=[RUNS])
    asked = {"grid": grid.to_list(), "halving": s.halving, "grace": s.grace}
    whole = stage.result.get("asked") == asked and not stage.result.get("failed")
    if stage.done and whole and (folder / MODEL).is_dir():
        return dict(read_json(folder / RESULTS))
    if stage.done:
        stage.state = "cut off"  # more is asked for, or some runs failed: what is there is kept
    with run.working(stage):
        with progress.stage("Timing a step"):
            plan = make_plan(prepared)
        tell(prepared, plan, progress)
        trainer = Trainer(s.model, prepared.rows, folder / RUNS, **s.how())
        outcomes = _train(prepared, trainer, plan, progress)
        results = _results(prepared, run, plan, outcomes)
        _write_model(prepared, run, trainer, results, outcomes, progress)
        write_runs_png(results, folder / PICTURE)
        write_json(folder / RESULTS, results)
        stage.result |= {"asked": asked, "failed": sum(run["state"] == "failed" for run in results["runs"])}
    return results


def _train(prepared: Prepared, trainer: Trainer, plan: dict[str, Any], progress: Progress) -> dict[str, Outcome]:
    s, grid = prepared.settings, prepared.grid
    known = read_outcomes(trainer.folder)
    steps = {size: prepared.rows.steps_per_epoch("train", size) for size in {p.batch_size for p in grid}}
    # Steps of whole runs so far, by point; those of the run in hand come on top.
    done = Counter({p.key: round(known[p.key].epochs * steps[p.batch_size]) for p in grid if p.key in known})
    scores = [outcome.score() for key, outcome in known.items() if key in done]

    def show(outcome: Outcome) -> None:
        point = outcome.point
        done[point.key] = round(outcome.epochs * steps[point.batch_size])
        scores.append(outcome.score())
        if outcome.state == "failed":
            progress.warning(f"A run failed and is tried again next time: {outcome.error}")
        finite = [score for score in scores if not math.isnan(score)]
        progress.update(done.total(), max(plan["steps"], done.total()), best=max(finite, default=float("nan")))

    alone = s.workers == 1 and s.ray is None
    if alone:

        def within(point_key: str, step: int) -> None:
            progress.update(done.total() - done[point_key] + step, max(plan["steps"], done.total()))

        trainer = replace(trainer, progress=within)
    with (
        progress.stage(f"Fine-tuning ({plural(len(grid), 'run')})", plan["steps"]),
        open_executor(s.workers, ray=s.ray, initializer=begin, initargs=(trainer,)) as executor,
    ):
        progress.update(done.total())
        return sweep(
            grid,
            run_point,
            executor=executor,
            folder=trainer.folder,
            halving=s.halves(),
            workers=s.workers,
            told=show,
        )


def _results(prepared: Prepared, run: Run, plan: dict[str, Any], outcomes: dict[str, Outcome]) -> dict[str, Any]:
    s, task = prepared.settings, prepared.rows.task
    steps = {p.batch_size: prepared.rows.steps_per_epoch("train", p.batch_size) for p in prepared.grid}
    return {
        "schema": SCHEMA,
        "model": s.model,
        "task": {"name": task.name, "kind": task.kind, "metrics": list(task.metrics), "notes": prepared.examples.notes},
        "rows": plan["rows"],
        "grid": {"name": s.grid, "points": plan["points"], "settings": plan["settings"], "levels": plan["levels"]},
        **summarise(prepared.grid, outcomes, metric=task.metric, steps=steps, schedule=s.schedule),
        "estimate": {name: plan[name] for name in ("steps", "steps_without_halving", "seconds_per_step", "seconds")},
        "folder": MODEL,
        "how": s.how(),
        "seed": s.seed,
        "machine": run.machine,
    }


def _write_model(
    prepared: Prepared,
    run: Run,
    trainer: Trainer,
    results: dict[str, Any],
    outcomes: dict[str, Outcome],
    progress: Progress,
) -> None:
    """Writes the model of the best run, with its card."""
    s, task = prepared.settings, prepared.rows.task
    _, best = choose(prepared.grid, outcomes)
    with progress.stage("Writing the best model"):
        # From its checkpoint; if that was thought needless in an earlier session, trained again.
        model, _ = replace(trainer, progress=None).fit(best.point)
        model.to("cpu")
        save(model, run.folder / MODEL, tokenizer=prepared.tokenizer, overwrite=True)
        card = ModelCard(
            name=f"{Path(s.model).name}-{task.name}",
            parent=s.model,
            task=task.name,
            kind=task.kind,
            metric=task.metric,
            scores=best.validation,
            stock=not isinstance(model, SubnetMixin),
            examples=len(prepared.examples.validation),
            search_examples=len(prepared.examples.search),
            machine={"sublm": run.machine.get("sublm"), **run.machine},
            seed=best.point.seed,
            parent_fingerprint=fingerprint_model(s.model),
            hyperparameters=best.point.to_dict(),
            tried=results["grid"]["points"],
            **known_of(s.model),
        )
        write_card(card, run.folder / MODEL)
