"""The standalone search: every candidate is cut from the teacher and trained alone."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from sublm.costs import LatencyPredictor
from sublm.errors import RunError
from sublm.export import save
from sublm.progress import Progress, plural
from sublm.run import Run, Stage, fingerprint
from sublm.search import Constraint, Evaluation, Study
from sublm.search.executors import open_executor
from sublm.search.standalone import Learned, StandaloneResult, search_standalone
from sublm.spaces import Subnet
from sublm.stages.costs import costs_of
from sublm.stages.search import Found, make_sampler
from sublm.stages.supernet import Prepared, training_inputs
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace
from sublm.supernet import SuperNet
from sublm.supernet.memory import share_weights
from sublm.training import Team, fixed

FOLDER = "standalone"
"""In the run directory: the search's records, and `candidates/KEY/` with `training/` (checkpoints) and `model/`."""


@dataclass(frozen=True)
class Candidates:
    """Trains candidates; one per worker, in which it stays.

    Attributes:
        work: Of the run; a copy that neither writes to the run nor shows progress.
        supernet: The teacher, elastic and sorted: candidates are cut from it.
        teacher: What they learn from; None for the labels alone.
        folder: Where each has a folder of its own, named by its key.
    """

    work: Workspace
    supernet: SuperNet
    teacher: nn.Module | None
    folder: Path

    def learn(self, subnet: Subnet, until: int, end: float | None) -> Learned:
        """Trains a candidate until an epoch, and keeps the model of its best one; see `sublm.search.standalone`."""
        settings, steps = self.work.settings, self.work.steps_per_epoch()

        def pause(step: int) -> bool:
            return step >= until * steps or (end is not None and time.time() >= end)

        folder = self.folder / subnet.key
        model = self.supernet.extract(subnet)
        result = self.work.train(
            model,
            fixed(teach="labels" if self.teacher is None else "teacher"),
            self.work.options(settings.epochs, settings.learning_rate),
            folder / "training",
            teacher=self.teacher,
            probe=self.work.probe(model),
            layers=subnet.layers,
            pause=pause,
        )
        scores = tuple(record.score for record in result.history if record.score is not None)
        if scores:
            save(model.to("cpu"), folder / "model", overwrite=True)
        return Learned(scores, result.seconds)

    def tidy(self, evaluations: list[Evaluation], front: list[Evaluation], *, ended: bool = False) -> None:
        """Removes the models that are not on the front, and the checkpoints of all that are done.

        Args:
            evaluations: Those that are done.
            front: Those of them whose models are kept.
            ended: Whether nothing is to be trained any more: what is left of others goes too.
        """
        if not self.folder.is_dir():
            return
        done, kept = {e.subnet.key for e in evaluations}, {e.subnet.key for e in front}
        for path in self.folder.iterdir():
            if path.name in kept:
                shutil.rmtree(path / "training", ignore_errors=True)
            elif path.name in done or ended:
                shutil.rmtree(path, ignore_errors=True)


_here: Candidates | None = None
"""What this process trains from: a worker is told once, not with every candidate."""


def _begin(candidates: Candidates) -> None:
    global _here
    _here = candidates


def _learn(subnet: Subnet, until: int, end: float | None) -> Learned:
    assert _here is not None
    return _here.learn(subnet, until, end)


def search_candidates(
    work: Workspace,
    teacher: TeacherResult,
    prepared: Prepared,
    predictor: LatencyPredictor | None,
    constraints: tuple[Constraint, ...],
) -> Found:
    """Searches by training every candidate alone; an interrupted search goes on where its candidates were.

    Raises:
        RunError: If the time was up before any candidate had finished an epoch.
    """
    s = work.settings
    inputs = training_inputs(work, teacher) | {
        "sampler": s.sampler,
        "population": s.population,
        "objectives": s.objectives,
        "constraints": constraints,
        "evaluation_precision": work.precision,
        "predictor": fingerprint(predictor.to_dict()) if predictor else None,
    }
    stage = work.stage("standalone", inputs, [FOLDER], upto="space")
    if stage.done and not _enough(work, stage):
        stage.state = "cut off"  # more is asked for: the search goes on, and keeps what it has
    if stage.done:
        result = _search(work, teacher, prepared, predictor, constraints, stage)  # reads the records
    else:
        limit = f" or {s.hours:g} h" if s.hours is not None else ""
        number = plural(s.evaluations, "candidate")
        title = f"Training candidates alone ({s.sampler}, {number}{limit}, up to {plural(s.epochs, 'epoch')} each)"
        with work.doing(stage, title):
            result = _search(work, teacher, prepared, predictor, constraints, stage)
            if not result.evaluations:
                raise RunError(
                    f"The time was up before a candidate had finished an epoch: {s.hours:g} hours. Give more --hours; "
                    "the search goes on where it was."
                )
            stage.result |= {
                "evaluations": len(result.evaluations),
                "epochs": sum(int(e.metrics.get("epochs", 0)) for e in result.evaluations),
                "exhausted": result.exhausted,
                "search_seconds": round(result.seconds, 3),
            }
        if result.out_of_time:
            work.progress.message(
                f"The time is up: {plural(len(result.evaluations), 'candidate')} of {s.evaluations} trained"
            )
    trained = work.run.folder / FOLDER / "candidates"
    return Found(result.evaluations, result.front, constraints, predictor, trained, stage.fingerprint)


def _enough(work: Workspace, stage: Stage) -> bool:
    """Whether a search that ended has nothing more to do under the present budgets."""
    s, result = work.settings, stage.result
    used_up = s.hours is not None and result.get("search_seconds", 0.0) >= 3600 * s.hours
    return result.get("evaluations", 0) >= s.evaluations or bool(result.get("exhausted")) or used_up


def _search(
    work: Workspace,
    teacher: TeacherResult,
    prepared: Prepared,
    predictor: LatencyPredictor | None,
    constraints: tuple[Constraint, ...],
    stage: Stage,
) -> StandaloneResult:
    s, folder = work.settings, work.run.folder / FOLDER
    costs = costs_of(work, prepared, predictor)
    candidates = Candidates(
        replace(work, run=Run(work.run.folder), progress=Progress(), team=Team()),
        prepared.supernet,
        teacher.model if teacher.teaches else None,
        folder / "candidates",
    )
    study = Study(
        prepared.space,
        costs,
        objectives=s.objectives,
        constraints=constraints,
        sampler=make_sampler(s),
        seed=s.seed,
        folder=folder,
    )

    def show(evaluation: Evaluation) -> None:
        candidates.tidy(study.evaluations, study.front)
        work.progress.update(len(study.evaluations), s.evaluations, score=evaluation.score)

    with study:
        candidates.tidy(study.evaluations, study.front)
        if stage.done:
            return StandaloneResult(study.evaluations, study.front)
        if s.workers > 1 and not s.ray:  # one copy for all processes
            candidates.supernet.share()
            if candidates.teacher is not None:
                share_weights(candidates.teacher)
        with open_executor(s.workers, ray=s.ray, initializer=_begin, initargs=(candidates,)) as executor:
            result = search_standalone(
                study,
                _learn,
                costs,
                epochs=s.epochs,
                evaluations=s.evaluations,
                executor=executor,
                workers=s.workers,
                seconds=None if s.hours is None else 3600 * s.hours,
                folder=folder,
                progress=show,
            )
        candidates.tidy(study.evaluations, study.front, ended=not result.out_of_time)
        return result
