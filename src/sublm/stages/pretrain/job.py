"""`sublm pretrain`: from a model and a text to a super-network of masked language models."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from sublm.errors import RunError, SubLMError
from sublm.export import longest_text
from sublm.files import fingerprint_model
from sublm.machine import describe_machine
from sublm.paths import check_folder
from sublm.pretraining import CorpusSteps
from sublm.progress import Progress, make_progress
from sublm.run import Run, read_json
from sublm.settings import check_settings
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.spaces.subnet import Subnet
from sublm.stages.pretrain.folders import (
    MODEL,
    SUPERNET,
    cut_from_run,
    detach_projection,
    extract_subnet,
    write_folder,
)
from sublm.stages.pretrain.models import CUT, check_vocabulary, load_student, student_tokenizer
from sublm.stages.pretrain.network import Network, check_names, objective_of, prepare, strategy_of
from sublm.stages.pretrain.settings import PretrainSettings
from sublm.stages.pretrain.text import Text, open_text
from sublm.stages.pretrain.validation import Curve, Validation, describe_subnets, watched
from sublm.stages.workspace import doing
from sublm.training import Strategy, Team, TrainOptions, TrainResult, open_team, train
from sublm.training.objectives import PretrainingObjective
from sublm.training.precision import evaluation_precision

VALIDATIONS = 10
"""Of a training whose settings do not say how often."""
CURVE = "validation.json"
"""File of a run: the validation loss over the steps."""
SIZES = ("largest", "median", "smallest")
"""Sub-networks by name, besides shapes."""


@dataclass(frozen=True)
class Job:
    """A training as every process of a team does it.

    Attributes:
        network: A super-network, or a plain model.
        strategy: Which sub-networks a step trains.
        options: Settings of the training.
        objective: What is lowered.
        teacher: Whom it learns from.
        text: What is trained on.
        folder: Where checkpoints go.
        identity: What else decides the training.
    """

    network: Any
    strategy: Strategy
    options: TrainOptions
    objective: PretrainingObjective
    teacher: nn.Module | None
    text: CorpusSteps
    folder: Path | None
    identity: Mapping[str, Any]

    def train(self, probe: Callable[[], float] | None, progress: Callable[..., None] | None = None) -> TrainResult:
        """Trains; a probe is called in the first process alone, but must be given to all or to none."""
        return train(
            self.network,
            self.text,
            self.strategy,
            self.options,
            steps_per_epoch=len(self.text),
            objective=self.objective,
            teacher=self.teacher,
            probe=probe,
            folder=self.folder,
            identity={**self.text.identity(), **self.identity},
            progress=progress,
        )


def pretrain(
    model: str,
    corpus: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    shapes: Sequence[str] = (),
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Pre-trains a super-network of masked language models, or one model, on text.

    Killed at any moment, the same call goes on where it was; started by `torchrun`, all processes train together.

    Args:
        model: A transformers encoder: a folder, or a name on the hub.
        corpus: A folder that `sublm pretrain-data` wrote, or texts.
        out: The run directory; `runs/pretrain-MODEL` by default.
        shapes: What to cut out of the trained super-network into `models/`: "largest", "median", "smallest", or
            layers-hidden-neurons-heads-attention width. May be asked for later: the training is not done again.
        dry_run: Check everything, and give the plan with its estimated time instead.
        overwrite: Use the run directory though it holds a run with other settings.
        quiet: Show nothing but errors.
        **settings: Any other field of `PretrainSettings`.

    Returns:
        Where the results are, and the validation losses; or the plan.

    Raises:
        SubLMError: If anything the user gave cannot be used; nothing long has been done by then.
    """
    texts = [corpus] if isinstance(corpus, (str, Path)) else list(corpus)
    check_settings(settings, PretrainSettings)
    asked = PretrainSettings(str(model), tuple(str(text) for text in texts), **settings)
    folder = Path(out) if out is not None else asked.default_folder
    return execute(asked, folder, make_progress(quiet=quiet), shapes=shapes, dry_run=dry_run, overwrite=overwrite)


