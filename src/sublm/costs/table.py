"""A table of latencies: models by lengths, batches, threads, runtimes and precisions, measured in one session."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sublm.costs.conditions import MODULES, grid, is_installed
from sublm.costs.latency import Job, Latency, measure_jobs
from sublm.errors import MissingPackageError
from sublm.machine import describe_machine

SCHEMA = 1


def latency_table(
    models: Mapping[str, Any],
    *,
    runtimes: Sequence[str] = ("torch",),
    precisions: Sequence[str] = ("fp32",),
    threads: Sequence[int] = (1,),
    lengths: Sequence[int | tuple[int, ...]] = (128,),
    batches: Sequence[int] = (1,),
    rounds: int = 30,
    budget_s: float | None = None,
    seed: int = 0,
    measure: Callable[..., Mapping[str, Latency]] = measure_jobs,
) -> dict[str, Any]:
    """Measures every combination, all of them taking turns.

    Args:
        models: Name -> a model, its folder, or an ONNX file.
        runtimes: Of `sublm.costs.RUNTIMES`.
        precisions: Those that a runtime does not have are left out, which is said.
        threads: Threads of one forward pass.
        lengths: Tokens of a text.
        batches: Texts of one forward pass.
        rounds: Rounds that count.
        budget_s: Seconds after which no further round starts, once three are made.
        seed: Of the texts and the order.
        measure: `measure_jobs`, or a function like it.

    Returns:
        Plain data: "measurements", one entry per combination ("model" and the fields of `Latency`), "left_out" with
        a sentence per combination that does not exist, "machine" with the versions, "rounds" and "seed".

    Raises:
        LatencyError: If nothing is left to measure, or something cannot be measured.
        MissingPackageError: If a runtime is not installed.
    """
    from sublm.export.deploy import Deployment

    conditions, left_out = grid(runtimes, precisions, threads, lengths, batches)
    for runtime in dict.fromkeys(c.runtime for c in conditions):
        if not is_installed(runtime):
            raise MissingPackageError(
                f"The runtime {runtime} needs the package {MODULES[runtime]}, which is not installed: "
                f'pip install "sublm[{runtime}]", or leave it out of --runtime.'
            )
    with tempfile.TemporaryDirectory(prefix="sublm-latency-") as scratch:
        jobs: dict[str, Job] = {}
        owners: dict[str, str] = {}
        for number, (name, model) in enumerate(models.items()):
            deployment = Deployment(model, Path(scratch) / str(number))
            for found in conditions:
                key = f"{name} ({found.runtime} {found.precision}, {found.threads} threads, {found.length} tokens"
                key = f"{key}, batch {found.batch})"
                jobs[key] = Job(deployment.form(found.runtime, found.precision), found)
                owners[key] = name
        latencies = measure(jobs, rounds=rounds, budget_s=budget_s, seed=seed)
    return {
        "schema": SCHEMA,
        "measurements": [{"model": owners[key], **latency.to_dict()} for key, latency in latencies.items()],
        "left_out": left_out,
        "machine": describe_machine(),
        "rounds": rounds,
        "seed": seed,
    }
