"""The search over the trained super-network, on the search split."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import LatencyPredictor
from sublm.errors import RunError
from sublm.evaluation import Parts, SubnetEvaluator, compare_precisions, is_raceable
from sublm.progress import plural
from sublm.run import Stage, fingerprint, read_json, write_json
from sublm.search import (
    SAMPLERS,
    Constraint,
    Evaluation,
    Finalists,
    check_constraints,
    pareto,
    parse_targets,
    search,
    target_cost,
)
from sublm.search.racing import Racing, in_words, review, summarise
from sublm.search.samplers import Sampler, check_sampler
from sublm.settings import Settings
from sublm.spaces import Subnet
from sublm.stages.costs import costs_of
from sublm.stages.evaluator import Evaluator, weights_fingerprint
from sublm.stages.supernet import Prepared, family
from sublm.stages.workspace import Workspace
from sublm.tasks import score

CHECKED, CHECK_ROWS = 6, 100
"""Sub-networks, and rows at least, on which a precision is compared with fp32."""
SEED_SHARES = (0.75, 0.5, 0.33, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Found:
    """What the search gives.

    Attributes:
        evaluations: Every evaluation.
        front: Those that no other beats; all of them were evaluated on all rows.
        constraints: The targets as limits.
        predictor: Of latency, if it was asked for.
        trained: Where models with weights of their own are, one folder each by key: those of the front of a
            standalone search, or those that were reconstructed without training.
        mark: What these were made from; empty for a search that shares weights.
        racing: What giving up early saved, if it was done; see `sublm.search.racing.summarise`.
        finalists: What measuring the chosen ones found, if a latency was promised.
    """

    evaluations: list[Evaluation]
    front: list[Evaluation]
    constraints: tuple[Constraint, ...]
    predictor: LatencyPredictor | None
    trained: Path | None = None
    mark: str = ""
    racing: dict[str, Any] | None = None
    finalists: Finalists | None = None

    @property
    def eligible(self) -> list[Evaluation]:
        """The evaluations that can become models: of those with weights of their own, the ones that were kept."""
        if self.trained is None:
            return self.evaluations
        return [evaluation for evaluation in self.evaluations if (self.trained / evaluation.subnet.key).is_dir()]

    def model(self, prepared: Prepared, subnet: Subnet) -> Any:
        """The ordinary model of a sub-network, with the weights it was evaluated with."""
        if self.trained is None:
            return prepared.supernet.extract(subnet)
        from sublm.export import load

        return load(self.trained / subnet.key / "model")


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
    """Reads the targets and makes sure that something in the space meets them, and that the sampler can search it.

    Without a predictor those on latency are left out, which nothing is known of before it is measured.
    """
    check_sampler(make_sampler(work.settings), prepared.space)
    costs = costs_of(work, prepared, predictor)
    whole = {name: cost(prepared.supernet.largest) for name, cost in costs.items()}
    targets = [text for text in work.settings.target if predictor is not None or target_cost(text) != "latency"]
    constraints = parse_targets(targets, whole)
    check_constraints(prepared.space, constraints, costs)
    return constraints


def search_subnets(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None, constraints: tuple[Constraint, ...]
) -> Found:
    """Searches; every evaluation is on disk at once, and an interrupted search goes on."""
    s, supernet = work.settings, prepared.supernet
    racing = Racing(s.racing_level, s.racing_margin) if s.racing and is_raceable(work.data.task) else None
    inputs = {
        "sampler": s.sampler,
        "population": s.population,
        "objectives": s.objectives,
        "constraints": constraints,
        "seed": s.seed,
        "precision": work.precision,
        "racing": racing,
        "sizes": s.sizes,  # their sub-networks are seeds
        "predictor": fingerprint(predictor.to_dict()) if predictor else None,
    }
    stage: Stage = work.stage("search", inputs, ["search"])
    if stage.done and stage.result.get("evaluations", 0) < s.evaluations:
        stage.state = "cut off"  # more are asked for: the search goes on, and keeps what it has
    costs = costs_of(work, prepared, predictor)
    seeds = [*prepared.space.seeds, *family(work, prepared, tuple(dict.fromkeys((*SEED_SHARES, *s.sizes))))]
    if s.workers > 1 and not s.ray and not stage.done:
        supernet.share()
    done = 0

    def show(evaluation: Evaluation) -> None:
        nonlocal done
        done = max(done, evaluation.number + 1)  # workers end out of order
        work.progress.update(done, s.evaluations, score=evaluation.score)

    def run_search(evaluate: Callable[[Subnet], Mapping[str, float]]) -> Any:
        return search(
            prepared.space,
            evaluate,
            costs,
            objectives=s.objectives,
            constraints=constraints,
            sampler=make_sampler(s),
            evaluations=0 if stage.done else s.evaluations,
            seed=s.seed,
            seeds=seeds,
            folder=work.run.folder / "search",
            progress=show,
            workers=s.workers,
            ray=s.ray,
            storage=s.storage,
            identity=score_identity(work, prepared, predictor, racing) if s.storage else None,
        )

    if stage.done:
        result = run_search(lambda subnet: {})  # only reads the log
    else:
        with work.doing(stage, f"Searching ({s.sampler}, {s.evaluations} sub-networks)", unit="sub-network"):
            result = run_search(make_evaluator(work, prepared, costs, racing, seeds))
            stage.result["evaluations"] = max(len(result.evaluations), s.evaluations)  # a small space may hold fewer
            if racing is not None:
                rows = len(work.encoded["search"])
                stage.result["racing"] = summarise(result.evaluations, rows, racing.level)
    saved = stage.result.get("racing")
    if saved is not None:
        saved = saved | check_dropped(work, prepared, costs, racing, result.evaluations)
        work.progress.message(in_words(saved))
    supernet.activate(supernet.largest)
    return Found(
        result.evaluations, front_in_full(result.evaluations, s.objectives), constraints, predictor, racing=saved
    )


def make_evaluator(
    work: Workspace,
    prepared: Prepared,
    costs: Mapping[str, Callable[[Subnet], float]],
    racing: Racing | None,
    seeds: Sequence[Subnet],
) -> Callable[[Subnet], Mapping[str, float]]:
    """What scores a sub-network on the search split; seeds are never given up, so that every asked size has one."""
    supernet, encoded, task = prepared.supernet, work.encoded["search"], work.data.task
    if not is_raceable(task):
        return Evaluator(supernet, encoded, task, work.precision)
    # Also without racing: the same batches give the same scores to the last bit.
    rows = (racing or Racing()).parts(encoded.labels, encoded.lengths, work.settings.seed)
    parts = Parts(supernet, encoded, rows, pad_token_id=work.pad, precision=work.precision)
    parts.precision = safe_precision(work, parts, seeds)
    return SubnetEvaluator(
        parts,
        encoded.labels,
        task,
        costs={name: costs[name] for name in work.settings.objectives if name != "score"},
        groups=encoded.together,
        racing=racing,
        exempt=seeds,
        folder=work.run.folder / "search" / "predictions",
    )


def safe_precision(work: Workspace, parts: Parts, subnets: Sequence[Subnet]) -> str:
    """The run's precision if it ranks a few sub-networks as fp32 does, else fp32; found out once per search."""
    if work.precision == "fp32":
        return "fp32"
    path = work.run.folder / "search" / "precision.json"
    if not path.exists():
        task = work.data.task
        sizes = np.cumsum([len(rows) for rows in parts.rows])
        rungs = int(np.searchsorted(sizes, min(CHECK_ROWS, sizes[-1]))) + 1
        seen = np.concatenate(parts.rows[:rungs])
        rows = work.encoded["search"].select(seen)
        scores: dict[str, list[float]] = {}
        for precision in (work.precision, "fp32"):
            parts.precision = precision
            logits = [np.concatenate([parts.logits(n, part) for part in range(rungs)]) for n in subnets[:CHECKED]]
            scores[precision] = [score(found, rows, task)[work.metric] for found in logits]
        check = compare_precisions(scores[work.precision], scores["fp32"], len(seen))
        say = work.progress.message if check.kept else work.progress.warning
        say(check.in_words(work.precision))
        chosen = work.precision if check.kept else "fp32"
        write_json(path, {"precision": chosen, "tau": check.tau, "largest": check.largest, "number": check.number})
    return str(read_json(path)["precision"])


