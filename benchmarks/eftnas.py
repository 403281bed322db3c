"""EFTNAS's parts, each against going without it: one JSON per task, seed and variant, and a summary.

    python benchmarks/eftnas.py --data DATA --model MODEL --task mrpc --seed 0                 # every variant
    python benchmarks/eftnas.py --data DATA --model MODEL --task mrpc --variants movement small
    python benchmarks/eftnas.py --summary                                                      # the table of all runs

DATA holds one folder per task (`mrpc/train.parquet`, ...), MODEL is a BERT-type model of 6 layers, 384 wide. Per task
and seed one teacher is fine-tuned and movement scores are learned once; all variants take both. Every variant trains
for the same epochs and searches with the same budget:

    movement     the space made from movement scores, units sorted by them
    taylor       the space made from Taylor scores, units sorted by them; prune-and-distil is trained beside it
    small        the hand-made space `small`, units sorted by movement scores
    unsorted     the space of `movement`, units as they were
    labels       as `movement`, learning from the labels alone, not from the teacher
    published    as `movement`, from the model itself instead of the teacher, training the largest too (sandwich)

What has a JSON is not run again; cut off, the same command goes on. Times are processor seconds, as others may use the
machine; wall-clock times stand beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sublm.costs import cost_model
from sublm.machine import describe_machine
from sublm.progress import make_progress
from sublm.run import Run, read_json, write_json
from sublm.search.pareto import volume_share
from sublm.settings import Settings
from sublm.stages.baselines import make_baselines
from sublm.stages.models import choose_sizes
from sublm.stages.opening import open_workspace
from sublm.stages.search import search_subnets
from sublm.stages.supernet import prepare_supernet, train_supernet
from sublm.stages.teacher import make_teacher

RESULTS = Path(__file__).parent / "results" / "eftnas"
SIZES = (0.75, 0.5, 0.25)
LEAST = 0.2
"""Share of the MACs at which spaces begin; volumes count from here."""
COMMON: dict[str, Any] = {
    "teacher_epochs": 3,
    "movement_epochs": 2,
    "epochs": 2,
    "space": "importance",
    "space_min": f"{LEAST:.0%}",
    "random_nets": 1,
    "temperature": 2.0,
    "label_weight": 0.1,
    "logits_weight": 0.9,
    "evaluations": 40,
    "sizes": SIZES,
    "recover_epochs": 0,
}
TASKS: dict[str, dict[str, Any]] = {
    "mrpc": {},
    "stsb": {},
    "sst2": {"limit": 8000},
    "squad": {"limit": 2000, "max_length": 256, "batch_size": 16},
}
VALIDATION = {"squad": 1000}
"""Rows of a validation split too large to be scored for every front: a share drawn once."""
VARIANTS: dict[str, dict[str, Any]] = {
    "movement": {},
    "taylor": {"importance": "taylor", "baselines": ["prune-and-distil"], "baseline_sizes": SIZES},
    "small": {"space": "small"},
    "unsorted": {"importance": "none", "space": "space.json"},
    "labels": {"label_weight": 1.0, "logits_weight": 0.0},
    "published": {"start": "model", "strategy": "sandwich"},
}


def prepare(
    task: str, seed: int, model: str, data: str, out: Path, changes: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Fine-tunes the teacher and learns movement scores; gives their run and the settings of all variants."""
    common = (
        {"model": model, "task": task, "seed": seed, "data": _share(task, data, out)} | COMMON | TASKS[task] | changes
    )
    folder = out / f"{task}-{seed}" / "shared"
    settings = Settings.from_dict({**common, "importance": "movement"})
    with Run(folder, settings.deciding(), seed=seed) as opened:
        work = open_workspace(settings, opened, make_progress())
        with clock(folder, "teacher"):
            taught = make_teacher(work)
        with clock(folder, "importance"):
            prepare_supernet(work, taught)
    return folder, common


@contextmanager
def clock(folder: Path, stage: str) -> Iterator[None]:
    """Adds the processor seconds of a stage to those of the calls before, in a file beside the run."""
    if read_json(folder / "run.json")["stages"].get(stage, {}).get("state") == "done":
        yield
        return
    began = time.process_time()
    try:
        yield
    finally:
        path = processor_file(folder)
        seconds = read_json(path) if path.exists() else {}
        seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - began
        write_json(path, seconds)


