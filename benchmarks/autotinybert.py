"""AutoTinyBERT's route on a real model: is one-shot ranking right inside one band, and does the search beat convention?

1. A super-network from MODEL, distilled from it by relations on the training part of `books` and `wikitext2`.
2. Fidelity: architectures of one band of MACs, each trained alone for as many steps; share of the pairs ordered alike.
3. For every target, the best sub-network of the search, trained further, against the conventional shape (attention as
   wide as the hidden size, four times as many neurons) that costs the same: for every depth the widest that keeps the
   target, and of these the one with the least one-shot loss. It is trained twice: alone, for as many steps as
   super-network and further training together (`conventional`), and further from the weights that it has in the
   super-network, as the search's (`shared`). All are fine-tuned on the tasks with the same settings.

    python benchmarks/autotinybert.py --data DATA --model MODEL --steps 2000 --write [--parts supernet fidelity targets]

Every step is bounded by its argument; killed, the same command goes on. Reported are losses, scores, measured latencies
and the processor minutes of each part that was done in this call. The result is printed, and with --write it goes to
benchmarks/results/autotinybert/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from packed_text import pack, processor_minutes

import sublm
from sublm.costs import LatencyPredictor, measure_latency
from sublm.files import fingerprint_model, read_json, write_json
from sublm.finetuning import finetune
from sublm.machine import describe_machine
from sublm.progress import Progress
from sublm.spaces import Subnet
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.stages.pretrain import Trained, execute, measure_fidelity, pretrain_search, reopen
from sublm.stages.pretrain.costs import Deployed, costs_of, encoder_of

RESULTS = Path(__file__).parent / "results" / "autotinybert"
CONVENTIONAL = {"conventional": False, "shared": True}
"""Arms of the conventional shape -> whether it begins with the super-network's weights, as the searched one does; if
not, it is trained alone for all of the steps."""


def supernet(a: argparse.Namespace, work: Path) -> Path:
    """The super-network's run."""
    corpus, validation = pack(a.data, a.model, a.work, a.length)
    sublm.pretrain(
        a.model,
        corpus,
        out=work / "supernet",
        objective="relations",
        relation_heads=12,
        teacher=a.model,
        space=a.space,
        strategy=a.strategy,
        subnets=a.subnets,
        steps=a.steps,
        batch_size=a.batch_size,
        learning_rate=a.learning_rate,
        validation=str(validation),
        validation_rows=a.validation_rows,
        seed=a.seed,
        quiet=False,
    )
    return work / "supernet"


def fidelity(a: argparse.Namespace, run: Path, work: Path) -> dict[str, Any]:
    """Pairwise accuracy inside the band."""
    return measure_fidelity(
        run,
        out=work / "fidelity",
        number=a.architectures,
        band=tuple(a.band),
        steps=a.alone_steps,
        seed=a.seed,
        quiet=False,
    )


def conventional(trained: Trained, cost: Callable[[Subnet], float], limit: float) -> tuple[Subnet, float]:
    """The conventional shape of a budget with the least one-shot loss, and that loss."""
    shape, found = trained.supernet.shape, []
    for layers in range(1, shape.layers + 1):
        fitting = [subnet for subnet in _of_depth(shape, layers) if cost(subnet) <= limit]
        if fitting:
            found.append(max(fitting, key=cost))
    losses = trained.losses(found)
    best = min(range(len(found)), key=losses.__getitem__)
    return found[best], losses[best]


def _of_depth(shape: Any, layers: int) -> Iterator[Subnet]:
    for size in range(1, shape.head_size + 1):
        hidden = size * shape.heads
        if 4 * hidden <= shape.neurons:
            yield read_shape(f"{layers}-{hidden}-{4 * hidden}-{shape.heads}-{hidden}", shape)


