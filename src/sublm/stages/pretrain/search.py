"""`sublm pretrain-search`: the sub-networks of a pre-trained super-network that are best within a budget."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import LatencyPredictor
from sublm.errors import RunError
from sublm.export import longest_text
from sublm.files import fingerprint_model
from sublm.progress import Progress
from sublm.run import Run, write_json
from sublm.search import Constraint, Evaluation, check_constraints, keep_promise, parse_targets, search
from sublm.spaces import Subnet, obeys_rule, rule_candidates
from sublm.spaces.homogeneous import shape_name
from sublm.stages.pretrain.costs import Deployed, costs_of, encoder_of, fit, measure, open_base
from sublm.stages.pretrain.following import call, follow
from sublm.stages.pretrain.job import execute
from sublm.stages.pretrain.probing import Probes, folder_of, read_task, task_names
from sublm.stages.pretrain.reopen import Trained
from sublm.stages.pretrain.search_settings import SearchSettings
from sublm.stages.workspace import doing
from sublm.supernet import SuperNet
from sublm.training.precision import evaluation_precision

MODELS, FURTHER, PROXIES = "models", "further", "proxies"


def pretrain_search(
    run: str | Path,
    target: str | Sequence[str],
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Searches a pre-trained super-network for the best sub-networks within a budget, and writes them.

    Killed at any moment, the same call goes on where it was.

    Args:
        run: The run directory of `sublm pretrain`.
        target: What they must meet.
        out: Where to; `RUN/search` by default.
        overwrite: Use the folder though it holds a search with other settings.
        quiet: Show nothing but errors.
        **settings: Any other field of `SearchSettings`.

    Returns:
        What `results.json` holds and, as "run", the folder.

    Raises:
        SubLMError: If anything given cannot be used; nothing long has been done by then.
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    out = Path(run) / "search" if out is None else out
    given = {"target": targets, **settings}
    return call(execute_search, SearchSettings, run, given, out=out, overwrite=overwrite, quiet=quiet)


def execute_search(
    settings: SearchSettings, folder: Path, progress: Progress, *, overwrite: bool = False
) -> dict[str, Any]:
    """Runs a search; see `pretrain_search`."""

    def do(trained: Trained, run: Run) -> dict[str, Any]:
        deployed = Deployed(
            settings.runtime,
            settings.runtime_precision,
            settings.threads,
            settings.length or trained.length,
            settings.seed,
        )
        base = None if settings.base is None else open_base(settings.base, deployed.length)
        return _Search(settings, trained, encoder_of(trained), base, deployed, run, progress).carry_out()

    return follow(settings, folder, progress, do, overwrite=overwrite)


@dataclass(frozen=True)
class _Fitness:
    """What sub-networks are judged by.

    Attributes:
        of: A sub-network's "score", higher is better, and what it was made from.
        words: What it is.
        decided_by: What the scores depend on besides the weights, plain.
    """

    of: Callable[[Subnet], Mapping[str, float]]
    words: str
    decided_by: Mapping[str, Any]


@dataclass
class _Search:
    """One search."""

    settings: SearchSettings
    trained: Trained
    encoder: SuperNet
    base: SuperNet | None
    deployed: Deployed
    run: Run
    progress: Progress

    def carry_out(self) -> dict[str, Any]:
        fitness = self._fitness()  # reads the proxy tasks: what is wrong with them shows before anything is measured
        predictor = self._predictor()
        costs = costs_of(self.encoder, self.deployed, predictor)
        whole = {name: float(cost(self.encoder.largest)) for name, cost in costs.items()}
        base = self._base_costs(predictor)
        constraints = parse_targets(self.settings.target, base or whole)
        check_constraints(self.trained.space, constraints, costs)
        evaluations = self._evaluations(fitness, costs, constraints, predictor)
        chosen, measured = self._choose(evaluations, constraints, predictor)
        models = [self._model(place, e, base or whole, measured) for place, e in enumerate(chosen, start=1)]
        return {
            "target": list(self.settings.target),
            "constraints": [str(constraint) for constraint in constraints],
            "fitness": fitness.words,
            "conditions": self.deployed.options(),
            "whole": {"shape": shape_name(self.encoder.largest), "costs": whole},
            "base": None if base is None else {"model": self.settings.base, "costs": base},
            "latency_predictor": None if predictor is None else predictor.summary(),
            "evaluations": [self._entry(e) for e in evaluations],
            "models": models,
        }

    def _base_costs(self, predictor: LatencyPredictor | None) -> dict[str, float] | None:
        """Costs of the base, its latency as it was measured beside the sub-networks."""
        if self.base is None:
            return None
        found = {name: float(cost(self.base.largest)) for name, cost in costs_of(self.base, self.deployed).items()}
        if predictor is not None:
            assert predictor.reference is not None  # it was fitted beside the base
            found["latency"] = predictor.reference
        return found

    @property
    def _tunes(self) -> bool:
        """Whether proxy tasks are fine-tuned on, which leaves runs in the folder."""
        return bool(self.settings.tasks and self.settings.task_epochs)

    def _predictor(self) -> LatencyPredictor | None:
        """Fitted on this machine if a target asks for it."""
        if not any(word in target for target in self.settings.target for word in ("latency", "speedup")):
            return None
        inputs = self.deployed.options() | {"space": self.trained.space.to_dict()}
        if self.settings.base is not None:
            inputs["base"] = fingerprint_model(self.settings.base)
        stage = self.run.stage("latency", inputs, outputs=["latency.json"])
        path = self.run.folder / "latency.json"
        if not stage.done:
            with doing(self.run, self.progress, stage, "Measuring the latency of sub-networks") as scratch:
                space, tokenizer = self.trained.space, self.trained.tokenizer
                found = fit(self.encoder, space, self.deployed, scratch, tokenizer, self.base)
                write_json(path, found.to_dict())
        return LatencyPredictor.load(path)

    # Searching

    def _evaluations(
        self,
        fitness: _Fitness,
        costs: Mapping[str, Callable[[Subnet], float]],
        constraints: tuple[Constraint, ...],
        predictor: LatencyPredictor | None,
    ) -> list[Evaluation]:
        if self.settings.fast:
            return self._one_per_depth(costs, constraints, fitness)
        s = self.settings
        inputs = {
            "weights": self.trained.fingerprint,
            "fitness": fitness.decided_by,
            "sampler": s.sampler,
            "seed": s.seed,
            "constraints": [asdict(constraint) for constraint in constraints],
            "length": self.deployed.length,  # this and the precision: of all costs but latency
            "runtime_precision": self.deployed.precision,
            "predictor": predictor.to_dict() if predictor else None,
        }
        stage = self.run.stage("search", inputs, outputs=["search", *([PROXIES] if self._tunes else [])])
        if stage.done and stage.result.get("evaluations", 0) < s.evaluations:
            stage.state = "cut off"  # more are asked for: the search goes on, and keeps what it has

        def run_search(evaluations: int) -> list[Evaluation]:
            return search(
                self.trained.space,
                fitness.of,
                costs,
                objectives=("score",),
                constraints=constraints,
                sampler=s.sampler,
                evaluations=evaluations,
                seed=s.seed,
                folder=self.run.folder / "search",
                progress=lambda e: self.progress.update(e.number + 1, s.evaluations, score=e.score),
            ).evaluations

        if stage.done:
            return run_search(0)  # reads the log
        with doing(self.run, self.progress, stage, f"Searching ({s.sampler}, {s.evaluations} sub-networks)"):
            found = run_search(s.evaluations)
            stage.result["evaluations"] = max(len(found), s.evaluations)  # a small space may hold fewer
        return found

    def _one_per_depth(
        self,
        costs: Mapping[str, Callable[[Subnet], float]],
        constraints: tuple[Constraint, ...],
        fitness: _Fitness,
    ) -> list[Evaluation]:
        """Tests the candidates of the development rule; each is on disk at once."""
        space = self.trained.space

        def used(subnet: Subnet) -> float:
            return max(costs[limit.cost](subnet) / limit.limit for limit in constraints)

        found = []
        for number, subnet in enumerate(rule_candidates(space, used)):
            name = f"test {shape_name(subnet)}"
            inputs = {"weights": self.trained.fingerprint, "subnet": subnet.to_dict(), "fitness": fitness.decided_by}
            outputs = [f"{PROXIES}/{shape_name(subnet)}"] if self._tunes else []
            stage = self.run.stage(name, inputs, after=[], outputs=outputs)
            if not stage.done:
                with doing(self.run, self.progress, stage, f"Testing {shape_name(subnet)}"):
                    stage.result |= dict(fitness.of(subnet))
            values = space.encode(subnet) or {}
            own = {cost: float(of(subnet)) for cost, of in costs.items()}
            score, seconds = float(stage.result["score"]), stage.seconds
            found.append(Evaluation(number, subnet, values, score, stage.result, own, seconds, "development rule"))
        return found

    def _fitness(self) -> _Fitness:
        """What sub-networks are judged by; reads the proxy tasks."""
        s = self.settings
        if not s.tasks:

            def by_loss(subnet: Subnet) -> dict[str, float]:
                (loss,) = self.trained.losses([subnet])
                return {"score": -loss, "loss": loss}

            return _Fitness(by_loss, "validation loss, negative", {})
        words = f"mean score of {', '.join(s.tasks)}"
        asked: dict[str, Any] = {"epochs": s.task_epochs, "limit": s.task_limit, "seed": s.seed}
        if s.task_epochs:
            read = partial(read_task, data=s.data, limit=s.task_limit, seed=s.seed)
            rows = {name: read(task).fingerprint for name, task in task_names(s.tasks).items()}
            return _Fitness(self._by_fine_tuning, words, asked | {"tasks": rows, "learning_rate": s.task_learning_rate})
        probes = Probes.load(
            s.tasks,
            self.trained.tokenizer,
            data=s.data,
            longest=longest_text(self.trained.supernet.model),
            limit=s.task_limit,
            seed=s.seed,
            precision=evaluation_precision(self.trained.settings.precision),
        )
        return _Fitness(
            lambda subnet: _with_mean(probes.scores(self.trained.supernet, subnet)),
            f"{words} by linear probes",
            asked | {"tasks": {name: examples.fingerprint for name, examples in probes.tasks.items()}},
        )

    def _by_fine_tuning(self, subnet: Subnet) -> dict[str, float]:
        """Scores of the proxy tasks after a short fine-tuning of each, and their mean."""
        from sublm.finetuning import finetune

        s, place = self.settings, self.run.folder / PROXIES / shape_name(subnet)
        folder = place / "model"
        if not folder.is_dir():
            self.trained.cut(subnet, folder)
        scores = {}
        for name, task in task_names(s.tasks).items():
            found = finetune(
                folder,
                task=task,
                out=place / name,
                data=folder_of(task, s.data),
                epochs=[s.task_epochs],
                seeds=[s.seed],
                learning_rate=[s.task_learning_rate],
                limit=s.task_limit,
                seed=s.seed,
                overwrite=True,  # runs of other settings, which `fast` left since this search began
            )
            scores[name] = float(found["best"]["search"][found["metric"]])
        return _with_mean(scores)

    # What is kept

    def _choose(
        self,
        evaluations: Sequence[Evaluation],
        constraints: tuple[Constraint, ...],
        predictor: LatencyPredictor | None,
    ) -> tuple[list[Evaluation], dict[str, float]]:
        """The best of what was evaluated; where a latency was promised, of what keeps it when measured."""
        scored = sorted((e for e in evaluations if math.isfinite(e.score)), key=lambda e: -e.score)
        if not scored:
            errors = {e.error for e in evaluations}
            raise RunError(f"No sub-network came to a score: {'; '.join(sorted(errors))[:300]}")
        limits = [constraint.limit for constraint in constraints if constraint.cost == "latency"]
        if predictor is None or not limits:
            return scored[: self.settings.top], {}
        inputs = {"limit": min(limits), "top": self.settings.top, "scores": {e.subnet.key: e.score for e in scored}}
        stage = self.run.stage("finalists", inputs)
        if not stage.done:
            with doing(self.run, self.progress, stage, "Measuring the finalists") as scratch:

                def measured(some: list[Evaluation]) -> dict[str, float]:
                    subnets, tokenizer = [e.subnet for e in some], self.trained.tokenizer
                    times = measure(self.encoder, subnets, self.deployed, scratch, tokenizer, predictor, self.base)
                    return dict(zip([e.subnet.key for e in some], np.asarray(times).tolist(), strict=True))

                kept = keep_promise(
                    scored,
                    "latency",
                    min(limits),
                    lambda some: sorted(some, key=lambda e: -e.score)[: self.settings.top],
                    measured,
                )
                stage.result |= {"chosen": [e.subnet.key for e in kept.chosen], "measured": kept.measured}
        chosen = [e for e in scored if e.subnet.key in stage.result["chosen"]]
        if not chosen:
            self.progress.warning("Nothing that was looked at keeps the target when measured; the best are written.")
        return chosen or scored[: self.settings.top], stage.result["measured"]

    def _model(
        self, place: int, found: Evaluation, base: Mapping[str, float], measured: Mapping[str, float]
    ) -> dict[str, Any]:
        """Writes a chosen sub-network, trains it further if that is wanted, and describes it."""
        name = shape_name(found.subnet)
        path = f"{MODELS}/{name}"
        inputs = {"subnet": found.subnet.to_dict(), "weights": self.trained.fingerprint}
        stage = self.run.stage(f"cut {name}", inputs, after=[], outputs=[path])
        if not stage.done:
            with doing(self.run, self.progress, stage, f"Writing {name}"):
                self.trained.cut(found.subnet, self.run.folder / path)
        entry = {"place": place, "path": path, **self._entry(found)}
        if found.subnet.key in measured:
            latency = measured[found.subnet.key]
            entry |= {"latency_ms": latency, "speedup": base["latency"] / latency}
        if self.settings.further_steps:
            entry["further"] = self._train_further(name)
        return entry

    def _train_further(self, name: str) -> dict[str, Any]:
        """Trains a cut sub-network with the run's objective, without warm-up; killed, it goes on."""
        asked = self.trained.alone(self.run.folder / MODELS / name, steps=self.settings.further_steps, warmup=0.0)
        path = f"{FURTHER}/{name}-{self.settings.further_steps}"
        result = execute(asked, self.run.folder / path, self.progress)
        return {"path": f"{path}/model", "steps": result["steps"], "loss": result["losses"]["model"]}

    def _entry(self, found: Evaluation) -> dict[str, Any]:
        return {
            "shape": shape_name(found.subnet),
            "score": found.score if math.isfinite(found.score) else None,
            **{name: value for name, value in found.metrics.items() if name != "score"},
            "costs": dict(found.costs),
            "obeys_rule": obeys_rule(found.subnet),
            "seconds": found.seconds,
            "origin": found.origin,
            **({"error": found.error} if found.error else {}),
        }


def _with_mean(scores: Mapping[str, float]) -> dict[str, float]:
    return {"score": statistics.fmean(scores.values()), **scores}