def execute(
    settings: PretrainSettings,
    folder: Path,
    progress: Progress,
    *,
    shapes: Sequence[str] = (),
    dry_run: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Runs a pre-training; of several processes, the first does so and the others train with it."""
    team = open_team()
    if not team.leads:
        return _train_along(team)
    try:
        result = _execute(settings, folder, progress, team, shapes, dry_run=dry_run, overwrite=overwrite)
    except (SubLMError, OSError) as error:
        team.dismiss(error=error)
        raise
    team.dismiss(result)
    return result


def _train_along(team: Team) -> dict[str, Any]:
    jobs = team.jobs()
    while True:
        try:
            job: Job = next(jobs)
        except StopIteration as end:
            return end.value
        with suppress(SubLMError):  # met by all at once: the first one tells
            job.train(lambda: math.nan)


def _execute(
    settings: PretrainSettings,
    folder: Path,
    progress: Progress,
    team: Team,
    shapes: Sequence[str],
    *,
    dry_run: bool,
    overwrite: bool,
) -> dict[str, Any]:
    check_names(settings)
    for name in ("model", "teacher"):
        check_folder(name, getattr(settings, name))
    with Run(folder, settings.to_dict(), overwrite=overwrite, seed=settings.seed) as run:
        run.remember("settings", settings.to_dict())
        tokenizer = student_tokenizer(settings.model, settings.corpus, from_scratch=settings.from_scratch)
        if settings.teacher is not None:
            check_vocabulary(tokenizer, settings.teacher, settings.model)
        student = load_student(settings.model, from_scratch=settings.from_scratch, tokenizer=tokenizer)
        longest = longest_text(student.model)
        text = open_text(settings, folder, tokenizer, longest, progress)
        marks = {"model": fingerprint_model(settings.model), "text": text.steps.identity(), "seed": settings.seed}
        network = prepare(settings, run, text, tokenizer, progress, marks, plan=dry_run)
        asked = _asked(network, shapes, settings)
        if dry_run:
            return _plan(settings, network, text)
        trained = _train(settings, run, network, text, tokenizer, progress, team, marks)
        written = {}
        for name, subnet in asked.items():
            written[name] = str(_cut(run, name, subnet, progress))
        return {**trained, "models": written}


def _asked(network: Network, shapes: Sequence[str], settings: PretrainSettings) -> dict[str, Subnet]:
    """The sub-networks to be written, by name; refused before the training if one does not fit."""
    if not shapes:
        return {}
    if network.supernet is None or network.space is None:
        raise RunError("shapes are cut from a super-network, and the model is trained as it is: leave shapes out.")
    known = watched(network.supernet, network.space, settings.seed)
    return {name: known[name] if name in SIZES else read_shape(name, network.supernet.shape) for name in shapes}


def _train(
    settings: PretrainSettings,
    run: Run,
    network: Network,
    text: Text,
    tokenizer: Any,
    progress: Progress,
    team: Team,
    marks: Mapping[str, Any],
) -> dict[str, Any]:
    """Trains, watches the validation loss, and writes the network."""
    name = MODEL if network.supernet is None else SUPERNET
    options = _options(settings, text)
    inputs = {
        **{key: value for key, value in settings.to_dict().items() if key not in ("model", "corpus", "teacher")},
        **marks,
        "teacher": None if settings.teacher is None else fingerprint_model(settings.teacher),
        "validation": text.fingerprint,
    }
    stage = run.stage("pretrain", inputs, outputs=[name, CURVE])
    folder = run.folder / name
    if not stage.done:
        objective = objective_of(network)
        subnets: dict[str, Subnet | None] = {"model": None}
        about: dict[str, Any] = {}
        if network.supernet is not None and network.space is not None:
            found = watched(network.supernet, network.space, settings.seed)
            subnets, about = {**found}, {"subnets": describe_subnets(network.supernet, found)}
        steps = math.ceil(len(text.steps) / settings.accumulation)
        per_step = round(settings.batch_size * settings.accumulation * text.tokens)
        about |= {"objective": network.terms.to_dict(), "pieces": text.held_out, "machine": describe_machine()}
        curve = Curve(run.folder / CURVE, about, per_step)
        if not stage.cut_off:
            curve.clear()
        precision = evaluation_precision(settings.precision)
        validation = Validation(objective, text.validation, teacher=network.teacher, precision=precision)
        latest: list[dict[str, float]] = []

        def losses() -> list[dict[str, float]]:
            """The objective's and, where that is another, the masked tokens' alone."""
            both = network.teacher is not None and network.terms.predicts
            judged = network.trained, list(subnets.values())
            found = validation.losses_both(*judged) if both else (validation.losses(*judged),)
            return [dict(zip(subnets, values, strict=True)) for values in found]

        def note(step: int, found: list[dict[str, float]], loss: float | None = None) -> None:
            curve.add(step, found[0], loss, found[1] if len(found) > 1 else None)

        def probe() -> float:
            latest[:] = losses()
            return -sum(latest[0].values()) / len(latest[0])

        def show(step: int, steps: int, loss: float, rate: float) -> None:
            if latest:  # the loop probes before it tells how far it is
                note(step, latest, loss)
                latest.clear()
            progress.update(step, steps, loss=loss)

        title = f"Pre-training ({settings.objective}, {steps} steps)"
        with doing(run, progress, stage, title) as checkpoints:
            if 0 not in curve:
                note(0, losses())
            identity = {"model": marks["model"], "teacher": inputs["teacher"]}
            job = Job(
                network.trained,
                strategy_of(settings, network),
                options,
                objective,
                network.teacher,
                text.steps,
                checkpoints,
                identity,
            )
            with team.training(job):
                result = job.train(probe, show)
            stage.result |= {
                "steps": result.steps,
                "best_step": result.best_step,
                "train_seconds": result.seconds,
                "precision": result.precision,
                "losses": next(p["losses"] for p in curve.points if p["step"] == result.best_step),
            }
            _write(settings, network, folder, tokenizer)
    return {"run": str(run.folder), name: str(folder), **stage.result}


def _write(settings: PretrainSettings, network: Network, folder: Path, tokenizer: Any) -> None:
    """Writes the trained network as a complete folder."""
    if network.supernet is not None:
        network.supernet.model.cpu()
        extract_subnet(network.supernet, network.supernet.largest, folder, tokenizer=tokenizer, overwrite=True)
        (folder / CUT).unlink()  # it is the whole, and others are cut from it
        return
    model = network.student.model.cpu()
    projection = detach_projection(model)
    weights = projection.state_dict() if projection is not None else None
    source = Path(settings.model) / CUT
    notes = read_json(source) if source.is_file() else None
    write_folder(model, folder, tokenizer=tokenizer, projection=weights, notes=notes, overwrite=True)


def _cut(run: Run, name: str, subnet: Subnet, progress: Progress) -> Path:
    """Writes a sub-network, unless it is there."""
    path = f"models/{name}"
    stage = run.stage(f"cut {name}", {"subnet": subnet.to_dict()}, after=["pretrain"], outputs=[path])
    if not stage.done:
        with doing(run, progress, stage, f"Writing the sub-network {name} ({shape_name(subnet)})"):
            cut_from_run(run.folder, subnet, run.folder / path, overwrite=True)
    return run.folder / path


def _options(settings: PretrainSettings, text: Text) -> TrainOptions:
    steps = math.ceil(len(text.steps) / settings.accumulation)
    every = settings.validate_every or max(1, steps // VALIDATIONS)
    return TrainOptions(
        epochs=1,  # of `CorpusSteps`, which counts in steps
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        schedule=settings.schedule,
        clip=settings.clip,
        precision=settings.precision,
        accumulation=settings.accumulation,
        parts=settings.parts,
        seed=settings.seed,
        probe_every=every,
    )


PLANNED_STEPS = 2
"""Steps of a copy that are timed for a plan."""


def _plan(settings: PretrainSettings, network: Network, text: Text) -> dict[str, Any]:
    """What would be done, and about how long it takes by a few steps of a copy."""
    rates: list[float] = []
    steps = math.ceil(len(text.steps) / settings.accumulation)
    few = replace(text.steps, number=PLANNED_STEPS * settings.accumulation)
    options = replace(_options(settings, text), log_every=PLANNED_STEPS, probe_every=0)
    copied = copy.deepcopy(network.trained)
    strategy = strategy_of(settings, network)
    teacher = copy.deepcopy(network.teacher)
    job = Job(copied, strategy, options, objective_of(network), teacher, few, None, {})
    job.train(None, lambda step, steps, loss, rate: rates.append(rate))
    plan: dict[str, Any] = {
        "pieces": text.pieces,
        "validated_on": text.held_out,
        "steps": steps,
        "epochs": round(len(text.steps) * settings.batch_size / text.pieces, 2),
        "tokens": round(len(text.steps) * settings.batch_size * text.tokens),
        "objective": network.terms.to_dict(),
        "seconds": round(steps / rates[-1], 1),
    }
    if network.supernet is not None and network.space is not None:
        plan["space"] = {"name": network.space.name, "settings": network.space.size}
        found = watched(network.supernet, network.space, settings.seed)
        plan["subnets"] = describe_subnets(network.supernet, found)
    return plan
