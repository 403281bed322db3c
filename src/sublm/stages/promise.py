"""Keeping a latency that was promised: finalists are measured as they will run, and again once they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sublm.costs import LatencyPredictor
from sublm.costs.measured import measure_subnets
from sublm.export import deployer
from sublm.search import Evaluation, Finalists, keep_promise, ratio_near
from sublm.search.finalists import MARGIN
from sublm.stages.latency import latency_options
from sublm.stages.models import Point, choose, make_model, names_for
from sublm.stages.results import latency_ms, measure, measured_limits, promised_latency
from sublm.stages.search import Found
from sublm.stages.supernet import Prepared
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace

ATTEMPTS = 2
"""How many further models are written when every written one breaks the promise."""


def measure_finalists(work: Workspace, prepared: Prepared, found: Found) -> Found:
    """Measures what would be chosen before anything is spent on it; does nothing if no latency was promised.

    Latency depends on shapes, so the untrained sub-networks can be measured, in the runtime that will be deployed.

    Returns:
        The search's result with its finalists: models that keep the promise when measured. If none is found, that is
        left to what the written models measure.
    """
    limit = promised_latency(found.constraints)
    if limit is None or work.settings.sizes:
        return found
    s = work.settings
    cost = next(name for name in s.objectives if name != "score")
    scored = [e for e in found.eligible if math.isfinite(e.score) and not e.dropped]
    options = latency_options(work)
    inputs = options | {
        "limit": limit,
        "shares": [c.share for c in found.constraints if c.cost == "latency"],
        "cost": cost,
        "models": s.models,
        "evaluations": len(found.evaluations),
    }
    if found.mark:
        inputs["mark"] = found.mark  # the search is no stage of the chain
    stage = work.stage("finalists", inputs, upto="search")
    by_key = {e.subnet.key: e for e in scored}
    known, milliseconds = _known_largest(found.predictor), dict[str, float]()
    if not stage.done:
        with work.doing(stage, "Measuring the finalists") as folder:

            def measure_them(evaluations: list[Evaluation]) -> dict[str, float]:
                subnets = [e.subnet for e in evaluations]
                times, largest = measure_subnets(
                    prepared.supernet,
                    subnets,
                    prepare=deployer(folder, options["runtime"], options["precision"], tokenizer=work.tokenizer),
                    known=known,
                    rounds=40,
                    budget_s=60.0,
                    **options,
                )
                found_here = {subnet.key: float(time) for subnet, time in zip(subnets, times, strict=True)}
                milliseconds.update(found_here)
                # Beside the largest as it was measured, a speed-up allows more or less than beside the predicted one.
                here = promised_latency(measured_limits(found.constraints, min(largest.minimum, known or math.inf)))
                assert here is not None
                return {key: time * limit / here for key, time in found_here.items()}

            kept = find_finalists(found.front, scored, limit, lambda es: choose(es, cost, s.models), measure_them)
            stage.result |= {
                "chosen": [e.subnet.key for e in kept.chosen],
                "measured": milliseconds,
                "ratio": kept.ratio,
                "broken": list(kept.broken),
            }
    result = stage.result
    finalists = Finalists(
        [by_key[key] for key in result["chosen"]], dict(result["measured"]), result["ratio"], tuple(result["broken"])
    )
    if not finalists.chosen:  # what comes nearest is written, so that it can be shown
        least = min(scored, key=lambda e: e.costs["latency"], default=None)
        finalists = replace(finalists, chosen=[] if least is None else [least])
    if finalists.broken:
        work.progress.message(
            f"{len(finalists.broken)} of {len(finalists.measured)} finalists take longer than "
            f"{' and '.join(s.target)} allows when measured; others take their place"
        )
    return replace(found, finalists=finalists)


def _known_largest(predictor: LatencyPredictor | None) -> float | None:
    """What the largest took when the predictor was fitted, if that was on this device."""
    if predictor is None or predictor.differences():
        return None
    return predictor.largest


def find_finalists(
    front: Sequence[Evaluation],
    evaluations: Sequence[Evaluation],
    limit: float,
    pick: Callable[[list[Evaluation]], list[Evaluation]],
    measure: Callable[[list[Evaluation]], Mapping[str, float]],
) -> Finalists:
    """Members of the front that keep the limit when measured; if none does, other evaluations.

    Args:
        front: The front.
        evaluations: All evaluations with a finite score.
        limit: Milliseconds.
        pick: Chooses what becomes a model.
        measure: Milliseconds by the sub-network's key.
    """
    kept = keep_promise([e for e in front if math.isfinite(e.score)], "latency", limit, pick, measure)
    if kept.chosen:
        return kept
    return keep_promise(evaluations, "latency", limit, pick, measure, known=kept)


def correct_models(
    work: Workspace,
    teacher: TeacherResult,
    prepared: Prepared,
    found: Found,
    points: list[Point],
    baselines: list[dict[str, Any]],
    original: dict[str, Any],
) -> tuple[list[Point], dict[str, Any]]:
    """Writes a further model if every written one breaks the promise when it is measured at the end.

    It is the best evaluation that keeps the limit if the search's predictions miss by as much as they did on the
    written models.

    Returns:
        All models, and the original's latency from the last measurement.
    """
    for attempt in range(ATTEMPTS):
        limit = promised_latency(measured_limits(found.constraints, original["minimum"]))
        if limit is None or any(latency_ms(point) <= limit for point in points):
            break
        further = further_evaluation([e for e in found.eligible if not e.dropped], points, limit)
        if further is None:
            break
        (name,) = names_for(work, prepared, [further], taken=[point.name for point in points])
        work.progress.message(f"No model keeps {limit:.4g} ms when measured; {name} is written too")
        points = [*points, make_model(work, teacher, prepared, found, further, name)]
        original = measure(work, teacher, points, baselines, name=f"measure again {attempt + 1}")
    return points, original


def further_evaluation(evaluations: Sequence[Evaluation], points: Sequence[Point], limit: float) -> Evaluation | None:
    """The best evaluation, not written yet, that should keep the limit; None if there is none.

    Args:
        evaluations: All of the search; they keep every other target.
        points: Written models, measured and predicted.
        limit: Milliseconds.
    """
    pairs = [(p.predicted_latency, latency_ms(p)) for p in points if p.predicted_latency]
    ratio = ratio_near(limit, [(guess, value) for guess, value in pairs if math.isfinite(value)])
    written = {point.subnet.key for point in points}
    fitting = [
        e
        for e in evaluations
        if math.isfinite(e.score) and e.subnet.key not in written and e.costs["latency"] * ratio * MARGIN <= limit
    ]
    return max(fitting, key=lambda e: (e.score, -e.costs["latency"]), default=None)
