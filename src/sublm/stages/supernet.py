"""From the teacher to a trained super-network: importance, order, space, training."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sublm.costs import cost_model
from sublm.errors import RunError
from sublm.files import write_text
from sublm.importance import IMPORTANCE, Importance, Movement, MovementOptions, compute_importance
from sublm.progress import plural
from sublm.run import file_fingerprint, read_json
from sublm.settings import Settings
from sublm.spaces import SPACES, SearchSpace, StratifiedSampler, from_importance, nested
from sublm.stages.spaces import read_targets
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace
from sublm.supernet import SuperNet
from sublm.supernet.layout import find_layout
from sublm.tasks import build_model
from sublm.training import STRATEGIES, Strategy, TrainStage, fixed, held, read_stages, restrict

IMPORTANCE_BATCHES = 32
"""A thousand rows at the default batch size."""


@dataclass(frozen=True)
class Prepared:
    """A super-network ready to be trained or searched.

    Attributes:
        supernet: Sorted by importance, with the trained weights after `train_supernet`.
        importance: Scores in the sorted order; None if units were left as they are.
        space: Where to search.
    """

    supernet: SuperNet
    importance: Importance | None
    space: SearchSpace


def score_units(work: Workspace, teacher: TeacherResult, supernet: SuperNet) -> Importance | None:
    """Scores the teacher's units: on a few training batches, or by learning scores in a fine-tuning of their own."""
    method = work.settings.importance
    if method == "none":
        return None
    if method == "movement":
        return learn_movement(work)
    if method not in IMPORTANCE:
        return _take_importance(work)
    inputs: dict[str, Any] = {"method": method, "batches": IMPORTANCE_BATCHES, "batch_size": work.settings.batch_size}
    inputs["start"] = work.settings.start
    outputs = ["importance.safetensors", "importance.json"]
    stage = work.stage("importance", inputs | {"seed": work.settings.seed}, outputs=outputs)
    if not stage.done:
        with work.doing(stage, f"Scoring units ({method})"):
            batches = islice(work.batches()(0), IMPORTANCE_BATCHES)
            inputs_only = ({k: v for k, v in batch.items() if k != "index"} for batch in batches)
            options = {"loss": work.score_loss()} if method != "magnitude" else {}
            compute_importance(supernet, method, inputs_only, **options).save(work.run.folder)
    return Importance.load(work.run.folder)


def _take_importance(work: Workspace) -> Importance:
    """Copies saved scores into the run."""
    folder = Path(work.settings.importance)
    given = Importance.load(folder)
    inputs = {name: file_fingerprint(folder / name) for name in ("importance.json", "importance.safetensors")}
    stage = work.stage("importance", inputs, outputs=[*inputs])
    if not stage.done:
        with work.doing(stage, f"Taking the scores of {folder}"):
            given.save(work.run.folder)
    return given


def learn_movement(work: Workspace) -> Importance:
    """Fine-tunes the model as it was given, with movement scores; only the scores are kept.

    It starts from the given model rather than from the teacher, whose weights have arrived and move no more. The
    learning rate falls linearly over twice the epochs, as published, and the phase ends with its warm-up.
    """
    s = work.settings
    inputs = {
        "method": "movement",
        "model": work.model_fingerprint,
        "epochs": s.movement_epochs,
        "learning_rate": s.movement_learning_rate,
        "penalty": s.movement_penalty,
        "warmup_start": s.movement_warmup_start,
        "reduction": s.movement_reduction,
        "optimizer": [s.warmup, s.clip, s.precision, s.batch_size],
        "data": work.data.fingerprint,
        "seed": s.seed,
    }
    stage = work.stage("importance", inputs, outputs=["importance.safetensors", "importance.json"])
    if not stage.done:
        with work.doing(
            stage, f"Learning movement scores ({plural(s.movement_epochs, 'epoch')} of fine-tuning)"
        ) as checkpoints:
            model, _ = build_model(s.model, work.data.task, seed=s.seed)
            moving = Movement(model, find_layout(model), MovementOptions(s.movement_penalty, s.movement_warmup_start))
            options = work.options(s.movement_epochs, s.movement_learning_rate)
            result = work.train(
                moving,
                fixed(teach="labels"),
                replace(options, schedule="linear", weight_decay=0.0, horizon=2.0 * s.movement_epochs),
                checkpoints,
                student=False,
                hooks=moving,
            )
            stage.result |= {"train_seconds": result.seconds, "masked": moving.masked()}
            moving.importance(s.movement_reduction).save(work.run.folder)  # type: ignore[arg-type]
    return Importance.load(work.run.folder)