def check_dropped(
    work: Workspace,
    prepared: Prepared,
    costs: Mapping[str, Callable[[Subnet], float]],
    racing: Racing | None,
    evaluations: Sequence[Evaluation],
) -> dict[str, Any]:
    """Evaluates some of those given up on all rows and counts the mistakes; empty if that was not asked for."""
    s = work.settings
    if not s.racing_check:
        return {}
    inputs = {"number": s.racing_check, "evaluations": len(evaluations)}
    stage = work.stage("racing check", inputs, upto="search")
    if not stage.done:
        dropped = [evaluation for evaluation in evaluations if evaluation.dropped]
        chosen = random.Random(s.seed).sample(dropped, min(s.racing_check, len(dropped)))
        with work.doing(stage, f"Evaluating {plural(len(chosen), 'sub-network')} that were given up"):
            evaluate = make_evaluator(work, prepared, costs, racing, ())
            assert isinstance(evaluate, SubnetEvaluator)
            full = [(candidate, evaluate.full(candidate.subnet)["score"]) for candidate in chosen]
            names = [name for name in s.objectives if name != "score"]
            stage.result |= review(full, evaluations, names, s.racing_margin)
    return stage.result


def front_in_full(evaluations: Sequence[Evaluation], objectives: tuple[str, ...]) -> list[Evaluation]:
    """The front of what was evaluated in full, by falling last objective."""
    full = [evaluation for evaluation in evaluations if not evaluation.dropped]
    members = [full[i] for i in pareto.front([evaluation.objectives(objectives) for evaluation in full])]
    return sorted(members, key=lambda evaluation: evaluation.objectives(objectives)[-1], reverse=True)


def score_identity(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None, racing: Racing | None
) -> dict[str, Any]:
    """What the scores and costs of the search depend on: searches with the same may share a study."""
    return {
        "weights": weights_fingerprint(prepared.supernet.model),
        "data": work.data.fingerprint,
        "max_length": work.settings.max_length,
        "precision": work.precision,
        "predictor": predictor.to_dict() if predictor else None,
        "racing": racing,  # those that were given up have a score on some of the rows
    }
