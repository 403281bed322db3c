"""From the front to ordinary models: choose, extract, recover, save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sublm.costs import cost_model
from sublm.errors import TargetError
from sublm.export import FORMS, save
from sublm.search import Evaluation
from sublm.spaces import Subnet
from sublm.stages.costs import costs_of
from sublm.stages.exports import export_model
from sublm.stages.reconstruction import extracted, reconstruction_inputs
from sublm.stages.search import Found
from sublm.stages.supernet import Prepared
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace
from sublm.supernet import is_stock
from sublm.training import fixed

TOLERANCE = 1.01
"""A size is met within one per cent: heads and blocks of neurons are coarse."""

NEAR = 0.9


@dataclass
class Point:
    """One model of the front.

    Attributes:
        name: Such as m25: a quarter of the largest's MACs.
        subnet: What it keeps.
        folder: Its transformers folder.
        stock: Whether it is of a stock transformers class.
        search_score: On the search split, as the search found it.
        recovered_search_score: On the search split, after recovery, in torch.
        before: Scores on the validation split before recovery.
        after: Scores on the validation split after it.
        train_seconds: Time of the recovery.
        latency: Measured, in milliseconds; filled in when all models are there.
        onnx: Its ONNX file, if one was written.
        costs: Its costs in closed form, by name.
        predicted_latency: In milliseconds, as the search believed; None if latency was not asked for.
        reconstruction: Scores on the search split as cut and as reconstructed; empty if that was not tried.
        deployed: Scores on the validation split as deployed, where that is not torch in fp32.
        deployed_search_score: On the search split, likewise.
        exports: The files it was written to; see `sublm.stages.exports`.
    """

    name: str
    subnet: Subnet
    folder: Path
    stock: bool
    search_score: float
    recovered_search_score: float
    before: dict[str, float]
    after: dict[str, float]
    train_seconds: float
    latency: dict[str, Any] | None = None
    onnx: Path | None = None
    costs: dict[str, float] = field(default_factory=dict)
    predicted_latency: float | None = None
    deployed: dict[str, float] | None = None
    reconstruction: dict[str, float] = field(default_factory=dict)
    deployed_search_score: float | None = None
    exports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def choosing_score(self) -> float:
        """What models are chosen by: the score on the search split in the form that is deployed."""
        return self.recovered_search_score if self.deployed_search_score is None else self.deployed_search_score


def choose(front: list[Evaluation], cost: str, number: int) -> list[Evaluation]:
    """Picks evaluations spread along a cost: for each target the best score that costs no more.

    Args:
        front: The front, with finite scores.
        cost: Name of the cost.
        number: How many at most.
    """
    usable = [evaluation for evaluation in front if math.isfinite(evaluation.score)]
    if len(usable) <= number:
        return sorted(usable, key=lambda e: e.costs[cost])
    chosen: dict[str, Evaluation] = {}
    for target in spread([e.costs[cost] for e in usable], number):
        fitting = [e for e in usable if e.costs[cost] <= target * 1.0001]
        best = max(fitting, key=lambda e: (e.score, -e.costs[cost]))
        chosen.setdefault(best.subnet.key, best)
    rest = [e for e in usable if e.subnet.key not in chosen]
    while len(chosen) < number and rest:  # two targets had the same best: fill the widest gap
        costs = sorted(math.log(e.costs[cost]) for e in chosen.values())
        farthest = max(rest, key=lambda e: min(abs(math.log(e.costs[cost]) - c) for c in costs))
        chosen[farthest.subnet.key] = farthest
        rest.remove(farthest)
    return sorted(chosen.values(), key=lambda e: e.costs[cost])


def choose_sizes(evaluations: list[Evaluation], whole: float, sizes: tuple[float, ...]) -> list[Evaluation]:
    """Picks for each share of the largest's MACs the best evaluation that comes near it from below.

    Near means within a tenth: a much smaller sub-network may look as good on the search split by chance, but the larger
    one gains more in the recovery. Where none is near, the largest below is taken.

    Args:
        evaluations: All evaluations; those given up early are passed over.
        whole: The largest's MACs.
        sizes: Shares.

    Raises:
        TargetError: If no evaluated sub-network is that small.
    """
    scored = [e for e in evaluations if math.isfinite(e.score) and not e.dropped]
    chosen: dict[str, Evaluation] = {}
    for size in sizes:
        limit = size * whole * TOLERANCE
        below = [e for e in scored if e.costs["macs"] <= limit]
        if not below:
            least = min((e.costs["macs"] for e in scored), default=math.nan) / whole
            raise TargetError(f"sizes: no sub-network with {size:.0%} of the MACs; the smallest has {least:.1%}.")
        near = [e for e in below if e.costs["macs"] >= NEAR * limit]
        best = max(near, key=lambda e: e.score) if near else max(below, key=lambda e: e.costs["macs"])
        chosen.setdefault(best.subnet.key, best)
    return sorted(chosen.values(), key=lambda e: e.costs["macs"])


def names_for(work: Workspace, prepared: Prepared, chosen: list[Evaluation], taken: Sequence[str] = ()) -> list[str]:
    """A name per model: its share of the largest's MACs in percent, with a letter where two are alike."""
    model = cost_model(prepared.supernet)
    whole = model.macs(prepared.supernet.largest)
    names: list[str] = []
    for evaluation in chosen:
        base = f"m{round(100 * model.macs(evaluation.subnet) / whole)}"
        letters = iter("bcdefghijklmnopqrstuvwxyz")
        name = base
        while name in names or name in taken:
            name = base + next(letters)
        names.append(name)
    return names


