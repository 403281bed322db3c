"""Why the chosen model of a finished run is faster, or not: measured parts of the original and of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import Conditions, cost_model, representative_lengths
from sublm.costs.breakdown import halves_off, measure_breakdown
from sublm.costs.latency import Latency, measure_jobs
from sublm.errors import DataError, LatencyError, RunError
from sublm.export import Deployment, load
from sublm.export.onnx import longest_text
from sublm.files import read_json, write_json
from sublm.machine import describe_machine, device_differences
from sublm.report import EXPLAIN_FILE
from sublm.settings import Settings
from sublm.spaces import Subnet
from sublm.supernet import SuperNet
from sublm.tasks import encode, load_task, load_tokenizer
from sublm.tasks.encoding import default_length
from sublm.tasks.kinds import kind_of

SCHEMA = 2
TEXTS = 64
"""Texts that are put into batches to see what padding costs."""


def explain(
    run: str | Path,
    *,
    model: str | None = None,
    batch: int = 16,
    rounds: int = 20,
    seed: int = 0,
    measure: Callable[..., Mapping[str, Latency]] = measure_jobs,
) -> dict[str, Any]:
    """Measures where the time of the original and of a model of the run goes, as the run deploys them.

    It is written to `explain.json`, which the report shows.

    Args:
        run: The run directory, finished.
        model: Name of a model; the chosen one by default.
        batch: Texts per batch, for what padding costs.
        rounds: Times everything is measured.
        seed: Of the texts and the order.
        measure: `measure_jobs`, or a function like it.

    Returns:
        Plain data: what `measure_breakdown` gives, with the shares of MACs and parameters, "findings" in sentences, the
        conditions and the machine. "estimated" says why padding is an estimate; None where the task's texts were read.

    Raises:
        RunError: If there is no finished run, or no such model.
        LatencyError: If a number is too small, or something cannot be measured.
    """
    for what, value in (("batch", batch), ("rounds", rounds)):
        if value < 1:
            raise LatencyError(f"{what} must be at least 1; got {value}.")
    folder = Path(run)
    front, point = _finished(folder, model)
    latency = front["latency"]
    teacher = load(folder / "teacher")
    tokenizer = load_tokenizer(str(folder / "teacher"))
    lengths, maximum, estimated = _lengths(front, tokenizer)
    maximum = min(maximum, longest_text(teacher))
    lengths = [min(length, maximum) for length in lengths]
    conditions = Conditions(
        latency["runtime"], latency.get("precision", "fp32"), latency["threads"], tuple(latency["lengths"]), 1
    )
    supernet = SuperNet(teacher)
    subnets = {"original": supernet.largest, point["name"]: Subnet.from_dict(point["subnet"])}
    with tempfile.TemporaryDirectory(prefix="sublm-explain-") as scratch:
        models = {
            name: {
                what: Deployment(supernet.extract(part), Path(scratch) / name / what, tokenizer=tokenizer).form(
                    conditions.runtime, conditions.precision
                )
                for what, part in halves_off(subnet).items()
            }
            for name, subnet in subnets.items()
        }
        found = measure_breakdown(
            models, conditions, lengths, batch=batch, maximum=maximum, rounds=rounds, seed=seed, measure=measure
        )
    costs = cost_model(supernet)
    mean = round(float(np.mean(lengths)))
    for name, subnet in subnets.items():
        whole, bare = costs.parameters(subnet), costs.parameters(subnet, embeddings=False)
        found["models"][name] |= {
            "macs": costs.macs(subnet, mean),
            "parameters": whole,
            "embedding_parameters": whole - bare,
        }
    machine = describe_machine()
    found |= {
        "schema": SCHEMA,
        "run": str(folder),
        "model": point["name"],
        "conditions": conditions.to_dict(),
        "mean_length": float(np.mean(lengths)),
        "batch": batch,
        "maximum": maximum,
        "estimated": estimated,
        "machine": machine,
        "elsewhere": device_differences(front.get("machine") or {}, machine, conditions.runtime),
    }
    found |= {"findings": findings(found)}
    write_json(folder / EXPLAIN_FILE, found)
    return found


def findings(found: Mapping[str, Any]) -> list[str]:
    """What the measurements say, the most useful first.

    Args:
        found: What `explain` measured.
    """
    name = found["model"]
    whole, small = found["models"]["original"], found["models"][name]
    speed_up, fewer = whole["latency_ms"] / small["latency_ms"], whole["macs"] / small["macs"]
    said = [f"{name} is {speed_up:.2f}x as fast as the original, and does {fewer:.2f}x fewer multiply-accumulates."]
    parts = small["parts"]
    if fewer > 1.1 and speed_up < 0.9 * fewer:
        said[0] += " Time does not follow them:"
        said.append(_why_slower(whole, small, fewer))
    for part, title in (("attention", "Attention"), ("ffn", "The FFN")):
        before, after = whole["parts"][part]["ms"], parts[part]["ms"]
        if after > 0 and before > 0:
            said.append(
                f"{title} went from {before:.2f} to {after:.2f} ms ({before / after:.1f}x) and is now "
                f"{parts[part]['share']:.0%} of the time."
            )
    if parts["overhead"]["share"] > 0.2:
        other = ", and ONNX Runtime has less of it than torch" if found["conditions"]["runtime"] == "torch" else ""
        said.append(f"A call costs {parts['overhead']['ms']:.2f} ms whatever is in it: larger batches share it{other}.")
    share = small["embedding_parameters"] / small["parameters"]
    said.append(
        f"Embeddings are {share:.0%} of its parameters and {parts['embeddings']['share']:.0%} of its time: parameters "
        "say little about speed."
    )
    padding = found["padding"]
    costs = {policy: entry["ms_per_text"][name] for policy, entry in padding.items()}
    best = min(costs, key=lambda policy: costs[policy])
    worst = padding["padded to the maximum"]
    dearer = costs["padded to the maximum"] / costs[best]
    if dearer > 1.05:
        said.append(
            f"Padding every text to {found['maximum']} tokens computes {worst['computed']:.1f} tokens for each real "
            f"one and takes {dearer:.1f}x the time of the best habit here, {best} ({costs[best]:.2f} ms a text)."
        )
    if found.get("estimated"):
        said.append(found["estimated"])
    return said


def _why_slower(whole: Mapping[str, Any], small: Mapping[str, Any], fewer: float) -> str:
    """What keeps a model from being as much faster as it has fewer MACs: what pruning leaves, or the halves."""

    def fixed(entry: Mapping[str, Any]) -> float:
        return float(entry["parts"]["embeddings"]["ms"] + entry["parts"]["overhead"]["ms"])

    left, took, before = fixed(small), small["latency_ms"], whole["latency_ms"]
    if left - fixed(whole) / fewer >= (took - before / fewer) / 2:
        return (
            f"{left:.2f} ms of its {took:.2f} ms ({left / took:.0%}) are embeddings and the fixed cost of a call, "
            "which pruning does not touch."
        )
    return (
        f"Attention and the FFN went from {before - fixed(whole):.2f} to {took - left:.2f} ms, where {fewer:.2f}x less "
        f"is {(before - fixed(whole)) / fewer:.2f} ms; each multiply-accumulate takes longer than in the original."
    )


def _finished(folder: Path, model: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's front and the model that is asked about."""
    if not (folder / "front.json").exists():
        raise RunError(f"{folder} has no front.json: it is no run directory, or the run is not finished.")
    front = read_json(folder / "front.json")
    if not (folder / "teacher" / "config.json").exists():
        raise RunError(f"{folder} has no teacher to compare with; a run without one (--teacher none) is not explained.")
    wanted = model or front["chosen"]
    points = {point["name"]: point for point in front["points"]}
    if wanted not in points:
        which = "Nothing was chosen" if wanted is None else f"There is no model {wanted!r}"
        raise RunError(f"{which} in {folder}; name one with --model: {', '.join(points) or 'there are none'}.")
    return front, points[wanted]


