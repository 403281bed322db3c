"""Where a model's time goes: attention, FFN, embeddings, the fixed cost of a call, and padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sublm.costs.conditions import Conditions
from sublm.costs.latency import Job, Latency, measure_jobs
from sublm.errors import LatencyError
from sublm.spaces.subnet import Subnet

PARTS = ("attention", "ffn", "embeddings", "overhead")
"""Parts of the time of a forward pass."""

POLICIES = ("one by one", "padded to the maximum", "padded to the longest of the batch", "sorted by length")
"""How texts are put into batches, the dearest habits among them."""


def halves_off(subnet: Subnet) -> dict[str, Subnet]:
    """The sub-network whole, without its attention, without its FFNs, and without either."""
    layers = len(subnet.heads)
    bare: tuple[int, ...] = (0,) * layers
    return {
        "whole": subnet,
        "no attention": subnet.replace(heads=bare),
        "no ffn": subnet.replace(neurons=bare),
        "neither": subnet.replace(heads=bare, neurons=bare),
    }


def break_down(times: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds of every part.

    Attention and FFN are what the model is quicker without them, the mean of what each saves beside the other one and
    alone (their Shapley values): together they are the time that the model is quicker without both, no more and no
    less. Embeddings are what is left without both, less the overhead: what even one token costs with no layer at all
    (the call, the head, the first look-up).

    Args:
        times: Milliseconds of the models of `halves_off`, and of "one token": neither half, one token.

    Returns:
        Part -> milliseconds, in the order of `PARTS`; they add up to the whole. That of a half which costs hardly
        anything may be below zero, by as much as the measurement was disturbed.
    """
    both = times["whole"] - times["neither"]
    attention = (both + times["no ffn"] - times["no attention"]) / 2
    overhead = min(times["one token"], times["neither"])
    return {
        "attention": attention,
        "ffn": both - attention,
        "embeddings": times["neither"] - overhead,
        "overhead": overhead,
    }


def padded_batches(lengths: Sequence[int], policy: str, *, batch: int, maximum: int) -> list[tuple[int, int]]:
    """Texts and width of every batch.

    Args:
        lengths: Tokens of every text, in the order they come.
        policy: One of `POLICIES`.
        batch: Texts per batch.
        maximum: Tokens that "padded to the maximum" pads to.

    Raises:
        LatencyError: If a batch would hold no text.
    """
    if batch < 1:
        raise LatencyError(f"batch must be at least 1; got {batch}.")
    if policy == "one by one":
        return [(1, length) for length in lengths]
    ordered = sorted(lengths) if policy == "sorted by length" else list(lengths)
    parts = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
    return [(len(part), maximum if policy == "padded to the maximum" else max(part)) for part in parts]


def measure_breakdown(
    models: Mapping[str, Mapping[str, Any]],
    conditions: Conditions,
    lengths: Sequence[int],
    *,
    batch: int = 16,
    maximum: int = 128,
    rounds: int = 20,
    budget_s: float | None = None,
    seed: int = 0,
    measure: Callable[..., Mapping[str, Latency]] = measure_jobs,
) -> dict[str, Any]:
    """Measures models whole and with halves switched off, and what padding costs them, all in turns.

    Args:
        models: Name -> what to run for each entry of `halves_off`.
        conditions: How; its length is a task's own.
        lengths: Tokens of the texts that are put into batches.
        batch: Texts per batch.
        maximum: Tokens that "padded to the maximum" pads to.
        rounds: Rounds that count.
        budget_s: Seconds after which no further round starts, once three are made.
        seed: Of the texts and the order.
        measure: `measure_jobs`, or a function like it.

    Returns:
        "models": name -> "latency_ms", and "parts" with "ms" and "share" each; "padding": policy -> "computed", tokens
        computed per real token, and "ms_per_text" by model.

    Raises:
        LatencyError: If an argument cannot be used, or something cannot be measured.
    """
    batches = {policy: padded_batches(lengths, policy, batch=batch, maximum=maximum) for policy in POLICIES}
    jobs: dict[str, Job] = {}
    for name, forms in models.items():
        jobs |= {f"{name}: {what}": Job(form, conditions) for what, form in forms.items()}
        jobs[f"{name}: one token"] = Job(forms["neither"], replace(conditions, length=1, batch=1))
        for rows, width in sorted({entry for found in batches.values() for entry in found}):
            jobs[f"{name}: {rows} x {width}"] = Job(forms["whole"], replace(conditions, length=width, batch=rows))
    found = measure(jobs, rounds=rounds, budget_s=budget_s, seed=seed)
    result: dict[str, Any] = {"models": {}, "padding": {}}
    for name, forms in models.items():
        times = {what: found[f"{name}: {what}"].minimum for what in (*forms, "one token")}
        parts = break_down(times)
        result["models"][name] = {
            "latency_ms": times["whole"],
            "parts": {part: {"ms": ms, "share": ms / times["whole"]} for part, ms in parts.items()},
        }
    for policy, entries in batches.items():
        per_text = {
            name: sum(found[f"{name}: {rows} x {width}"].minimum for rows, width in entries) / len(lengths)
            for name in models
        }
        computed = sum(rows * width for rows, width in entries) / float(np.sum(lengths))
        result["padding"][policy] = {"computed": computed, "ms_per_text": per_text}
    return result
