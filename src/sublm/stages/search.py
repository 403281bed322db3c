"""The search over the trained super-network, on the search split."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import CostModel, LatencyPredictor, cost_model, fit_latency, memory, representative_lengths
from sublm.errors import LatencyError, RunError
from sublm.evaluation import Parts, SubnetEvaluator, compare_precisions, is_raceable
from sublm.export import Deployment
from sublm.progress import plural
from sublm.run import Stage, file_fingerprint, fingerprint, read_json, write_json
from sublm.search import (
    SAMPLERS,
    Constraint,
    Evaluation,
    Finalists,
    check_constraints,
    pareto,
    parse_targets,
    search,
)
from sublm.search.racing import Racing, in_words, review, summarise
from sublm.search.samplers import Sampler, check_sampler
from sublm.settings import Settings
from sublm.spaces import StratifiedSampler, Subnet
from sublm.stages.evaluator import Evaluator, weights_fingerprint
from sublm.stages.supernet import Prepared, family
from sublm.stages.workspace import Workspace
from sublm.tasks import score

LATENCY_SAMPLES = 40
BUSY = 0.1
"""Held-out error of the latency predictor above which the user is warned."""
CHECKED, CHECK_ROWS = 6, 100
"""Sub-networks, and rows at least, on which a precision is compared with fp32."""
SAME_LENGTHS = 0.1
"""By how much the mean lengths may differ of texts that a predictor was fitted on and is used for."""
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


def memory_of(work: Workspace, model: CostModel) -> Callable[[Subnet], float]:
    """The memory of sub-networks on the longest text, in the precision they will run in."""
    longest, precision = int(work.encoded["validation"].lengths.max()), work.settings.runtime_precision
    return lambda subnet: memory(model, subnet, length=longest, precision=precision)


def costs_of(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None
) -> dict[str, Callable[[Subnet], float]]:
    """Every cost by name."""
    model = cost_model(prepared.supernet)
    costs: dict[str, Callable[[Subnet], float]] = {
        "macs": model.macs,
        "parameters": model.parameters,
        "memory": memory_of(work, model),
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
        title = f"Measuring the latency of {LATENCY_SAMPLES} sub-networks"
        with work.doing(stage, title, unit="model") as folder:
            subnets = _sample(prepared, LATENCY_SAMPLES, work.settings.seed)
            prepare = deployer(work, folder, total=len(subnets) + 1)
            predictor = fit_latency(prepared.supernet, subnets, prepare=prepare, rounds=20, budget_s=90.0, **options)
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
    racing = Racing(s.racing_level, s.racing_margin) if s.racing and is_raceable(work.data.task) else None
    inputs = {
        "sampler": s.sampler,
        "population": s.population,
        "objectives": s.objectives,
        "constraints": [str(constraint) for constraint in constraints],
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
            evaluations=s.evaluations,
            seed=s.seed,
            seeds=seeds,
            folder=work.run.folder / "search",
            progress=show,
            workers=s.workers,
            ray=s.ray,
            storage=s.storage,
            identity=score_identity(work, prepared, predictor) if s.storage else None,
        )

    if stage.done:
        result = run_search(lambda subnet: {})  # reads the log; nothing is left to evaluate
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


def score_identity(work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None) -> dict[str, Any]:
    """What the scores and costs of the search depend on: searches with the same may share a study."""
    return {
        "weights": weights_fingerprint(prepared.supernet.model),
        "data": work.data.fingerprint,
        "max_length": work.settings.max_length,
        "precision": work.precision,
        "predictor": predictor.to_dict() if predictor else None,
    }


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


def deployer(work: Workspace, folder: Path, *, total: int | None = None) -> Callable[[Any], Any]:
    """Brings each model it is given into the form that the run deploys; files go into the folder.

    Given how many there will be, it tells how many are done: writing files takes longer than measuring them.
    """
    numbers = itertools.count()

    def deploy(model: Any) -> Any:
        number = next(numbers)
        if total and number < total:
            work.progress.update(number, total)
        scratch = folder / str(number)
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
