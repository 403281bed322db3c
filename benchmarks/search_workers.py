"""Throughput of the search with 1, 2 and 4 workers: the same search, on a model of 6 layers, 384 wide.

    python benchmarks/search_workers.py                    # five minutes of processor time; on an idle machine
    python benchmarks/search_workers.py --ray auto         # and once more on a running cluster

The weights are random and so are the rows, whose lengths are like those of STS-B's pairs: neither changes the time.
`rate` is evaluations per second between the first and the last result, `begin` the seconds until the first: starting a
worker takes some seconds, whatever the search. One worker is this process, once with all threads and once with one.
The result is printed and written to `results/search_workers.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from sublm.costs import cost_model
from sublm.machine import describe_machine, usable_cores
from sublm.search import search
from sublm.spaces import medium
from sublm.stages.evaluator import Evaluator
from sublm.supernet import SuperNet
from sublm.tasks import Encoded, Task

RESULT = Path(__file__).parent / "results" / "search_workers.json"
TASK = Task(name="random pairs", kind="regression", texts=("a", "b"), label="y", metrics=("spearman", "pearson"))


def make_evaluator(rows: int, layers: int, hidden: int) -> Evaluator:
    """A super-network with random weights, and random rows of 8 to 128 tokens, 32 on average."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        intermediate_size=4 * hidden,
        num_labels=1,
    )
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.35, 0.45, rows), 8, 128).astype(int)
    tokens = [rng.integers(999, config.vocab_size, length).astype(np.int32) for length in lengths]
    encoded = Encoded(tokens, rng.uniform(0, 5, rows).astype(np.float32))
    return Evaluator(SuperNet(BertForSequenceClassification(config)), encoded, TASK, "fp32")


def measure(
    evaluator: Evaluator, workers: int, evaluations: int, threads: int | None, ray: str | None
) -> dict[str, Any]:
    """One search from its start to its end."""
    supernet = evaluator.supernet
    torch.set_num_threads(threads or max(1, usable_cores() // workers))
    told: list[float] = []
    started = time.perf_counter()
    used = os.times()
    result = search(
        medium(supernet, step=64),
        evaluator,
        {"macs": cost_model(supernet).macs},
        sampler="random",
        evaluations=evaluations,
        workers=workers,
        ray=ray,
        progress=lambda evaluation: told.append(time.perf_counter() - started),
    )
    seconds = time.perf_counter() - started
    spent = os.times()
    processor = sum(getattr(spent, name) - getattr(used, name) for name in ("user", "children_user"))
    return {
        "workers": workers,
        "threads_each": torch.get_num_threads(),
        "cluster": ray is not None,
        "evaluations": len(result.evaluations),
        "rate": round((len(told) - 1) / (told[-1] - told[0]), 3),
        "begin": round(told[0], 2),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "front": [(evaluation.subnet.key, round(evaluation.score, 6)) for evaluation in result.front],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--evaluations", type=int, default=24)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--ray", help="address of a running cluster, to measure that, too")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    machine = describe_machine()
    evaluator = make_evaluator(given.rows, given.layers, given.hidden)
    evaluator(evaluator.supernet.largest)  # the first pass is slower
    runs = [measure(evaluator, 1, given.evaluations, 1, None)]
    cases = [(workers, None) for workers in given.workers]
    cases += [(workers, given.ray) for workers in given.workers if given.ray]
    for workers, ray in cases:
        runs.append(measure(evaluator, workers, given.evaluations, None, ray))
    found = {
        "model": {
            "layers": given.layers,
            "hidden": given.hidden,
            "parameters": evaluator.supernet.model.num_parameters(),
        },
        "rows": given.rows,
        "mean_length": float(np.mean(evaluator.encoded.lengths)),
        "same_front": all(run["front"] == runs[0]["front"] for run in runs),
        "runs": [
            {name: value for name, value in run.items() if name != "front"}
            | {"over_one_thread": round(run["rate"] / runs[0]["rate"], 2)}
            for run in runs
        ],
        "machine": machine,
    }
    text = json.dumps(found, indent=2)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
