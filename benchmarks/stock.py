"""What the freedom of per-layer widths gains over stock models, and what it costs: one JSON per task and seed.

    python benchmarks/stock.py --data DATA --model MODEL --task stsb --seed 0
    python benchmarks/stock.py --summary

Three searches from one teacher and one order of the units: `per layer` (the space nested), `uniform` (every layer
alike, the hidden size whole: needs the modelling file), `stock` (every layer alike, all heads kept, layers left out).
Each super-network is trained alike and its models are taken as searched. All of them are then loaded and timed
together. DATA and MODEL as for `main_job.py`; a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import sublm

RESULTS = Path(__file__).parent / "results" / "stock"
SIZES = (0.5, 0.33, 0.25, 0.1)
ARMS: dict[str, dict[str, Any]] = {
    "per layer": {"space": "nested"},
    "uniform": {"space": "uniform", "stock": False},
    "stock": {"space": "uniform", "sizes": SIZES[:-1]},  # half of the layers, without neurons, are a sixth of the MACs
}
LOADS = 5
"""Loadings of each model; the quickest counts."""
ROUNDS = 40
"""Rounds of the latency measurement."""


def run(
    task: str, seed: int, model: str, data: str, out: Path, arms: list[str], teacher: str | None, **changes: Any
) -> dict[str, Any]:
    """Searches each space and compares what comes out; without a teacher the first search fine-tunes one."""
    settings = {"task": task, "data": f"{data}/{task}", "seed": seed, "sizes": SIZES, "overwrite": True, **changes}
    began = time.process_time()
    fronts, folders = {}, {}
    for name in arms:
        folder = out / f"{task}-{seed}-{name.replace(' ', '-')}"
        fronts[name] = sublm.compress(model, out=folder, teacher=teacher, **settings | ARMS[name])
        folders |= {(name, point["name"]): folder / point["folder"] for point in fronts[name]["points"]}
        teacher = teacher or str(folder / "teacher")
    front = fronts[arms[0]]
    original = front["teacher"]
    folders["teacher", ""] = Path(str(teacher))
    latency = measure(folders, front["latency"]["lengths"])
    return {
        "task": task,
        "seed": seed,
        "metric": front["task"]["metric"],
        "machine": front["machine"],
        "settings": {
            k: v for k, v in front["settings"].items() if k not in ("model", "data", "teacher", "space", "stock")
        },
        "teacher": {"score": original["score"], "latency_ms": latency["teacher", ""]},
        "models": [
            {
                "arm": name,
                "asked": nearest(point["macs"] / original["macs"]),
                "size": point["macs"] / original["macs"],
                "score": point["score"],
                "kept": point["score"] / original["score"],
                "search_score": point["search_score"],
                "subnet": point["subnet"],
                "stock": point["stock"],
                "latency_ms": latency[name, point["name"]],
                **loaded(folders[name, point["name"]]),
            }
            for name, found in fronts.items()
            for point in found["points"]
        ],
        "processor_seconds": time.process_time() - began,
    }


def nearest(size: float) -> float:
    """The asked size that a model belongs to."""
    return min(SIZES, key=lambda asked: abs(asked - size))


def measure(folders: dict[tuple[str, str], Path], lengths: list[int]) -> dict[tuple[str, str], float]:
    """Milliseconds of all models, against each other, at the task's own lengths, one text at a time, one thread."""
    from sublm.costs import measure_latency

    models = {" ".join(name): sublm.load(folder) for name, folder in folders.items()}
    found = measure_latency(models, length=lengths, rounds=ROUNDS)
    return {name: found[" ".join(name)].minimum for name in folders}


def loaded(folder: Path) -> dict[str, Any]:
    """How long transformers takes to load a folder, as somebody without SubLM would, and how large it is."""
    from transformers import AutoModelForSequenceClassification

    seconds = []
    for _ in range(LOADS):
        began = time.perf_counter()
        AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
        seconds.append(time.perf_counter() - began)
    return {
        "load_ms": 1000 * min(seconds),
        "weights_bytes": (folder / "model.safetensors").stat().st_size,
        "code_bytes": sum(path.stat().st_size for path in folder.glob("*.py")),
    }


def summary() -> dict[str, Any]:
    """Means over the results, per arm and size; of scores the spread over seeds beside it."""
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for path in sorted(RESULTS.glob("*-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for model in result["models"]:
            cell = found[model["arm"]][f"{model['asked']:.0%}"]
            for name in ("size", "kept", "latency_ms", "load_ms", "weights_bytes", "code_bytes"):
                cell[name].append(model[name])
            cell["runs"].append(1)
    table = {
        arm: {
            size: {name: sum(v) if name == "runs" else round(statistics.mean(v), 4) for name, v in cell.items()}
            for size, cell in sizes.items()
        }
        for arm, sizes in found.items()
    }
    (RESULTS / "summary.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--task", choices=("mrpc", "stsb"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--teacher", help="a model fine-tuned for the task, instead of fine-tuning one")
    parser.add_argument(
        "--tiny", action="store_true", help="a few rows and one epoch, to try the script; nothing is kept"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/stock"))
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.summary:
        json.dump(summary(), sys.stdout, indent=1)
        return
    import torch

    torch.set_num_threads(1)
    a = arguments
    tiny: dict[str, Any] = {"limit": 64, "epochs": 1, "teacher_epochs": 1, "evaluations": 24} if a.tiny else {}
    result = run(a.task, a.seed, a.model, a.data, a.out / ("tiny" if a.tiny else ""), a.arms, a.teacher, **tiny)
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    if not a.tiny:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{a.task}-{a.seed}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
