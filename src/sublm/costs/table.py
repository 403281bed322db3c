"""A table of latencies: models by lengths, batches, threads, runtimes and precisions, measured in one session."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sublm.costs.conditions import MODULES, RUNTIMES, Conditions, grid, is_installed
from sublm.costs.latency import Job, Latency, measure_jobs
from sublm.costs.stored import stored_precision
from sublm.errors import LatencyError, MissingPackageError
from sublm.files import read_json
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
        models: Name -> a model, its folder, or an ONNX file. A file that is not in fp32 is measured as it is.
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
        a sentence per combination that does not exist or was not measured, "machine" with the versions, "rounds" and
        "seed".

    Raises:
        LatencyError: If nothing is left to measure, a model is none or reads no texts of that length, or something
            cannot be measured.
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
    files = {name: Path(model) for name, model in models.items() if _is_file(model)}
    held = {name: stored_precision(path) for name, path in files.items() if path.suffix == ".onnx"}
    chosen: dict[str, list[Conditions]] = {}
    for name, model in models.items():
        if name in files:
            chosen[name], said = _of_file(name, files[name], held.get(name), conditions)
            left_out += said
        else:
            _check_lengths(name, model, conditions)
            chosen[name] = conditions
    if not any(chosen.values()):
        raise LatencyError(f"Nothing is left to measure: {' '.join(left_out)}")
    with tempfile.TemporaryDirectory(prefix="sublm-latency-") as scratch:
        jobs: dict[str, Job] = {}
        owners: dict[str, str] = {}
        for number, (name, model) in enumerate(models.items()):
            deployment = Deployment(model, Path(scratch) / str(number))
            as_it_is = held.get(name, "fp32") != "fp32"
            for found in chosen[name]:
                key = f"{name} ({found.runtime} {found.precision}, {found.threads} threads, {found.length} tokens"
                key = f"{key}, batch {found.batch})"
                jobs[key] = Job(files[name] if as_it_is else deployment.form(found.runtime, found.precision), found)
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


def _is_file(model: Any) -> bool:
    return isinstance(model, (str, Path)) and Path(model).is_file()


def _of_file(
    name: str, path: Path, held: str | None, conditions: Sequence[Conditions]
) -> tuple[list[Conditions], list[str]]:
    """Under which of the conditions a file is measured that holds a precision, and what is said of the others.

    Raises:
        LatencyError: If it is no ONNX file.
    """
    if held is None:
        inside = f" Its folder is {path.parent}." if (path.parent / "config.json").exists() else ""
        raise LatencyError(f"{name} is no model: give the folder of one, or an .onnx file.{inside}")
    kept: list[Conditions] = []
    said: list[str] = []
    for found in conditions:
        if found.runtime == "torch":
            said.append(
                f"{name} is an ONNX file, which torch does not run: pass --runtime onnx, or its model's folder."
            )
        elif held == "fp32" and (found.runtime, found.precision) == ("onnx", "fp16"):
            said.append(f"{name} is in fp32, and fp16 is written from the model: give its folder.")
        elif held == "fp32":
            kept.append(found)
        elif held in (*RUNTIMES[found.runtime], "file"):
            kept.append(replace(found, precision=held))
            what = "a precision that is not known" if held == "file" else held
            if found.precision != held:
                said.append(f"{name} is in {what}: it is measured as it is, not in {found.precision}.")
        else:
            said.append(
                f"{name} is in {held}, which {found.runtime} has not; it has {', '.join(RUNTIMES[found.runtime])}."
            )
    return list(dict.fromkeys(kept)), list(dict.fromkeys(said))


def _check_lengths(name: str, model: Any, conditions: Sequence[Conditions]) -> None:
    """Refuses texts that have more tokens than a model has positions.

    Raises:
        LatencyError: If it cannot read one.
    """
    from sublm.export.onnx import positions
    from sublm.export.save import load

    longest = max(c.length if isinstance(c.length, int) else max(c.length) for c in conditions)
    if isinstance(model, (str, Path)):
        config = Path(model) / "config.json"
        stated = read_json(config) if config.is_file() else {}
        # some families begin after the padding; only a model that may be too small is loaded for this
        if not stated or longest + (stated.get("pad_token_id") or 0) < stated.get("max_position_embeddings", longest):
            return
        model = load(model)
    limit = positions(model)
    if limit is not None and longest > limit:
        raise LatencyError(f"{name} reads at most {limit} tokens; got length {longest}. Pass --length {limit} or less.")
