"""The search over the trained super-network, on the search split."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import LatencyPredictor, cost_model, fit_latency, memory, representative_lengths
from sublm.errors import LatencyError
from sublm.export import Deployment
from sublm.run import Stage, file_fingerprint, fingerprint, write_json
from sublm.search import Constraint, Evaluation, Finalists, check_constraints, parse_targets, search
from sublm.spaces import StratifiedSampler, Subnet
from sublm.stages.supernet import Prepared, family
from sublm.stages.workspace import Workspace

LATENCY_SAMPLES = 40
BUSY = 0.1
"""Held-out error of the latency predictor above which the user is warned."""
SAME_LENGTHS = 0.1
"""By how much the mean lengths may differ of texts that a predictor was fitted on and is used for."""
SEED_SHARES = (0.75, 0.5, 0.33, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Found:
    """What the search gives.

    Attributes:
        evaluations: Every evaluation.
        front: Those that no other beats.
        constraints: The targets as limits.
        predictor: Of latency, if it was asked for.
        finalists: What measuring the chosen ones found, if a latency was promised.
    """

    evaluations: list[Evaluation]
    front: list[Evaluation]
    constraints: tuple[Constraint, ...]
    predictor: LatencyPredictor | None
    finalists: Finalists | None = None


def wants_latency(work: Workspace) -> bool:
    """Whether the search needs latencies."""
    texts = " ".join(work.settings.target)
    return "latency" in work.settings.objectives or "latency" in texts or "speedup" in texts


def latency_options(work: Workspace) -> dict[str, Any]:
    """How latency is measured in this run: the lengths are those of the task's own validation texts."""
    s = work.settings
    lengths = representative_lengths(work.encoded["validation"].lengths.tolist(), samples=8)
    return {
        "runtime": s.runtime,
        "precision": s.runtime_precision,
        "threads": s.threads,
        "length": lengths,
        "batch": 1,
        "seed": s.seed,
    }


def costs_of(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None
) -> dict[str, Callable[[Subnet], float]]:
    """Every cost by name."""
    model = cost_model(prepared.supernet)
    longest, precision = int(work.encoded["validation"].lengths.max()), work.settings.runtime_precision
    costs: dict[str, Callable[[Subnet], float]] = {
        "macs": model.macs,
        "parameters": model.parameters,
        "memory": lambda subnet: memory(prepared.supernet, subnet, length=longest, precision=precision),
    }
    if predictor is not None:
        costs["latency"] = predictor
    return costs


def fit_predictor(work: Workspace, prepared: Prepared) -> LatencyPredictor | None:
    """Measures some tens of sub-networks and fits a latency predictor; only when latency is asked for.

    Latency depends on shapes, not on weights, so this needs no trained super-network.
    """
    if not wants_latency(work):
        return None
    options, given = latency_options(work), work.settings.predictor
    inputs: dict[str, Any] = options | {"model": work.model_fingerprint}
    if given is None:
        inputs |= {"samples": LATENCY_SAMPLES, "space": work.settings.space}
    else:
        inputs["predictor"] = file_fingerprint(Path(given))
    stage = work.stage("latency", inputs, ["latency.json"])
    path = work.run.folder / "latency.json"
    if not stage.done and given is not None:
        with work.doing(stage, f"Taking the latency predictor {given}"):
            write_json(path, _given_predictor(Path(given), options, force=work.settings.force).to_dict())
    elif not stage.done:
        with work.doing(stage, f"Measuring the latency of {LATENCY_SAMPLES} sub-networks") as folder:
            subnets = _sample(prepared, LATENCY_SAMPLES, work.settings.seed)
            predictor = fit_latency(
                prepared.supernet, subnets, prepare=deployer(work, folder), rounds=20, budget_s=90.0, **options
            )
            stage.result |= {"error": predictor.error, "tau": predictor.tau}
            write_json(path, predictor.to_dict())
    predictor = LatencyPredictor.load(path, force=work.settings.force)
    low, high = predictor.factors(0.9)
    work.progress.message(
        f"Latency is predicted with a held-out error of {predictor.error:.1%} (tau {predictor.tau:.2f}); nine of ten "
        f"measurements lie between {low - 1:+.0%} and {high - 1:+.0%}"
    )
    if predictor.error > BUSY:
        work.progress.warning(
            "The latencies scatter: is the machine busy? Targets on latency will be met less exactly."
        )
    return predictor


