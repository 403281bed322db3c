"""The search over the trained super-network, on the search split."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from sublm.costs import LatencyPredictor, cost_model, fit_latency, representative_lengths
from sublm.errors import RunError
from sublm.run import Stage, fingerprint, read_json, write_json
from sublm.search import SAMPLERS, Constraint, Evaluation, check_constraints, parse_targets, search
from sublm.search.samplers import Sampler, check_sampler
from sublm.settings import Settings
from sublm.spaces import StratifiedSampler, Subnet
from sublm.stages.evaluator import Evaluator, weights_fingerprint
from sublm.stages.supernet import Prepared, family
from sublm.stages.workspace import Workspace

LATENCY_SAMPLES = 24
BUSY = 0.1
"""Held-out error of the latency predictor above which the user is warned."""
SEED_SHARES = (0.75, 0.5, 0.33, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Found:
    """What the search gives.

    Attributes:
        evaluations: Every evaluation.
        front: Those that no other beats.
        constraints: The targets as limits.
        predictor: Of latency, if it was asked for.
        trained: Of a standalone search, where the front's own trained models are, one folder each by key.
        mark: What a standalone search was made from; empty for one that shares weights.
    """

    evaluations: list[Evaluation]
    front: list[Evaluation]
    constraints: tuple[Constraint, ...]
    predictor: LatencyPredictor | None
    trained: Path | None = None
    mark: str = ""

    @property
    def eligible(self) -> list[Evaluation]:
        """The evaluations that can become models: trained alone, only those of the front were kept."""
        return self.evaluations if self.trained is None else self.front

    def model(self, prepared: Prepared, subnet: Subnet) -> Any:
        """The ordinary model of a sub-network, with the weights it was evaluated with."""
        if self.trained is None:
            return prepared.supernet.extract(subnet)
        from sublm.export import load

        return load(self.trained / subnet.key / "model")


def wants_latency(work: Workspace) -> bool:
    """Whether the search needs latencies."""
    texts = " ".join(work.settings.target)
    return "latency" in work.settings.objectives or "latency" in texts or "speedup" in texts


def latency_options(work: Workspace) -> dict[str, Any]:
    """How latency is measured in this run: the lengths are those of the task's own validation texts."""
    s = work.settings
    lengths = representative_lengths(work.encoded["validation"].lengths.tolist(), samples=8)
    return {"runtime": s.runtime, "threads": s.threads, "length": lengths, "batch": 1, "seed": s.seed}


def costs_of(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None
) -> dict[str, Callable[[Subnet], float]]:
    """Every cost by name."""
    model = cost_model(prepared.supernet)
    costs: dict[str, Callable[[Subnet], float]] = {"macs": model.macs, "parameters": model.parameters}
    if predictor is not None:
        costs["latency"] = predictor
    return costs


def fit_predictor(work: Workspace, prepared: Prepared) -> LatencyPredictor | None:
    """Measures some tens of sub-networks and fits a latency predictor; only when latency is asked for.

    Latency depends on shapes, not on weights, so this needs no trained super-network.
    """
    if not wants_latency(work):
        return None
    options = latency_options(work)
    inputs = options | {"samples": LATENCY_SAMPLES, "model": work.model_fingerprint, "space": work.settings.space}
    stage = work.stage("latency", inputs, ["latency.json"])
    path = work.run.folder / "latency.json"
    if not stage.done:
        with work.doing(stage, f"Measuring the latency of {LATENCY_SAMPLES} sub-networks") as folder:
            sampler = StratifiedSampler(prepared.space, cost_model(prepared.supernet).macs, bins=LATENCY_SAMPLES)
            values = sampler.spread(LATENCY_SAMPLES, random.Random(work.settings.seed))
            subnets = list(dict.fromkeys(prepared.space.decode(value) for value in values))
            prepare = None
            if work.settings.runtime == "onnx":
                folder.mkdir(parents=True, exist_ok=True)
                prepare = _onnx_writer(folder)
            predictor = fit_latency(prepared.supernet, subnets, prepare=prepare, rounds=12, **options)
            stage.result |= {"error": predictor.error, "tau": predictor.tau}
            write_json(path, predictor.to_dict())
    predictor = LatencyPredictor.from_dict(read_json(path))
    work.progress.message(
        f"Latency is predicted with a held-out error of {predictor.error:.1%} (tau {predictor.tau:.2f})"
    )
    if predictor.error > BUSY:
        work.progress.warning(
            "The latencies scatter: is the machine busy? Targets on latency will be met less exactly."
        )
    return predictor