def make_space(
    work: Workspace, supernet: SuperNet, importance: Importance | None, *, write: bool = True
) -> SearchSpace:
    """The search space by name, or from a file; written to `space.json` unless it is a provisional one."""
    s = work.settings
    path = Path(s.space)
    if path.suffix == ".json":
        space = SearchSpace.from_dict(read_json(path))
        if space.shape != supernet.shape:
            raise RunError(f"{path} belongs to a model of shape {space.shape}; this one has {supernet.shape}.")
        space.largest.check(supernet.shape)  # a file edited by hand may ask for more than there is
    elif s.space in ("nested", "importance"):
        costs = cost_model(supernet)
        if importance is None:  # before the scores are known: any order of the units gives the same range of costs
            scores = torch.ones(supernet.shape.layers, supernet.shape.heads)
            neurons = torch.ones(supernet.shape.layers, supernet.shape.neurons)
            flat = SimpleNamespace(heads=scores, neurons=neurons, details={"reduction": "mean"})
            importance = flat  # type: ignore[assignment]
        whole = costs.macs(supernet.largest)
        if s.space == "nested":
            space = nested(supernet, importance, costs.macs, step=s.step, least=s.min_size * whole)
        else:
            targets = read_targets(s.space_min, s.space_max, s.space_steps, whole)
            space = from_importance(supernet, importance, costs.macs, targets, align=s.step)
    else:
        options: dict[str, Any] = {"step": s.step}
        if s.space == "small":
            # Depth is dear: what loses layers trains badly and draws steps away from what lives.
            options["min_layers"] = supernet.shape.layers if s.min_layers is None else s.min_layers
            if importance is not None:
                options["layer_order"] = importance.layer_order()
        elif s.space == "medium":
            # A half-layer that is left out is lost to all: at least one head and one block of neurons stay.
            options |= {"min_heads": 1, "min_neurons": s.step}
        elif s.space == "uniform":
            options["stock"] = s.stock
            if s.stock:
                options["min_layers"] = s.min_layers
                options["layer_order"] = importance.layer_order() if importance is not None else None
        space = SPACES[s.space](supernet, **options)
    supernet.check(space.smallest)  # smaller heads, for example, where the family keeps their size
    if s.train_stages is not None:
        restrict(space, training_plan(s)[-1])  # refuses a space that has no stages
    if not write:
        return space
    data = space.to_dict()
    stage = work.stage("space", {"space": data}, outputs=["space.json"])
    if not stage.done:
        with work.doing(stage, f"Writing the search space ({space.name}, {space.size:.3g} settings)"):
            write_text(work.run.folder / "space.json", space.to_json() + "\n")
    return space


def prepare_supernet(work: Workspace, teacher: TeacherResult) -> Prepared:
    """Makes a copy of the teacher, or the model as it was given, elastic, sorts its units and defines the space."""
    s = work.settings
    if s.start == "model" and teacher.teaches:
        supernet = SuperNet(build_model(s.model, work.data.task, seed=s.seed)[0])
    else:
        supernet = SuperNet(copy.deepcopy(teacher.model))
    importance = score_units(work, teacher, supernet)
    if importance is not None:
        if s.hidden:  # channels stay as they are: the hidden states are compared with the teacher's, one by one
            importance = replace(importance, hidden=torch.zeros_like(importance.hidden))
        importance = supernet.reorder(importance)
    return Prepared(supernet, importance, make_space(work, supernet, importance))


def provisional(work: Workspace) -> Prepared:
    """The super-network of the model as it was given, with a space of the final range: for plans and early checks."""
    model, _ = build_model(work.settings.model, work.data.task, seed=work.settings.seed)
    supernet = SuperNet(model)
    importance = None
    if work.settings.importance not in (*IMPORTANCE, "none"):  # saved scores: here they are found not to fit
        importance = supernet.reorder(Importance.load(Path(work.settings.importance)))
    return Prepared(supernet, importance, make_space(work, supernet, importance, write=False))


def training_inputs(work: Workspace, teacher: TeacherResult) -> dict[str, Any]:
    """The settings that decide what a training of sub-networks, together or each alone, comes to."""
    s = work.settings
    return {
        "start": s.start,
        "epochs": s.epochs,
        "learning_rate": s.learning_rate,
        "temperature": s.temperature,
        "hidden": s.hidden,
        "weights": [s.label_weight, s.logits_weight],
        "freeze_embeddings": s.freeze_embeddings,
        "dropout": s.dropout,
        "optimizer": [s.weight_decay, s.warmup, s.schedule, s.clip, s.precision, s.batch_size],
        "teacher": teacher.teaches,
        "seed": s.seed,
    }


