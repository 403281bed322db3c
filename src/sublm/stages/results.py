"""What a run ends with: measured latencies, the chosen model, `front.json`, cards and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sublm import __version__
from sublm.costs import Conditions, Job, Latency, measure_jobs
from sublm.export import Deployment, ModelCard, known_of, write_card
from sublm.files import write_text
from sublm.progress import plural
from sublm.report import write_report
from sublm.run import write_json
from sublm.search import Constraint, Finalists
from sublm.spaces import Subnet
from sublm.spaces.subnet import count
from sublm.stages.comparison import compare_with_original
from sublm.stages.costs import memory_of
from sublm.stages.latency import latency_options
from sublm.stages.models import Point
from sublm.stages.search import Found
from sublm.stages.supernet import Prepared
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace

KEEP = 0.99
"""Without a target, the smallest model that keeps this share of the original's score is chosen."""


def measure(
    work: Workspace,
    teacher: TeacherResult,
    points: list[Point],
    baselines: list[dict[str, Any]],
    *,
    name: str = "measure",
) -> dict[str, Any]:
    """Measures the original, the models and the baselines as they are deployed, in turns; fills in their latencies.

    Args:
        work: The run.
        teacher: The original.
        points: The written models.
        baselines: What they are compared with.
        name: Of the stage.

    Returns:
        The original's latency.
    """
    options = latency_options(work)
    seed = options["seed"]
    deployed = Conditions(**{key: value for key, value in options.items() if key != "seed"})
    inputs = options | {"models": [p.name for p in points], "baselines": [b["name"] for b in baselines]}
    if others := [(p, e) for p in points for e in p.exports if not _is_deployed(e, deployed)]:
        inputs["exports"] = [f"{point.name} {entry['name']}" for point, entry in others]
    stage = work.run.stage(name, inputs)
    if not stage.done:
        how = f"{deployed.runtime} {deployed.precision}, {plural(deployed.threads, 'thread')}"
        with work.doing(stage, f"Measuring latency ({how})") as folder:
            jobs: dict[str, Job] = {}

            def add(name: str, model: Any) -> None:
                scratch = folder / str(len(jobs))
                scratch.mkdir(parents=True, exist_ok=True)
                form = Deployment(model, scratch, tokenizer=work.tokenizer).form(deployed.runtime, deployed.precision)
                jobs[name] = Job(form, deployed)

            add("original", teacher.model)
            for point in points:
                add(point.name, point.folder)
            for entry in baselines:
                if "model" in entry:
                    add(entry["name"], entry["model"])
                elif deployed.runtime == "onnx":
                    jobs[entry["name"]] = Job(entry["onnx"], replace(deployed, precision="int8"))
            for point, entry in others:
                how_else = replace(deployed, runtime=entry["runtime"], precision=entry["precision"])
                jobs[f"{point.name} {entry['name']}"] = Job(work.run.folder / entry["file"], how_else)
            found = measure_jobs(jobs, rounds=25, budget_s=120.0, seed=seed)
            stage.result |= {name: _milliseconds(latency) for name, latency in found.items()}
    for point in points:
        point.latency = stage.result[point.name]
        for entry in point.exports:
            own = point.name if _is_deployed(entry, deployed) else f"{point.name} {entry['name']}"
            entry["latency_ms"] = stage.result[own]
    for entry in baselines:
        entry["latency_ms"] = stage.result.get(entry["name"])
    return stage.result["original"]


def _is_deployed(entry: Mapping[str, Any], deployed: Conditions) -> bool:
    """Whether an export is what the run deploys."""
    return (entry["runtime"], entry["precision"]) == (deployed.runtime, deployed.precision)


def _milliseconds(latency: Latency) -> dict[str, float]:
    return {
        "minimum": round(latency.minimum, 4),
        "median": round(latency.median, 4),
        "spread": round(latency.spread, 4),
    }


def measured_limits(constraints: Sequence[Constraint], original: float) -> tuple[Constraint, ...]:
    """The constraints once the original is measured: a share of its latency, or a speed-up, is one of what it took.

    Args:
        constraints: As the search kept them, beside the original's predicted latency.
        original: Milliseconds.
    """
    return tuple(replace(c, limit=c.limit_beside(original)) if c.cost == "latency" else c for c in constraints)


def promised_latency(constraints: Sequence[Constraint]) -> float | None:
    """The tightest limit on latency, in milliseconds."""
    return min((c.limit for c in constraints if c.cost == "latency"), default=None)