def make_sampler(settings: Settings) -> Sampler:
    """The sampler of the settings.

    Raises:
        RunError: If it has no generations, and a size of them was given.
    """
    kind: Any = SAMPLERS[settings.sampler]
    if settings.population is None:
        return kind()
    if "population" not in signature(kind).parameters:
        having = [name for name, other in SAMPLERS.items() if "population" in signature(other).parameters]
        raise RunError(
            f"The sampler {settings.sampler} has no generations: leave population out; {', '.join(having)} have them."
        )
    return kind(population=settings.population)


def check_target(work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None) -> tuple[Constraint, ...]:
    """Reads the targets and makes sure that something in the space meets them, and that the sampler can search it."""
    check_sampler(make_sampler(work.settings), prepared.space)
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
        "population": s.population,
        "objectives": s.objectives,
        "constraints": [str(constraint) for constraint in constraints],
        "seed": s.seed,
        "precision": work.precision,
        "predictor": fingerprint(predictor.to_dict()) if predictor else None,
    }
    stage: Stage = work.stage("search", inputs, ["search"])
    if stage.done and stage.result.get("evaluations", 0) < s.evaluations:
        stage.state = "cut off"  # more are asked for: the search goes on, and keeps what it has

    evaluate = Evaluator(supernet, work.encoded["search"], work.data.task, work.precision)
    if s.workers > 1 and not s.ray and not stage.done:
        supernet.share()
    done = 0

    def show(evaluation: Evaluation) -> None:
        nonlocal done
        done = max(done, evaluation.number + 1)  # workers end out of order
        work.progress.update(done, s.evaluations, score=evaluation.score)

    def run_search() -> Any:
        return search(
            prepared.space,
            evaluate,
            costs_of(work, prepared, predictor),
            objectives=s.objectives,
            constraints=constraints,
            sampler=make_sampler(s),
            evaluations=s.evaluations,
            seed=s.seed,
            seeds=[*prepared.space.seeds, *family(work, prepared, tuple(dict.fromkeys((*SEED_SHARES, *s.sizes))))],
            folder=work.run.folder / "search",
            progress=show,
            workers=s.workers,
            ray=s.ray,
            storage=s.storage,
            identity=score_identity(work, prepared, predictor) if s.storage else None,
        )

    if stage.done:
        result = run_search()  # reads the log; nothing is left to evaluate
    else:
        with work.doing(stage, f"Searching ({s.sampler}, {s.evaluations} sub-networks)"):
            result = run_search()
            stage.result["evaluations"] = max(len(result.evaluations), s.evaluations)  # a small space may hold fewer
    supernet.activate(supernet.largest)
    return Found(result.evaluations, result.front, constraints, predictor)


def score_identity(work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None) -> dict[str, Any]:
    """What the scores and costs of the search depend on: searches with the same may share a study."""
    return {
        "weights": weights_fingerprint(prepared.supernet.model),
        "data": work.data.fingerprint,
        "max_length": work.settings.max_length,
        "precision": work.precision,
        "predictor": predictor.to_dict() if predictor else None,
    }


def _onnx_writer(folder: Any) -> Callable[[Any], Any]:
    """Writes each extracted model as ONNX and gives its path."""
    from itertools import count

    from sublm.export import export_onnx

    numbers = count()

    def write(model: Any) -> Any:
        path = folder / f"{next(numbers)}.onnx"
        export_onnx(model, path)
        return path

    return write