def check_target(work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None) -> tuple[Constraint, ...]:
    """Reads the targets and makes sure that something in the space meets them."""
    costs = costs_of(work, prepared, predictor)
    whole = {name: cost(prepared.supernet.largest) for name, cost in costs.items()}
    constraints = parse_targets(work.settings.target, whole)
    check_constraints(prepared.space, constraints, costs)
    return constraints


def search_subnets(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None, constraints: tuple[Constraint, ...]
) -> Found:
    """Searches; every evaluation is on disk at once, and an interrupted search goes on."""
    s, supernet = work.settings, prepared.supernet
    inputs = {
        "sampler": s.sampler,
        "objectives": s.objectives,
        "constraints": [str(constraint) for constraint in constraints],
        "seed": s.seed,
        "precision": work.precision,
        "predictor": fingerprint(predictor.to_dict()) if predictor else None,
    }
    stage: Stage = work.stage("search", inputs, ["search"])
    if stage.done and stage.result.get("evaluations", 0) < s.evaluations:
        stage.state = "cut off"  # more are asked for: the search goes on, and keeps what it has

    def evaluate(subnet: Subnet) -> dict[str, float]:
        supernet.activate(subnet)
        scores = work.scores(supernet.model, "search", precision=work.precision)
        return {"score": scores[work.metric], **scores}

    def show(evaluation: Evaluation) -> None:
        work.progress.update(evaluation.number + 1, s.evaluations, score=evaluation.score)

    def run_search() -> Any:
        return search(
            prepared.space,
            evaluate,
            costs_of(work, prepared, predictor),
            objectives=s.objectives,
            constraints=constraints,
            sampler=s.sampler,
            evaluations=s.evaluations,
            seed=s.seed,
            seeds=family(work, prepared, tuple(dict.fromkeys((*SEED_SHARES, *s.sizes)))),
            folder=work.run.folder / "search",
            progress=show,
        )

    if stage.done:
        result = run_search()  # reads the log; nothing is left to evaluate
    else:
        with work.doing(stage, f"Searching ({s.sampler}, {s.evaluations} sub-networks)"):
            result = run_search()
            stage.result["evaluations"] = max(len(result.evaluations), s.evaluations)  # a small space may hold fewer
    supernet.activate(supernet.largest)
    return Found(result.evaluations, result.front, constraints, predictor)


def _sample(prepared: Prepared, number: int, seed: int) -> list[Subnet]:
    """Sub-networks of the space, spread over the MACs; any others make up for what a small space lacks."""
    rng, shape = random.Random(seed), prepared.supernet.shape
    sampler = StratifiedSampler(prepared.space, cost_model(prepared.supernet).macs, bins=number)
    found = dict.fromkeys(prepared.space.decode(values) for values in sampler.spread(number, rng))
    for _ in range(number - len(found)):
        heads = tuple(rng.randint(1, shape.heads) for _ in range(shape.layers))
        neurons = tuple(rng.randint(1, shape.neurons) for _ in range(shape.layers))
        found[Subnet(heads, neurons, shape.hidden, shape.head_size)] = None
    return list(found)


def deployer(work: Workspace, folder: Path) -> Callable[[Any], Any]:
    """Brings each model it is given into the form that the run deploys; files go into the folder."""
    numbers = itertools.count()

    def deploy(model: Any) -> Any:
        scratch = folder / str(next(numbers))
        scratch.mkdir(parents=True, exist_ok=True)
        return Deployment(model, scratch, tokenizer=work.tokenizer).form(
            work.settings.runtime, work.settings.runtime_precision
        )

    return deploy


def _given_predictor(path: Path, options: dict[str, Any], *, force: bool) -> LatencyPredictor:
    """Reads a predictor and makes sure that it predicts what this run asks for."""
    predictor = LatencyPredictor.load(path, force=force)
    names = ("runtime", "precision", "threads", "batch")
    differing = [
        f"{name} {predictor.conditions.get(name)} there, {options[name]} here"
        for name in names
        if predictor.conditions.get(name) != options[name]
    ]
    means = [float(np.mean(lengths)) for lengths in (predictor.conditions.get("length", 0), options["length"])]
    if abs(means[0] / means[1] - 1) > SAME_LENGTHS and not force:
        differing.append(
            f"texts of {means[0]:.0f} tokens there, of {means[1]:.0f} here (--force takes it all the same)"
        )
    if differing:
        raise LatencyError(
            f"The latency predictor {path} was fitted under other conditions: {'; '.join(differing)}. Leave "
            "--predictor out to fit one."
        )
    return predictor