def processor_file(folder: Path) -> Path:
    """Where a run's processor seconds are, by stage."""
    return folder.with_name(f"{folder.name}-processor.json")


def run(variant: str, shared: Path, common: dict[str, Any], *, baselines: bool = True) -> dict[str, Any]:
    """Trains and searches one variant, and scores its front on the validation split."""
    changes = dict(VARIANTS[variant])
    if not baselines:
        changes.pop("baselines", None)
    if "space" in changes and changes["space"].endswith(".json"):
        changes["space"] = str(shared / changes["space"])
    settings = Settings.from_dict({**common, "teacher": str(shared / "teacher"), "importance": str(shared)} | changes)
    folder = shared.parent / variant
    with Run(folder, settings.deciding(), seed=settings.seed) as opened:
        work = open_workspace(settings, opened, make_progress())
        teacher = make_teacher(work)
        with clock(folder, "importance"):
            prepared = prepare_supernet(work, teacher)
        beside = make_baselines(work, teacher, prepared)
        with clock(folder, "train"):
            train_supernet(work, teacher, prepared)
        with clock(folder, "search"):
            found = search_subnets(work, prepared, None, ())
        supernet, macs = prepared.supernet, cost_model(prepared.supernet).macs
        whole = macs(supernet.largest)
        original = opened.result("teacher")["validation"][work.metric]
        validation = {}
        chosen = {size: choose_sizes(found.evaluations, whole, (size,))[0] for size in SIZES}
        for e in (*found.front, *chosen.values()):
            if e.subnet.key not in validation:
                supernet.activate(e.subnet)
                scores = work.scores(supernet.model, "validation", precision=work.precision)
                validation[e.subnet.key] = scores[work.metric]
        wall = {entry["name"]: entry["seconds"] for entry in opened.seconds()}
    wall_before = {name: record["seconds"] for name, record in read_json(shared / "run.json")["stages"].items()}
    before, times = read_json(processor_file(shared)), read_json(processor_file(folder))
    if settings.importance != "taylor":  # learned before; unsorted units, too, are counted by them
        times["importance"], wall["importance"] = before["importance"], wall_before["importance"]
    plain = before["teacher"]
    return {
        "task": settings.task,
        "seed": settings.seed,
        "variant": variant,
        "metric": work.metric,
        "rows": {split: len(work.encoded[split]) for split in ("train", "search", "validation")},
        "machine": describe_machine(),
        "settings": {k: v for k, v in settings.to_dict().items() if k not in ("model", "data", "teacher")}
        | {"importance": changes.get("importance", "movement"), "space": VARIANTS[variant].get("space", "importance")},
        "space_size": float(prepared.space.size),
        "teacher": original,
        "processor_seconds": {"teacher": plain} | times,
        "wall_seconds": {"teacher": wall_before["teacher"]} | {name: wall[name] for name in times},
        "in_plain_fine_tunings": {name: seconds / plain for name, seconds in times.items()}
        | {"route": sum(times.values()) / plain},
        "volume": {
            "search": volume([(e.costs["macs"], e.score) for e in found.front], whole),
            "validation": volume([(e.costs["macs"], validation[e.subnet.key]) for e in found.front], whole),
        },
        "sizes": [
            {
                "asked": size,
                "macs": e.costs["macs"] / whole,
                "search": e.score,
                "validation": validation[e.subnet.key],
                "kept": validation[e.subnet.key] / original,
            }
            for size, e in chosen.items()
        ],
        "baselines": [
            {
                "kind": entry["kind"],
                "asked": size,
                "macs": entry["macs"] / whole,
                "validation": entry["score"],
                "kept": entry["score"] / original,
                "train_wall_seconds": entry["train_seconds"],
            }
            for size, entry in zip(SIZES, beside, strict=False)
        ],
    }


def volume(points: list[tuple[float, float]], whole: float) -> float:
    """Hypervolume between the smallest wanted share of the MACs and all of them, of 1; all points below count as there.

    So a space that goes lower gains nothing by it: the value is the mean, over all budgets of the range, of the best
    score within the budget.
    """
    least = LEAST * whole
    rows = [(-score, max(cost - least, 0.0)) for cost, score in points if math.isfinite(score)]
    return volume_share(rows, ("score", "macs"), {"macs": whole - least})