def against_convention(a: argparse.Namespace, run: Path, work: Path, target: str) -> dict[str, Any]:
    """The search's best sub-network of a target against the conventional shape."""
    folder = work / "".join(c if c.isalnum() else "-" for c in target)
    settings: dict[str, Any] = {"evaluations": a.evaluations, "length": a.length, "seed": a.seed, "quiet": False}
    searched = pretrain_search(run, target, out=folder, top=1, further_steps=a.further_steps, fast=a.fast, **settings)
    best = searched["models"][0]
    trained = reopen(run, Progress())
    encoder = encoder_of(trained)
    predictor = LatencyPredictor.load(folder / "latency.json") if (folder / "latency.json").exists() else None
    costs = costs_of(encoder, Deployed(length=a.length), predictor)
    name, limit = searched["constraints"][0].split("<=")
    rival, loss = conventional(trained, costs[name], float(limit))
    found = {
        "searched": {"shape": best["shape"], "one_shot_loss": best["loss"], "costs": best["costs"]},
        **{
            arm: {
                "shape": shape_name(rival),
                "one_shot_loss": loss,
                "costs": {key: float(of(rival)) for key, of in costs.items()},
            }
            for arm in CONVENTIONAL
        },
    }
    further = best["further"] if a.further_steps else best
    found["searched"]["loss"], folders = further["loss"], {"searched": folder / further["path"]}
    for arm, shares in CONVENTIONAL.items():
        start = folder / arm / "start"
        if not start.is_dir():
            trained.cut(rival, start, untrained=not shares)
        # What goes on from shared weights has no warm-up, as after a search.
        steps, changes = (a.further_steps, {"warmup": 0.0}) if shares else (a.steps + a.further_steps, {})
        found[arm]["loss"], folders[arm] = loss, start
        if steps:
            own = execute(trained.alone(start, steps=steps, **changes), folder / arm / "run", Progress())
            found[arm]["loss"], folders[arm] = own["losses"]["model"], folder / arm / "run" / "model"
    encoders = {arm: sublm.load(place).base_model for arm, place in folders.items()}
    times = measure_latency(encoders | {"whole": trained.supernet.model.base_model}, length=a.length, rounds=30)
    for arm, entry in found.items():
        entry["latency_ms"] = times[arm].minimum
        entry["speedup"] = times["whole"].minimum / times[arm].minimum
        entry["tasks"] = {task: tune(a, folders[arm], task, folder / "tasks" / arm / task) for task in a.tasks}
    means = {arm: {task: entry["tasks"][task]["mean"] for task in a.tasks} for arm, entry in found.items()}
    for arm in CONVENTIONAL:
        gains = {task: 100 * (means["searched"][task] - means[arm][task]) for task in a.tasks}
        found[arm]["points_behind_searched"] = gains | {"mean": statistics.fmean(gains.values())} if gains else {}
    return found | {"looked_at": len(searched["evaluations"])}


def tune(a: argparse.Namespace, model: Path, task: str, out: Path) -> dict[str, Any]:
    """Fine-tunes; the score of the validation part over the seeds, which steered nothing."""
    found = finetune(
        model,
        task=task,
        out=out,
        data=str(a.data / task),
        learning_rate=a.rates,
        epochs=[a.epochs],
        batch_size=[32],
        seeds=a.seeds,
        limit=a.limit,
        max_length=a.task_length,
    )
    return {"metric": found["metric"], **found["best"]["seeds"]["validation"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/autotinybert"))
    parser.add_argument("--parts", nargs="+", default=["supernet", "fidelity", "targets"])
    parser.add_argument("--steps", type=int, default=2000, help="of the super-network")
    parser.add_argument("--alone-steps", type=int, default=0, help="of each architecture alone; 0: --steps")
    parser.add_argument("--further-steps", type=int, default=1000)
    parser.add_argument("--space", default="homogeneous-kd")
    parser.add_argument("--strategy", default="sandwich")
    parser.add_argument("--subnets", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--validation-rows", type=int, default=256)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--band", type=float, nargs=2, default=[0.22, 0.25])
    parser.add_argument("--targets", nargs="+", default=["speedup>=2x", "speedup>=4x"])
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--tasks", nargs="*", default=["mrpc", "stsb", "sst2"])
    parser.add_argument("--limit", type=int, default=8000, help="training rows of a task")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-5, 1e-4])
    parser.add_argument("--task-length", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    work = a.work / f"{a.space}-{a.strategy}-{a.steps}-{a.seed}"
    minutes, began = {}, processor_minutes()

    def spent(part: str) -> None:
        nonlocal began
        minutes[part], began = processor_minutes() - began, processor_minutes()

    run = supernet(a, work)
    spent("supernet")
    losses = read_json(run / "validation.json")
    given = {key: value for key, value in vars(a).items() if key not in ("data", "work", "model", "write", "parts")}
    given["model"] = fingerprint_model(a.model)
    found: dict[str, Any] = {"settings": given, "machine": describe_machine(), "curve": losses["curve"]}
    found["subnets"] = {name: entry["shape"] for name, entry in losses["subnets"].items()}
    if "fidelity" in a.parts:
        found["fidelity"] = fidelity(a, run, work)
        found["fidelity"].pop("run")
        spent("fidelity")
    if "targets" in a.parts:
        found["targets"] = {}
        for target in a.targets:
            found["targets"][target] = against_convention(a, run, work, target)
            spent(target)
    found["processor_minutes_of_this_call"] = minutes
    if a.write:
        write_json(RESULTS / f"{work.name}.json", found)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