def latency_ms(point: Point) -> float:
    """What a model's latency is compared by; infinite if it was not measured."""
    return float(point.latency["minimum"]) if point.latency else math.inf


def decide(
    work: Workspace, points: list[Point], constraints: tuple[Constraint, ...], teacher_search: float | None
) -> tuple[Point | None, str]:
    """Which model to take, by its score on the search split after recovery, in the form that is deployed.

    The reported split never chooses.

    Returns:
        The model and the reason; None if a measured latency breaks every promise.
    """
    metric = work.metric

    def cost(point: Point, name: str) -> float:
        return latency_ms(point) if name == "latency" else point.costs[name]

    scored = [p for p in points if math.isfinite(p.choosing_score)]
    if not scored:
        return None, "No model has a score."
    if constraints:
        wanted = " and ".join(work.settings.target)
        meeting = [p for p in scored if all(cost(p, c.cost) <= c.limit for c in constraints)]
        if not meeting:
            nearest = min(scored, key=lambda p: max(cost(p, c.cost) / c.limit for c in constraints))
            said = ", ".join(f"{c.cost} {cost(nearest, c.cost):.4g} (limit {c.limit:.4g})" for c in constraints)
            return nearest, (
                f"None meets {wanted} when measured; {nearest.name} comes nearest: {said}. "
                "Ask for a little less, or search again with a lower target."
            )
        best = max(meeting, key=lambda p: p.choosing_score)
        why = f"Best {metric} on the search split among the {plural(len(meeting), 'model')} that meet {wanted}."
        return best, f"{why}{_broken_promises(scored, constraints)}"
    reference = teacher_search if teacher_search is not None else max(p.choosing_score for p in scored)
    keeping = [p for p in scored if p.choosing_score >= KEEP * reference]
    if keeping:
        best = min(keeping, key=lambda p: p.costs["macs"])
        return best, f"Smallest model that keeps {KEEP:.0%} of the original's {metric} on the search split."
    best = max(scored, key=lambda p: p.choosing_score)
    return best, f"No model keeps {KEEP:.0%} of the original's {metric}; this one has the best on the search split."


def _broken_promises(points: list[Point], constraints: tuple[Constraint, ...]) -> str:
    """A sentence on models that were predicted to keep a latency and were measured not to."""
    limit = promised_latency(constraints)
    if limit is None:
        return ""
    broken = [p for p in points if p.predicted_latency and p.predicted_latency <= limit < latency_ms(p)]
    if not broken:
        return ""
    said = ", ".join(f"{p.name} ({p.predicted_latency:.4g} ms predicted, {latency_ms(p):.4g} measured)" for p in broken)
    return f" Passed over, because measuring broke what was predicted: {said}."


def promise(
    points: list[Point], chosen: Point | None, constraints: tuple[Constraint, ...], finalists: Finalists | None
) -> dict[str, Any] | None:
    """What was promised on latency and what came of it, as plain data; None if nothing was."""
    limit = promised_latency(constraints)
    if limit is None:
        return None
    return {
        "limit_ms": limit,
        "predicted_ms": chosen.predicted_latency if chosen else None,
        "finalist_ms": finalists.measured.get(chosen.subnet.key) if chosen and finalists else None,
        "measured_ms": latency_ms(chosen) if chosen and chosen.latency else None,
        "kept": bool(chosen and latency_ms(chosen) <= limit),
        "finalists_measured": len(finalists.measured) if finalists else 0,
        "finalists_broken": len(finalists.broken) if finalists else 0,
        "models_broken": [p.name for p in points if latency_ms(p) > limit],
    }


