"""The main job: from a model and a task to a Pareto front of ordinary, smaller models."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from sublm.errors import RunError, SubLMError
from sublm.progress import Progress, make_progress
from sublm.run import Run, read_json
from sublm.settings import Settings
from sublm.stages.baselines import make_baselines
from sublm.stages.latency import check_predictor, fit_predictor
from sublm.stages.masks import search_masks
from sublm.stages.models import extract_models, make_models
from sublm.stages.opening import open_workspace
from sublm.stages.plan import make_plan, tell_time
from sublm.stages.promise import correct_models, measure_finalists
from sublm.stages.results import build_front, measure, write_results
from sublm.stages.search import check_target, search_subnets
from sublm.stages.standalone import search_candidates
from sublm.stages.supernet import prepare_supernet, provisional, train_supernet
from sublm.stages.teacher import check_teacher, make_teacher
from sublm.stages.workspace import Job
from sublm.training import Team, open_team

STAGES = ("teacher", "importance", "space", "train", "search", "extract", "recover")
"""Stages that `run_stage` can end at, in their order."""


def compress(
    model: str,
    *,
    task: str | Path = "",
    out: str | Path | None = None,
    dry_run: bool = False,
    only_importance: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Makes a model smaller for a task: fine-tunes, trains a super-network, searches it, and writes ordinary models.

    Killed at any moment, the same call goes on where it was. Stages whose inputs have not changed are skipped.

    Args:
        model: A transformers encoder: a folder, or a name on the Hugging Face hub.
        task: A task by name, or a file or folder of your own; or give `unlabelled=`, a file of texts.
        out: The run directory; `runs/TASK` by default.
        dry_run: Check everything, and give the plan with its estimated time instead.
        only_importance: Stop when units are scored and the space is written, and say where that is.
        overwrite: Use the run directory though it holds a run with other settings.
        quiet: Show nothing but errors.
        **settings: Any field of `Settings`, such as `target=["latency<=8ms"]`.

    Returns:
        What `front.json` holds, or the plan.

    Raises:
        SubLMError: If anything the user gave cannot be used; nothing long has been done by then.
    """
    asked = Settings.from_dict({"model": str(model), "task": str(task), **settings})
    folder = Path(out) if out is not None else asked.default_folder
    until = "importance" if only_importance else None
    return execute(asked, folder, make_progress(quiet=quiet), dry_run=dry_run, overwrite=overwrite, until=until)


def execute(
    settings: Settings,
    folder: Path,
    progress: Progress,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    until: str | None = None,
) -> dict[str, Any]:
    """Runs the stages in order; each does nothing if it is done already.

    Started by `accelerate launch` or `torchrun`, the first process does so; the others train with it, and are given the
    result, or its error, at the end.
    """
    team = open_team()
    if not team.leads:
        return _train_along(settings, folder, team)
    try:
        if team.size > 1 and settings.standalone:
            raise RunError(
                f"A standalone search trains every candidate in one process, and {team.size} were started to train "
                "together: start it without accelerate launch or torchrun, and give --workers."
            )
        result = _execute(settings, folder, progress, team, dry_run=dry_run, overwrite=overwrite, until=until)
    except (SubLMError, OSError) as error:
        team.dismiss(error=error)
        raise
    team.dismiss(result)
    return result


def _train_along(settings: Settings, folder: Path, team: Team) -> dict[str, Any]:
    """What a process does that does not lead: its share of every training."""
    work = None
    jobs = team.jobs()
    while True:
        try:
            job: Job = next(jobs)
        except StopIteration as end:
            return end.value
        work = work or open_workspace(settings, Run(folder), Progress(), team)
        with suppress(SubLMError):  # met by all at once: the first one tells
            work.train(*job.arguments, **job.options, probe=(lambda: math.nan) if job.probes else None)


def _execute(
    settings: Settings,
    folder: Path,
    progress: Progress,
    team: Team,
    *,
    dry_run: bool,
    overwrite: bool,
    until: str | None,
) -> dict[str, Any]:
    with Run(folder, settings.deciding(), overwrite=overwrite, seed=settings.seed) as run:
        work = open_workspace(settings, run, progress, team)
        check_teacher(work)
        early = provisional(work)
        check_predictor(work, early)
        check_target(work, early, None)  # before latencies are measured, which takes a while
        if dry_run or not run.remembers("settings"):
            run.remember("settings", settings.lasting())
        if dry_run:
            return make_plan(work, early)

        predictor = fit_predictor(work, early)
        check_target(work, early, predictor)  # refused before the long work
        run.remember("settings", settings.lasting())  # what was refused is not asked for again by the next command
        if until is None:
            tell_time(work, early)
        teacher = make_teacher(work)
        if until == "teacher":
            return run.result("teacher")
        prepared = prepare_supernet(work, teacher)
        constraints = check_target(work, prepared, predictor)
        if until in ("importance", "space"):
            return {"space": str(folder / "space.json"), "size": prepared.space.size}
        baselines = make_baselines(work, teacher, prepared)  # cut from the sorted teacher, before it is trained
        if not settings.standalone or until == "train":
            train_supernet(work, teacher, prepared)
        if until == "train":
            return run.result("train")
        if settings.no_train:
            found = search_masks(work, teacher, prepared, predictor, constraints)
        elif settings.standalone:
            found = search_candidates(work, teacher, prepared, predictor, constraints)
        else:
            found = search_subnets(work, prepared, predictor, constraints)
        if until == "search":
            return {
                "evaluations": len(found.evaluations),
                "front": [{**e.costs, "score": e.score} for e in found.front],
                "racing": found.racing,
            }
        if until == "extract":
            return extract_models(work, prepared, found)
        found = measure_finalists(work, prepared, found)
        points = make_models(work, teacher, prepared, found)
        original = measure(work, teacher, points, baselines)
        points, original = correct_models(work, teacher, prepared, found, points, baselines, original)

        front_data = build_front(work, teacher, prepared, found, points, baselines, original)
        write_results(work, front_data, found, points)
        return front_data


def run_stage(
    stage: str,
    *,
    run: str | Path,
    changes: dict[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **_: Any,
) -> dict[str, Any]:
    """Does one stage of an existing run, with changed settings, and the stages it needs before it.

    Args:
        stage: One of `STAGES`.
        run: The run directory.
        changes: Settings to change.
        overwrite: Allow the change of settings that make the run another one.
        quiet: Show nothing but errors.

    Raises:
        RunError: If there is no such run or stage.
    """
    folder = Path(run)
    if stage not in STAGES:
        raise RunError(f"There is no stage {stage!r}; there are {', '.join(STAGES)}.")
    if not (folder / "run.json").exists():
        raise RunError(f"{folder} holds no run; start one with `sublm compress`.")
    kept = read_json(folder / "run.json").get("settings")
    if kept is None:
        raise RunError(f"The run {folder} was refused before it began; start it with `sublm compress`.")
    settings = Settings.from_dict(kept)
    if stage == "recover" and not settings.recover_epochs:
        changes = {"recover_epochs": 1} | (changes or {})
    changed = settings.changed(**(changes or {}))
    until = None if stage == "recover" else stage
    return execute(changed, folder, make_progress(quiet=quiet), overwrite=overwrite, until=until)