def train_supernet(work: Workspace, teacher: TeacherResult, prepared: Prepared) -> None:
    """Trains the super-network in place; its weights are kept in `supernet/`."""
    s, supernet, space = work.settings, prepared.supernet, prepared.space
    if not s.epochs:
        return
    inputs = training_inputs(work, teacher) | {
        "strategy": s.strategy,
        "random_nets": s.random_nets,
        "sampling": s.sampling,
    }
    plan = training_plan(s)
    if s.train_stages is not None:
        inputs["stages"] = [stage.to_dict() for stage in plan]
    stage = work.stage("train", inputs, outputs=["supernet"])
    path = work.run.folder / "supernet" / "model.safetensors"
    if not stage.done:
        epochs = plural(sum(part.epochs for part in plan), "epoch")
        with work.doing(stage, f"Training the super-network ({s.strategy}, {epochs})") as checkpoints:
            seconds, steps, trained = 0.0, 0, 0
            for number, part in enumerate(plan):
                last = number == len(plan) - 1
                opened = space if s.train_stages is None else restrict(space, part)
                options = work.options(part.epochs, part.init_lr or s.learning_rate)
                if s.train_stages is not None:  # as published: a cosine of its own for every stage, without warm-up
                    options = replace(options, schedule="cosine", warmup=0.0, horizon=float(part.epochs_lr or 0))
                result = work.train(
                    supernet,
                    held(_strategy(work, teacher, supernet, opened), part.sample_rate, seed=s.seed),
                    options,
                    checkpoints if last else checkpoints / f"stage-{number}",
                    teacher=teacher.model if teacher.teaches else None,
                    # Before the last stage, small sub-networks are not trained: their scores choose nothing.
                    probe=_probe(work, prepared) if last else None,
                    first_epoch=trained,
                )
                seconds, steps, trained = seconds + result.seconds, steps + result.steps, trained + part.epochs
            stage.result |= {"train_seconds": seconds, "steps": steps, "best_step": result.best_step}
            path.parent.mkdir(exist_ok=True)
            weights = {name: tensor.contiguous().clone() for name, tensor in supernet.model.state_dict().items()}
            save_file(weights, path)
    supernet.model.load_state_dict(load_file(path))
    supernet.activate(supernet.largest)


def training_plan(settings: Settings) -> tuple[TrainStage, ...]:
    """The stages of the training: those of the file, or one that trains everything.

    Raises:
        RunError: If the file cannot be read.
        TrainingError: If it does not hold stages.
    """
    if settings.train_stages is None:
        return (TrainStage(epochs=settings.epochs),)
    return read_stages(read_json(settings.train_stages))


def _strategy(work: Workspace, teacher: TeacherResult, supernet: SuperNet, space: SearchSpace) -> Strategy:
    """The strategy of the settings on a space."""
    s = work.settings
    options: dict[str, Any] = {"teach": "teacher" if teacher.teaches else "labels"}
    if s.strategy != "standard":
        uniform = s.sampling != "stratified" or space.size == 1
        sampler = space.sample if uniform else StratifiedSampler(space, cost_model(supernet).macs).sample
        options |= {"random_nets": s.random_nets, "sampler": sampler}
    return STRATEGIES[s.strategy](space, **options)


def _probe(work: Workspace, prepared: Prepared) -> Any:
    """Mean search score of a few sub-networks across the sizes; the best weights are those that serve them all."""
    supernet = prepared.supernet
    probes = family(work, prepared, (0.5, 0.25, 0.1))

    def score() -> float:
        found = []
        for subnet in probes:
            supernet.activate(subnet)
            value = work.scores(supernet.model, "search", precision=work.precision)[work.metric]
            found.append(value if value == value else 0.0)
        return sum(found) / len(found)

    return score


def family(work: Workspace, prepared: Prepared, shares: tuple[float, ...]) -> list[Any]:
    """Sub-networks of the space at shares of the largest's MACs: good first guesses, and probes of a training."""
    import random

    model = cost_model(prepared.supernet)
    whole, least = model.macs(prepared.supernet.largest), model.macs(prepared.space.smallest)
    rng = random.Random(work.settings.seed)
    found = []
    for share in shares:
        target = max(share * whole, least * 1.02)
        sampler = StratifiedSampler(prepared.space, model.macs, bins=1, low=least, high=target)
        near = max((sampler.sample(rng) for _ in range(64)), key=model.macs)
        found.append(near)
    return found
