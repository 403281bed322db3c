"""The main job against its plain baselines, on real data: one JSON per task and seed, and a summary.

    python benchmarks/main_job.py --data DATA --model MODEL --task stsb --seed 0     # one run
    python benchmarks/main_job.py --data DATA --model MODEL --task stsb --ten        # what a front of ten takes
    python benchmarks/main_job.py --summary                                          # the table of all runs

DATA holds one folder per task (`stsb/train.parquet`, ...), MODEL is a BERT-type model of 6 layers, 384 wide. The
hyper-parameters were chosen on the search share of STS-B's training rows, never on the reported split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import sublm

RESULTS = Path(__file__).parent / "results" / "main_job"
SIZES = (0.5, 0.33, 0.25, 0.1)
COMMON: dict[str, Any] = {
    "recover_epochs": 2,
    "sizes": SIZES,
    "baselines": ["prune-and-distil", "layer-dropping"],
    "baseline_sizes": SIZES,
}
TASKS: dict[str, dict[str, Any]] = {
    "stsb": {},
    "mrpc": {},
    "sst2": {"limit": 20000, "teacher_epochs": 2, "epochs": 2, "recover_epochs": 1, "baselines": ["prune-and-distil"]},
    "rte": {},
}


def run(task: str, seed: int, model: str, data: str, out: Path, **changes: Any) -> dict[str, Any]:
    """One whole run; resumes if it was cut off."""
    import torch

    settings = COMMON | TASKS[task] | changes
    if seed:  # layer dropping is far behind at every size: one seed of it is enough
        settings["baselines"] = ["prune-and-distil"]
    front = sublm.compress(
        model, task=task, data=f"{data}/{task}", out=out / f"{task}-{seed}", seed=seed, quiet=False, **settings
    )
    stages = {stage["name"]: stage["seconds"] for stage in front["stages"]}
    teacher = front["teacher"]
    whole = teacher["macs"]
    plain = teacher["train_seconds"]
    route = sum(stages.get(name, 0.0) for name in ("importance", "space", "train", "search"))
    result = {
        "task": task,
        "seed": seed,
        "metric": front["task"]["metric"],
        "threads": torch.get_num_threads(),
        "machine": front["machine"],
        "settings": {k: v for k, v in front["settings"].items() if k not in ("model", "data")},
        "teacher": {"score": teacher["score"], "scores": teacher["scores"], "train_seconds": plain},
        "stages": {name: seconds for name, seconds in stages.items()},
        "supernet": [
            {
                "size": point["macs"] / whole,
                "subnet": point["subnet"],
                "before": point["score_before"],
                "after": point["score"],
                "kept_before": point["score_before"] / teacher["score"],
                "kept": point["score"] / teacher["score"],
                "recover_seconds": point["train_seconds"],
            }
            for point in front["points"]
        ],
        "baselines": [
            {
                "kind": entry["kind"],
                "size": entry["macs"] / whole,
                "score": entry["score"],
                "kept": entry["score"] / teacher["score"],
                "train_seconds": entry["train_seconds"],
            }
            for entry in front["baselines"]
        ],
        "cost_in_plain_fine_tunings": {
            "importance, training and search": route / plain,
            "recovery of the models written": sum(p["train_seconds"] for p in front["points"]) / plain,
            "prune-and-distil": _seconds(front, "prune-and-distil") / plain,
            "layer-dropping": _seconds(front, "layer-dropping") / plain,
        },
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{task}-{seed}.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return result


def _seconds(front: dict[str, Any], kind: str) -> float:
    return sum(entry["train_seconds"] for entry in front["baselines"] if entry["kind"] == kind)


def front_of_ten(task: str, seed: int, model: str, data: str, out: Path) -> dict[str, Any]:
    """A front of ten models, recovered for an epoch, against the time of one plain fine-tuning."""
    import torch

    folder = out / f"{task}-{seed}-ten"
    front = sublm.compress(model, task=task, data=f"{data}/{task}", out=folder, seed=seed, recover_epochs=1)
    plain = front["teacher"]["train_seconds"]
    stages = {stage["name"]: stage["seconds"] for stage in front["stages"]}
    recovery = sum(point["train_seconds"] for point in front["points"])
    route = sum(stages.get(name, 0.0) for name in ("importance", "space", "train", "search"))
    result = {
        "task": task,
        "seed": seed,
        "threads": torch.get_num_threads(),
        "machine": front["machine"],
        "plain_fine_tuning_seconds": plain,
        "stages": stages,
        "models": [{k: p[k] for k in ("macs", "score_before", "score", "train_seconds")} for p in front["points"]],
        "teacher": front["teacher"]["score"],
        "in_plain_fine_tunings": {
            "to the searched front": route / plain,
            "recovery of all models": recovery / plain,
            "in all": (route + recovery) / plain,
        },
    }
    path = RESULTS / "ten_models" / f"{task}-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return result


def nearest(size: float) -> float:
    """The asked size that a result belongs to."""
    return min(SIZES, key=lambda asked: abs(asked - size))


def summary() -> dict[str, Any]:
    """Share of the teacher's score kept, per task and size: mean over the seeds, spread, number of seeds."""
    kept: dict[str, dict[str, dict[float, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    costs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    teachers: dict[str, list[float]] = defaultdict(list)
    for path in sorted(RESULTS.glob("*-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        task = result["task"]
        teachers[task].append(result["teacher"]["score"])
        for point in result["supernet"]:
            kept[task]["super-network, before recovery"][nearest(point["size"])].append(point["kept_before"])
            kept[task]["super-network, recovered"][nearest(point["size"])].append(point["kept"])
        for entry in result["baselines"]:
            kept[task][entry["kind"]][nearest(entry["size"])].append(entry["kept"])
        for name, value in result["cost_in_plain_fine_tunings"].items():
            if value:  # not every seed trains every baseline
                costs[task][name].append(value)
    table: dict[str, Any] = {}
    for task, methods in kept.items():
        table[task] = {"teacher": _spread(teachers[task]), "kept": {}, "cost_in_plain_fine_tunings": {}}
        for method, sizes in methods.items():
            table[task]["kept"][method] = {f"{size:.0%}": _spread(sizes[size]) for size in SIZES if sizes[size]}
        table[task]["cost_in_plain_fine_tunings"] = {name: _spread(values) for name, values in costs[task].items()}
    goal_tasks = [task for task in ("stsb", "mrpc", "sst2") if task in table]
    mean: dict[str, dict[str, float]] = {}
    for method in ("super-network, before recovery", "super-network, recovered", "prune-and-distil", "layer-dropping"):
        mean[method] = {}
        for size in SIZES:
            values = [table[t]["kept"].get(method, {}).get(f"{size:.0%}", {}).get("mean") for t in goal_tasks]
            if values and all(value is not None for value in values):
                mean[method][f"{size:.0%}"] = round(sum(values) / len(values), 4)
    found = {"tasks": table, "mean_kept": {"over": goal_tasks, **mean}}
    (RESULTS / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _spread(values: list[float]) -> dict[str, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "deviation": round(spread, 4), "seeds": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--task", choices=sorted(TASKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/main_job"))
    parser.add_argument("--ten", action="store_true", help="time a front of ten models instead")
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.summary:
        json.dump(summary(), sys.stdout, indent=1)
        return
    import torch

    torch.set_num_threads(arguments.threads)
    job = front_of_ten if arguments.ten else run
    json.dump(job(arguments.task, arguments.seed, arguments.model, arguments.data, arguments.out), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