def chosen_models(work: Workspace, prepared: Prepared, found: Found) -> dict[str, Evaluation]:
    """The evaluations that become models, by name."""
    s = work.settings
    cost = next(name for name in s.objectives if name != "score")
    if s.sizes:
        model = cost_model(prepared.supernet)
        chosen = choose_sizes(found.eligible, model.macs(prepared.supernet.largest), s.sizes)
    else:
        chosen = choose(found.front, cost, s.models) if found.finalists is None else found.finalists.chosen
    return dict(zip(names_for(work, prepared, chosen), chosen, strict=True))


def extract_models(work: Workspace, prepared: Prepared, found: Found) -> dict[str, Any]:
    """Saves the chosen models as the super-network holds them, in `extracted/`."""
    folders = {}
    for name, evaluation in chosen_models(work, prepared, found).items():
        path = f"extracted/{name}"
        inputs = {"subnet": evaluation.subnet.to_dict()} | _own_weights(work, found)
        stage = work.stage(f"extract {name}", inputs, [path], upto="train")
        if not stage.done:
            with work.doing(stage, f"Extracting {name}"):
                model, _ = extracted(work, prepared, found, evaluation.subnet)
                save(model.to("cpu"), work.run.folder / path, tokenizer=work.tokenizer, overwrite=True)
        folders[name] = {"folder": str(work.run.folder / path), "score": evaluation.score, **evaluation.costs}
    return folders


def make_models(work: Workspace, teacher: TeacherResult, prepared: Prepared, found: Found) -> list[Point]:
    """Extracts, recovers, scores and saves the chosen models; each is a stage of its own."""
    chosen = chosen_models(work, prepared, found)
    return [make_model(work, teacher, prepared, found, evaluation, name) for name, evaluation in chosen.items()]


def _own_weights(work: Workspace, found: Found) -> dict[str, Any]:
    """What decides the weights of models that do not come out of the super-network as it holds them."""
    if found.mark:
        return {"standalone": found.mark}
    return {"reconstruction": reconstruction_inputs(work)} if work.settings.reconstruct else {}


def make_model(
    work: Workspace, teacher: TeacherResult, prepared: Prepared, found: Found, evaluation: Evaluation, name: str
) -> Point:
    """Extracts, recovers, scores and saves one model."""
    s, subnet = work.settings, evaluation.subnet
    folder = work.run.folder / "models" / name
    inputs = {
        "subnet": subnet.to_dict(),
        "epochs": s.recover_epochs,
        "learning_rate": s.learning_rate,
        "distillation": [s.temperature, s.hidden, s.label_weight, s.logits_weight, s.freeze_embeddings, s.dropout],
        "refit": s.refit,
        **_own_weights(work, found),
    }
    stage = work.stage(f"model {name}", inputs, [f"models/{name}", *work.answers_of(name)], upto="train")
    if not stage.done:
        recovers = s.recover_epochs > 0
        with work.doing(stage, f"{'Recovering' if recovers else 'Extracting'} {name}") as checkpoints:
            model, stage.result["reconstruction"] = extracted(work, prepared, found, subnet)
            stage.result["before"] = work.scores(model, "validation")
            if recovers:
                result = work.train(
                    model,
                    fixed(teach="teacher" if teacher.teaches else "labels"),
                    work.options(s.recover_epochs, s.learning_rate),
                    checkpoints,
                    teacher=teacher.model if teacher.teaches else None,
                    # Rows of the search split are trained on in a refit, so they cannot choose the best weights.
                    probe=None if s.refit else work.probe(model),
                    split="full_train" if s.refit else "train",
                    layers=subnet.layers,
                )
                stage.result["train_seconds"] = result.seconds
            stage.result["after"] = work.scores(model, "validation", keep=name)
            stage.result["search"] = work.scores(model, "search")[work.metric]
            save(model.to("cpu"), folder, tokenizer=work.tokenizer, overwrite=True)
    exports, deployed = export_model(work, name, folder)
    costs = cost_model(prepared.supernet)
    return Point(
        name=name,
        subnet=subnet,
        folder=folder,
        stock=is_stock(prepared.supernet, subnet),
        search_score=evaluation.score,
        recovered_search_score=_number(stage.result["search"]),
        before=stage.result["before"],
        after=stage.result["after"],
        train_seconds=stage.result.get("train_seconds", 0.0),
        onnx=folder / FORMS["onnx"].file if any(entry["name"] == "onnx" for entry in exports) else None,
        costs={
            "macs": costs.macs(subnet),
            "parameters": costs.parameters(subnet),
            "parameters_without_embeddings": costs.parameters(subnet, embeddings=False),
            "memory": costs_of(work, prepared, None)["memory"](subnet),
        },
        predicted_latency=evaluation.costs.get("latency"),
        deployed=deployed["validation"] if deployed else None,
        deployed_search_score=_number(deployed["search"][work.metric]) if deployed else None,
        exports=exports,
        reconstruction=stage.result.get("reconstruction", {}),
    )


def _number(value: float | None) -> float:
    """A score as it was: what is not a number is null in the record of a run."""
    return math.nan if value is None else value


def spread(costs: Sequence[float], number: int) -> list[float]:
    """Targets from the smallest to the largest cost, evenly spaced on a logarithmic scale."""
    low, high = min(costs), max(costs)
    if number == 1 or low == high:
        return [high]
    return [low * (high / low) ** (i / (number - 1)) for i in range(number)]
