"""The plan of a run: what each stage will do and about how long it takes, from one timed step."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import torch

from sublm.costs import cost_model, measure_latency
from sublm.export import deployer
from sublm.progress import plural, show_duration
from sublm.search import SAMPLERS
from sublm.search.samplers import MOASHA
from sublm.settings import Settings
from sublm.spaces import StratifiedSampler
from sublm.stages.latency import LATENCY_SAMPLES, latency_options, wants_latency
from sublm.stages.masks import SIZES
from sublm.stages.reconstruction import ROWS
from sublm.stages.supernet import Prepared, provisional
from sublm.stages.teacher import advice
from sublm.stages.workspace import Workspace
from sublm.tasks import predict

BACKWARD = 2.0
"""A backward pass costs about two forward passes."""


def make_plan(work: Workspace, prepared: Prepared | None = None, *, whole_job: bool = True) -> dict[str, Any]:
    """Stages with their work and an estimate of their time on this machine.

    Times follow from the time of a forward pass over some rows, and from the closed form of the MACs.

    Args:
        work: The run.
        prepared: An untrained super-network, if there is one already.
        whole_job: Also what writing models and measuring latency take, for which one is written and measured.
    """
    s = work.settings
    prepared = prepared or provisional(work)
    supernet, space = prepared.supernet, prepared.space
    costs = cost_model(supernet)
    whole = costs.macs(supernet.largest)
    row = _seconds_per_row(work, supernet.model)
    rows, search_rows = len(work.encoded["train"]), len(work.encoded["search"])
    step_rows = rows * (1 + BACKWARD) * row
    sampler = StratifiedSampler(space, costs.macs)
    rng = random.Random(s.seed)
    mean = sum(costs.macs(sampler.sample(rng)) for _ in range(100)) / 100 / whole
    smallest = costs.macs(space.smallest) / whole
    per_step = {
        "standard": 1.0,
        "guided": smallest + s.random_nets * mean,
        "random": s.random_nets * mean,
        "random_linear": (1 + s.random_nets * mean) / 2,
        "sandwich": 1 + smallest + s.random_nets * mean,
        "one_shot": 1 + smallest + s.random_nets * mean,
        "kd": (1 + 1 / 3 + s.random_nets * mean) / 2,
    }.get(s.strategy, 1 + s.random_nets * mean)
    stages: list[dict[str, Any]] = []
    deployed = _deployment(work, prepared) if whole_job else None

    def add(name: str, what: str, seconds: float) -> None:
        stages.append({"name": name, "work": what, "seconds": round(seconds, 1)})

    if deployed and wants_latency(work) and s.predictor is None:
        what = f"{LATENCY_SAMPLES} sub-networks in {s.runtime} {s.runtime_precision}"
        add("latency", what, deployed.seconds(LATENCY_SAMPLES, rounds=20, budget=90.0, share=mean))
    fine_tunes = s.teacher is None and not work.trained
    if fine_tunes:
        add("teacher", f"{plural(s.teacher_epochs, 'epoch')} of fine-tuning", s.teacher_epochs * step_rows)
    if s.importance == "movement":
        epochs = plural(s.movement_epochs, "epoch")
        add("importance", f"{epochs} of fine-tuning with movement scores", s.movement_epochs * step_rows)
    if s.epochs and not s.standalone:
        add(
            "train",
            f"{plural(s.epochs, 'epoch')} of {s.strategy} ({per_step:.2f} full passes a step)",
            s.epochs * per_step * step_rows,
        )
    if s.no_train:
        add("masks", f"{plural(len(s.sizes or SIZES), 'size')} on {ROWS} rows", *_without_training(s, row, search_rows))
    elif s.standalone:
        add("standalone", *_standalone(s, prepared.space.size, mean * (step_rows + search_rows * row)))
    else:
        add("search", f"{s.evaluations} sub-networks on {search_rows} rows", s.evaluations * mean * search_rows * row)
    if s.recover_epochs:
        share = mean * s.models * s.recover_epochs
        add("recover", f"{plural(s.models, 'model')}, {plural(s.recover_epochs, 'epoch')} each", share * step_rows)
    for kind in s.baselines:
        if kind != "original-int8":
            seconds = s.teacher_epochs * sum(s.baseline_sizes) * step_rows
            add(
                f"baseline {kind}",
                f"{plural(len(s.baseline_sizes), 'size')}, {plural(s.teacher_epochs, 'epoch')} each",
                seconds,
            )
    if deployed:
        number = len(s.sizes) or s.models
        add(
            "models",
            f"{plural(number, 'model')} written, scored and measured",
            _models(work, deployed, number, mean, row),
        )
    return {
        "model": s.model,
        "task": work.data.task.name,
        "rows": {name: len(encoded) for name, encoded in work.encoded.items() if name != "full_train"},
        "space": {
            "name": space.name,
            "size": space.size if space.size < 10**15 else f"{space.size:.3e}",
            # Before units are scored, the widths of the layers are a guess.
            "exact": prepared.importance is not None or space.name not in ("nested", "importance"),
        },
        "parameters": costs.parameters(supernet.largest),
        "macs": whole,
        "smallest_macs": costs.macs(space.smallest),
        "stages": stages,
        "advice": advice(work) if fine_tunes else "",
        "seconds": round(sum(stage["seconds"] for stage in stages), 1),
        "plain_fine_tunings": round(sum(e["seconds"] for e in stages) / (s.teacher_epochs * step_rows), 2),
    }


def tell_time(work: Workspace, prepared: Prepared) -> None:
    """Says how long a run that begins will train and search; where nobody listens, nothing is timed."""
    if not work.progress.speaks or any(done["name"] == "teacher" for done in work.run.seconds()):
        return
    plan = make_plan(work, prepared, whole_job=False)
    stages = ", ".join(f"{stage['name']} {show_duration(stage['seconds'])}" for stage in plan["stages"])
    total = show_duration(plan["seconds"])
    work.progress.message(f"To come: about {total} ({stages}), an estimate good to a factor of two.")


@dataclass(frozen=True)
class _Deployment:
    """What the largest costs in its deployed form: seconds to write it, and of a pass over each length."""

    write: float
    measured: float

    def seconds(self, number: int, *, rounds: int, budget: float, share: float) -> float:
        """Of writing so many sub-networks, and measuring them, which ends with the budget.

        Every pass that is timed follows one that is not. The smaller files are written almost as slowly.
        """
        return number * self.write + min(budget, 2 * number * rounds * self.measured * share)


def _deployment(work: Workspace, prepared: Prepared) -> _Deployment:
    """Writes and measures the largest sub-network once."""
    options = latency_options(work)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        deploy = deployer(folder, options["runtime"], options["precision"], tokenizer=work.tokenizer)
        form = deploy(prepared.supernet.extract(prepared.supernet.largest))
        write = time.perf_counter() - began
        found = measure_latency({"largest": form}, rounds=1, warmup=0, **options)["largest"]
    lengths = options["length"]
    return _Deployment(write, found.minimum / 1000 * (1 if isinstance(lengths, int) else len(lengths)))


def _models(work: Workspace, deployed: _Deployment, number: int, mean: float, row: float) -> float:
    """Seconds of writing, scoring and measuring the models at the end, and before where a latency is promised."""
    scored = number * mean * row * (len(work.encoded["search"]) + 2 * len(work.encoded["validation"]))
    seconds = scored + deployed.seconds(number, rounds=25, budget=120.0, share=mean)
    if wants_latency(work):  # the finalists
        seconds += deployed.seconds(number, rounds=40, budget=60.0, share=mean)
    return seconds


def _without_training(settings: Settings, row: float, search_rows: int) -> list[float]:
    """Seconds of choosing masks, reconstructing and scoring."""
    return [ROWS * row * (1 + BACKWARD) + sum(settings.sizes or SIZES) * row * (4 * ROWS + search_rows)]


def _standalone(settings: Settings, size: int, epoch: float) -> tuple[str, float]:
    """What a standalone search does, and for how long.

    Args:
        settings: Of the run.
        size: Of the space.
        epoch: Seconds of an epoch of a candidate of mean size.
    """
    s, left, epochs, before = settings, 1.0, 0.0, 0
    halving = SAMPLERS[s.sampler]()
    levels = halving.rungs(s.epochs) if isinstance(halving, MOASHA) else ()
    for level in (*levels, s.epochs):
        epochs += left * (level - before)
        before, left = level, left / (halving.eta if isinstance(halving, MOASHA) else 1)
    candidates = min(s.evaluations, size)
    seconds = candidates * epochs * epoch / s.workers
    what = f"{candidates} candidates, each trained alone, {epochs:.1f} epochs of {s.epochs} on average"
    if s.hours is not None:
        what += f"; {s.hours:g} h at most"
        seconds = min(seconds, 3600 * s.hours)
    return what, seconds


def _seconds_per_row(work: Workspace, model: Any) -> float:
    """Time of a forward pass over one row of average length, in the precision of the search."""
    rows = work.encoded["search"].select(range(min(64, len(work.encoded["search"]))))
    predict(model, rows, precision=work.precision)  # warm-up
    began = time.perf_counter()
    predict(model, rows, precision=work.precision)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / len(rows)