def build_front(
    work: Workspace,
    teacher: TeacherResult,
    prepared: Prepared,
    found: Found,
    points: list[Point],
    baselines: list[dict[str, Any]],
    original_latency: dict[str, Any],
) -> dict[str, Any]:
    """Everything a reader of the run wants to know, as plain data."""
    s, data = work.settings, work.data
    scores = work.run.result("teacher") if work.run.knows("teacher") else {}
    validation = scores.get("validation") or work.scores(teacher.model, "validation")
    costs, largest = teacher.costs, Subnet.full(teacher.costs.shape)
    constraints = measured_limits(found.constraints, original_latency["minimum"])
    chosen, why = decide(work, points, constraints, scores.get("search", {}).get(work.metric))
    compare_with_original(work, teacher, chosen)
    options = latency_options(work)
    on_front = {evaluation.number for evaluation in found.front}
    return {
        "schema": 1,
        "sublm": __version__,
        "task": {
            "name": data.task.name,
            "metric": work.metric,
            "kind": data.task.kind,
            "split": "validation",
            "examples": len(data.validation),
            "search_examples": len(data.search),
            "train_examples": len(data.train),
            "notes": list(data.notes),
        },
        "model": s.model,
        "teacher": {
            "score": validation[work.metric],
            "scores": validation,
            "parameters": costs.parameters(largest),
            "parameters_without_embeddings": costs.parameters(largest, embeddings=False),
            "macs": costs.macs(largest),
            "memory": memory_of(work, costs)(largest),
            "latency_ms": original_latency,
            "train_seconds": teacher.seconds,
            "subnet": largest.to_dict(),
        },
        "shape": {
            "layers": prepared.supernet.shape.layers,
            "heads": prepared.supernet.shape.heads,
            "neurons": prepared.supernet.shape.neurons,
            "hidden": prepared.supernet.shape.hidden,
        },
        "target": list(s.target),
        "chosen": chosen.name if chosen else None,
        "why": why,
        "points": [
            {
                "name": p.name,
                "subnet": p.subnet.to_dict(),
                "stock": p.stock,
                "search_score": p.search_score,
                "search_score_after": p.recovered_search_score,
                "score_before": p.before[work.metric],
                "score": p.after[work.metric],
                "scores": p.after,
                **p.costs,
                "latency_ms": p.latency,
                "predicted_latency_ms": p.predicted_latency,
                "deployed_scores": p.deployed,
                "deployed_search_score": p.deployed_search_score,
                "exports": [entry | {"score": entry["scores"][work.metric]} for entry in p.exports],
                "reconstruction": p.reconstruction,
                "train_seconds": p.train_seconds,
                "folder": str(p.folder.relative_to(work.run.folder)),
                "onnx": str(p.onnx.relative_to(work.run.folder)) if p.onnx else None,
            }
            for p in points
        ],
        "evaluations": [
            {
                "number": e.number,
                # Only scores on all rows are reported; what was given up early has an estimate.
                "score": e.score if math.isfinite(e.score) and not e.dropped else None,
                **({"dropped": True} if e.dropped else {}),
                **{name: value for name, value in e.costs.items() if name != "latency"},
                **({"latency": e.costs["latency"]} if "latency" in e.costs else {}),
                "on_front": e.number in on_front,
            }
            for e in found.evaluations
        ],
        "baselines": [{k: v for k, v in b.items() if k not in ("model", "onnx")} for b in baselines],
        "racing": found.racing,
        "predictor": found.predictor.summary() | {"elsewhere": found.predictor.differences()}
        if found.predictor
        else None,
        "promise": promise(points, chosen, constraints, found.finalists),
        "stages": work.run.seconds(),
        "machine": work.run.machine,
        "fingerprints": {"model": work.model_fingerprint, "data": data.fingerprint},
        "latency": options | {"length": "the task's own", "lengths": list(options["length"])},
        "seed": s.seed,
        "settings": s.lasting(),
    }


def front_csv(found: Found, points: list[Point], metric: str) -> str:
    """The front as CSV, by rising cost: score on the search split, costs, widths, and the model written, if one was."""
    models = {point.subnet.key: point for point in points}
    names = ["score", *(found.front[0].costs if found.front else ()), "heads", "neurons", "hidden"]
    lines = [",".join(["number", *names, "model", f"validation_{metric}"])]
    for e in reversed(found.front):
        costs = [f"{value:.10g}" for value in e.costs.values()]
        widths = [" ".join(str(count(units)) for units in kept) for kept in (e.subnet.heads, e.subnet.neurons)]
        point = models.get(e.subnet.key)
        written = [point.name, f"{point.after[metric]:.6g}"] if point else ["", ""]
        lines.append(
            ",".join([str(e.number), f"{e.score:.6g}", *costs, *widths, str(count(e.subnet.hidden)), *written])
        )
    return "\n".join(lines) + "\n"


def write_results(work: Workspace, front: dict[str, Any], found: Found, points: list[Point]) -> None:
    """Writes `front.json` and `front.csv`, a card per model, and the report."""
    with work.progress.stage("Writing the report"):
        write_json(work.run.folder / "front.json", front)
        write_text(work.run.folder / "front.csv", front_csv(found, points, work.metric))
        known = known_of(work.settings.model) | {"parent_fingerprint": work.model_fingerprint}
        for point in front["points"]:
            write_card(ModelCard.from_front(front, point["name"], **known), work.run.folder / point["folder"])
        write_report(front, work.run.folder)
