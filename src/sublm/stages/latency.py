"""A run's latency predictor: fitted to measurements of the form that is deployed, or taken from another run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import LatencyPredictor, cost_model, fit_latency, model_of, representative_lengths
from sublm.errors import LatencyError
from sublm.export import deployer
from sublm.run import file_fingerprint, write_json
from sublm.search import target_cost
from sublm.spaces import StratifiedSampler, Subnet
from sublm.stages.supernet import Prepared
from sublm.stages.workspace import Workspace

LATENCY_SAMPLES = 40
BUSY = 0.1
"""Held-out error of the predictor above which the user is warned."""
SAME_LENGTHS = 0.1
"""By how much the mean lengths may differ of texts that a predictor was fitted on and is used for."""


def wants_latency(work: Workspace) -> bool:
    """Whether the search needs latencies."""
    return "latency" in work.settings.objectives or any(target_cost(text) == "latency" for text in work.settings.target)


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
    may_be_foreign = given is not None or work.settings.force
    if stage.done and not may_be_foreign and (elsewhere := LatencyPredictor.load(path, force=True).differences()):
        stage.state, stage.changed = "stale", tuple(elsewhere)  # the run was copied
    if not stage.done and given is not None:
        with work.doing(stage, f"Taking the latency predictor {given}"):
            write_json(path, _given_predictor(Path(given), options, prepared, force=work.settings.force).to_dict())
    elif not stage.done:
        title = f"Measuring the latency of {LATENCY_SAMPLES} sub-networks"
        with work.doing(stage, title, unit="model") as folder:
            subnets = _sample(prepared, LATENCY_SAMPLES, work.settings.seed)
            runtime, precision = options["runtime"], options["precision"]
            total = len(subnets) + 1  # the largest beside them

            def show(number: int) -> None:
                if number < total:
                    work.progress.update(number, total)

            prepare = deployer(folder, runtime, precision, tokenizer=work.tokenizer, progress=show)
            predictor = fit_latency(prepared.supernet, subnets, prepare=prepare, rounds=20, budget_s=90.0, **options)
            stage.result |= {"error": predictor.error, "tau": predictor.tau}
            write_json(path, predictor.to_dict())
    predictor = LatencyPredictor.load(path, force=work.settings.force)
    if elsewhere := predictor.differences():
        work.progress.warning(f"The latency predictor was fitted on another device: {'; '.join(elsewhere)}.")
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


def check_predictor(work: Workspace, prepared: Prepared) -> None:
    """Refuses a predictor that was given and does not predict what this run asks for.

    Raises:
        LatencyError: If it does not.
    """
    if work.settings.predictor is not None and wants_latency(work):
        path, options = Path(work.settings.predictor), latency_options(work)
        _given_predictor(path, options, prepared, force=work.settings.force)


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


def _given_predictor(path: Path, options: dict[str, Any], prepared: Prepared, *, force: bool) -> LatencyPredictor:
    """Reads a predictor and makes sure that it predicts what this run asks for."""
    predictor = LatencyPredictor.load(path, force=force)
    names = ("runtime", "precision", "threads", "batch")
    differing = [
        f"{name} {predictor.conditions.get(name)} there, {options[name]} here"
        for name in names
        if predictor.conditions.get(name) != options[name]
    ]
    there, here = predictor.conditions.get("model"), model_of(prepared.supernet)
    if there is not None and there != here:  # files of earlier versions do not say
        differing.append(f"a model of {_in_words(there)} there, of {_in_words(here)} here")
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


def _in_words(model: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in model.items())