def _lengths(front: Mapping[str, Any], tokenizer: Any) -> tuple[list[int], int, str | None]:
    """Lengths of some of the task's texts in the order they come, and what a text is cut at.

    Where the task's data is not at hand any more, the representative lengths of the run stand for it; a sentence then
    says so.
    """
    settings = Settings.from_dict(front["settings"])
    cut, estimated = settings.max_length, None
    try:
        data = load_task(
            settings.task,
            data=settings.data,
            pairs=settings.pairs,
            text=settings.text,
            label=settings.label,
            kind=settings.kind,
            seed=settings.seed,
            announce=False,
        )
        cut = cut or default_length(data.task)
        lengths = encode(data.validation, data.task, tokenizer, cut).lengths.tolist()
    except (DataError, OSError) as error:
        lengths = list(front["latency"]["lengths"])
        cut = cut or kind_of(front["task"]["kind"]).max_length
        estimated = (
            f"The task's data is not at hand ({str(error).rstrip('.')}); what padding costs is estimated from the "
            f"{len(lengths)} lengths that the run measured with."
        )
    chosen = list(representative_lengths(lengths, TEXTS))
    # representative lengths ascend; batches are made of texts as they come
    order = np.random.default_rng(settings.seed).permutation(len(chosen))
    return [int(chosen[i]) for i in order], cut, estimated
