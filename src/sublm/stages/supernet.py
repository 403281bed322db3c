"""From the teacher to a trained super-network: importance, order, space, training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sublm.costs import cost_model
from sublm.errors import RunError
from sublm.importance import Importance, compute_importance
from sublm.outputs import logits_of
from sublm.run import read_json, write_json
from sublm.spaces import SPACES, SearchSpace, StratifiedSampler, nested
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace, plural
from sublm.supernet import SuperNet
from sublm.tasks import build_model
from sublm.training import STRATEGIES
from sublm.training.distillation import label_loss

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
    """Scores the teacher's units on a few training batches."""
    method = work.settings.importance
    if method == "none":
        return None
    inputs = {"method": method, "batches": IMPORTANCE_BATCHES, "batch_size": work.settings.batch_size}
    outputs = ["importance.safetensors", "importance.json"]
    stage = work.stage("importance", inputs | {"seed": work.settings.seed}, outputs=outputs)
    if not stage.done:
        with work.doing(stage, f"Scoring units ({method})"):
            batches = islice(work.batches()(0), IMPORTANCE_BATCHES)
            inputs_only = ({k: v for k, v in batch.items() if k != "index"} for batch in batches)
            # A model that answers questions computes no loss from "labels".
            options = {"loss": _span_loss} if work.data.task.kind == "span" and method != "magnitude" else {}
            compute_importance(supernet, method, inputs_only, **options).save(work.run.folder)
    return Importance.load(work.run.folder)


def _span_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The loss of a batch with start and end positions as labels."""
    inputs = {name: values for name, values in batch.items() if name != "labels"}
    return label_loss("span", logits_of(model(**inputs)), batch["labels"], batch.get("attention_mask"))


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
    elif s.space == "nested":
        costs = cost_model(supernet)
        if importance is None:  # before the scores are known: any order of the units gives the same range of costs
            scores = torch.ones(supernet.shape.layers, supernet.shape.heads)
            neurons = torch.ones(supernet.shape.layers, supernet.shape.neurons)
            importance = SimpleNamespace(heads=scores, neurons=neurons)  # type: ignore[assignment]
        least = s.min_size * costs.macs(supernet.largest)
        space = nested(supernet, importance, costs.macs, step=s.step, least=least)
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
        space = SPACES[s.space](supernet, **options)
    if not write:
        return space
    data = space.to_dict()
    stage = work.stage("space", {"space": data}, outputs=["space.json"])
    if not stage.done:
        with work.doing(stage, f"Writing the search space ({space.name}, {space.size:.3g} settings)"):
            write_json(work.run.folder / "space.json", data)
    return space


def prepare_supernet(work: Workspace, teacher: TeacherResult) -> Prepared:
    """Makes the teacher's copy elastic, sorts its units and defines the space."""
    supernet = SuperNet(copy.deepcopy(teacher.model))
    importance = score_units(work, teacher, supernet)
    if importance is not None:
        importance = supernet.reorder(importance)
    return Prepared(supernet, importance, make_space(work, supernet, importance))


def provisional(work: Workspace) -> Prepared:
    """The super-network of the model as it was given, with a space of the final range: for plans and early checks."""
    model, _ = build_model(work.settings.model, work.data.task, seed=work.settings.seed)
    supernet = SuperNet(model)
    return Prepared(supernet, None, make_space(work, supernet, None, write=False))


def train_supernet(work: Workspace, teacher: TeacherResult, prepared: Prepared) -> None:
    """Trains the super-network in place; its weights are kept in `supernet/`."""
    s, supernet, space = work.settings, prepared.supernet, prepared.space
    if not s.epochs:
        return
    inputs = {
        "strategy": s.strategy,
        "epochs": s.epochs,
        "learning_rate": s.learning_rate,
        "random_nets": s.random_nets,
        "sampling": s.sampling,
        "temperature": s.temperature,
        "hidden": s.hidden,
        "freeze_embeddings": s.freeze_embeddings,
        "dropout": s.dropout,
        "optimizer": [s.weight_decay, s.warmup, s.schedule, s.clip, s.precision, s.batch_size],
        "teacher": teacher.teaches,
        "seed": s.seed,
    }
    stage = work.stage("train", inputs, outputs=["supernet"])
    path = work.run.folder / "supernet" / "model.safetensors"
    if not stage.done:
        with work.doing(
            stage, f"Training the super-network ({s.strategy}, {plural(s.epochs, 'epoch')})"
        ) as checkpoints:
            model = cost_model(supernet)
            options: dict[str, Any] = {"teach": "teacher" if teacher.teaches else "labels"}
            if s.strategy != "standard":
                sampler = StratifiedSampler(space, model.macs).sample if s.sampling == "stratified" else space.sample
                options |= {"random_nets": s.random_nets, "sampler": sampler}
            strategy = STRATEGIES[s.strategy](space, **options)
            result = work.train(
                supernet,
                strategy,
                work.options(s.epochs, s.learning_rate),
                checkpoints,
                teacher=teacher.model if teacher.teaches else None,
                probe=_probe(work, prepared),
            )
            stage.result |= {"train_seconds": result.seconds, "steps": result.steps, "best_step": result.best_step}
            path.parent.mkdir(exist_ok=True)
            weights = {name: tensor.contiguous().clone() for name, tensor in supernet.model.state_dict().items()}
            save_file(weights, path)
    supernet.model.load_state_dict(load_file(path))
    supernet.activate(supernet.largest)


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