def _share(task: str, data: str, out: Path) -> str:
    """The task's folder; of a task with a large validation split one that holds a share of it."""
    source = Path(data) / task
    if task not in VALIDATION:
        return str(source)
    folder = out / "data" / task
    if not (folder / "validation.parquet").exists():
        import numpy as np
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "train.parquet", folder / "train.parquet")
        table = pq.read_table(source / "validation.parquet")
        rows = np.random.default_rng(0).permutation(len(table))[: VALIDATION[task]]
        pq.write_table(table.take(np.sort(rows)), folder / "validation.parquet")
    return str(folder)


def summary(results: Path) -> dict[str, Any]:
    """Means over the seeds: volumes, score kept at each size, cost of the route; the baseline beside."""
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for path in sorted(results.glob("*-*-*.json")):
        result = read_json(path)
        row = found[result["task"]][result["variant"]]
        row["teacher"].append(result["teacher"])
        row["volume, search"].append(result["volume"]["search"])
        row["volume, validation"].append(result["volume"]["validation"])
        for name, share in result["in_plain_fine_tunings"].items():
            row[f"{name}, in plain fine-tunings"].append(share)
        for entry in result["sizes"]:
            row[f"kept at {entry['asked']:.0%}"].append(entry["kept"])
        for entry in result["baselines"]:
            beside = found[result["task"]][entry["kind"]]
            beside[f"kept at {entry['asked']:.0%}"].append(entry["kept"])
    table: dict[str, Any] = {
        task: {variant: {name: _spread(values) for name, values in row.items()} for variant, row in rows.items()}
        for task, rows in found.items()
    }
    (results / "summary.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return table


def _spread(values: list[float]) -> dict[str, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "deviation": round(spread, 4), "seeds": len(values)}


def show(table: dict[str, Any]) -> str:
    """The summary as Markdown."""
    names = [
        "volume, search",
        "volume, validation",
        *(f"kept at {size:.0%}" for size in SIZES),
        "route, in plain fine-tunings",
    ]
    lines = [f"| task | variant | seeds | {' | '.join(names)} |", f"| --- | --- | --- |{' --- |' * len(names)}"]
    for task, rows in table.items():
        order = [*VARIANTS, "prune-and-distil"]
        for variant in sorted(rows, key=order.index):
            row = rows[variant]
            cells = [f"{row[name]['mean']:.3f} ± {row[name]['deviation']:.3f}" if name in row else "" for name in names]
            seeds = max(entry["seeds"] for entry in row.values())
            lines.append(f"| {task} | {variant} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--task", choices=sorted(TASKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    parser.add_argument("--limit", type=int, help="training rows")
    parser.add_argument("--epochs", type=int, help="of the super-network")
    parser.add_argument("--evaluations", type=int)
    parser.add_argument("--no-baselines", action="store_true", help="leave prune-and-distil out, to save its time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/eftnas"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.summary:
        sys.stdout.write(show(summary(arguments.results)))
        return
    import torch

    torch.set_num_threads(arguments.threads)
    changes = {name: getattr(arguments, name) for name in ("limit", "epochs", "evaluations")}
    changes = {name: value for name, value in changes.items() if value is not None}
    paths = {v: arguments.results / f"{arguments.task}-{arguments.seed}-{v}.json" for v in arguments.variants}
    missing = [variant for variant, path in paths.items() if not path.exists()]
    if missing:
        shared, common = prepare(
            arguments.task, arguments.seed, arguments.model, arguments.data, arguments.out, changes
        )
    arguments.results.mkdir(parents=True, exist_ok=True)
    for variant in missing:
        result = run(variant, shared, common, baselines=not arguments.no_baselines)
        text = json.dumps(result, indent=1, sort_keys=True)
        paths[variant].write_text(text + "\n", encoding="utf-8")
        print(text)
        processor_file(shared.parent / variant).unlink()
        shutil.rmtree(shared.parent / variant)  # what counts is in the result; the shared run stays


if __name__ == "__main__":
    main()
