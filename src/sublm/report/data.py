"""What the pictures of a front show, computed without drawing anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublm.errors import RunError

SCHEMA = 1
COSTS = {"latency": "Latency", "macs": "MACs", "parameters": "Parameters", "memory": "Memory"}
"""Costs a front can have -> their titles; what matters most to users first."""

_TARGET = re.compile(r"^\s*(latency|macs|parameters|memory)\s*<=\s*([0-9.eE+]+)\s*(ms|s|us|%|[kKMG]i?B|[kKMG])?\s*$")
_FACTORS = {"": 1.0, "ms": 1.0, "s": 1e3, "us": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_FACTORS |= {"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}


@dataclass(frozen=True)
class Mark:
    """One thing in the picture.

    Attributes:
        name: Its name.
        score: Its score; None if it has none or it is not a number.
        costs: Its costs, those of `COSTS` that are known; latency in milliseconds, memory in bytes.
        before: Its score before recovery, if it was recovered.
        kind: What kind of baseline it is, empty otherwise.
        on_front: Whether it lies on the front.
    """

    name: str
    score: float | None
    costs: Mapping[str, float]
    before: float | None = None
    kind: str = ""
    on_front: bool = True


@dataclass(frozen=True)
class CostAxis:
    """One cost to draw the score against.

    Attributes:
        key: Its name, one of `COSTS`.
        title: Its title with the unit.
        scale: Costs are divided by this to be in that unit.
        original: The original's cost in that unit.
        limit: The target in that unit, if one was given for this cost.
    """

    key: str
    title: str
    scale: float
    original: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class FrontFigure:
    """What the pictures of a front show.

    Attributes:
        metric: Name of the score.
        axes: The costs that the front's models have.
        models: The front's models, cheapest first along the first axis.
        baselines: What they have to beat.
        evaluations: Every sub-network the search evaluated, scored on the search's own split.
        original: The model that everything was cut from.
        chosen: Name of the chosen model.
        score_range: Scores to show, lowest and highest.
        below: How many evaluations score less than that.
    """

    metric: str
    axes: tuple[CostAxis, ...]
    models: tuple[Mark, ...]
    baselines: tuple[Mark, ...]
    evaluations: tuple[Mark, ...]
    original: Mark
    chosen: str | None = None
    score_range: tuple[float, float] = (0.0, 1.0)
    below: int = 0


def read_front(front: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """The content of a front.json, checked for what a report cannot do without.

    Args:
        front: The content, or the file.

    Returns:
        The content.

    Raises:
        RunError: If the file cannot be read, or is of another schema, or lacks something.
    """
    if isinstance(front, Mapping):
        found, where = dict(front), "The front"
    else:
        path = Path(front)
        where = str(path)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{path} does not exist: the search writes it; run `sublm compress` or `sublm search`."
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{path} is not JSON: {error}.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise RunError(f"{where} has schema {schema!r}, this version of SubLM reads {SCHEMA}: run the search again.")
    if missing := {"task", "model", "teacher", "points"} - set(found):
        raise RunError(f"{where} lacks {', '.join(sorted(missing))}: run the search again.")
    chosen = found.get("chosen")
    if chosen is not None and chosen not in (names := [point["name"] for point in found["points"]]):
        raise RunError(
            f"{where} chose {chosen!r}, which is none of its models: {', '.join(names) or 'there are none'}."
        )
    return found


def costs_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """The costs of a point, baseline, evaluation or teacher; of a measured latency the minimum, in milliseconds."""
    latency = entry.get("latency_ms", entry.get("latency"))
    if isinstance(latency, Mapping):
        latency = latency.get("minimum")
    found = {"latency": latency, **{name: entry.get(name) for name in COSTS if name != "latency"}}
    return {name: float(value) for name, value in found.items() if _finite(value) is not None}


def limit_of(targets: Iterable[str], cost: str, original: float | None) -> float | None:
    """The tightest limit that targets such as `latency<=8ms`, `macs<=50%` or `parameters<=10M` set to a cost.

    Args:
        targets: The targets; those that are not of this form are passed over.
        cost: One of `COSTS`.
        original: The original's cost, which percentages are of.

    Returns:
        The limit in the unit of `costs_of`, or None.
    """
    limits = []
    for target in targets:
        match = _TARGET.match(target)
        if not match or match.group(1) != cost:
            continue
        unit = match.group(3) or ""
        factor = (original / 100 if original is not None else None) if unit == "%" else _FACTORS[unit]
        try:
            if factor is not None:
                limits.append(float(match.group(2)) * factor)
        except ValueError:
            continue
    return min(limits, default=None)


def _before_recovery(point: Mapping[str, Any]) -> float | None:
    """The score of a model before it was trained further; none if it was not."""
    return None if point.get("train_seconds") == 0 else _finite(point.get("score_before"))


def front_figure_data(front: Mapping[str, Any]) -> FrontFigure:
    """Computes what the pictures of a front show.

    Args:
        front: Content of a front.json.

    Returns:
        The data; `plotly_figure` and `write_png` draw it.
    """
    teacher = front["teacher"]
    original = Mark("original", _finite(teacher.get("score")), costs_of(teacher))
    models = tuple(
        Mark(point["name"], _finite(point.get("score")), costs_of(point), before=_before_recovery(point))
        for point in front["points"]
    )
    baselines = tuple(
        Mark(entry["name"], _finite(entry.get("score")), costs_of(entry), kind=entry.get("kind", ""))
        for entry in front.get("baselines") or ()
        if entry.get("kind") != "original"  # that one is drawn as reference lines
    )
    evaluations = tuple(
        Mark(str(e["number"]), _finite(e.get("score")), costs_of(e), on_front=bool(e.get("on_front")))
        for e in front.get("evaluations") or ()
        if not e.get("dropped")  # given up early: it has no score to draw
    )
    axes = _axes(front, models, original)
    if axes:
        models = tuple(sorted(models, key=lambda m: (m.costs.get(axes[0].key, math.inf), m.name)))
    shown = _score_range([original, *models, *baselines], evaluations)
    below = sum(1 for e in evaluations if e.score is None or e.score < shown[0])
    metric = front["task"].get("metric", "score")
    return FrontFigure(metric, axes, models, baselines, evaluations, original, front.get("chosen"), shown, below)


def _axes(front: Mapping[str, Any], models: tuple[Mark, ...], original: Mark) -> tuple[CostAxis, ...]:
    """The costs that every model has, each with a unit that suits its largest value."""
    axes = []
    for key, title in COSTS.items():
        if not models or any(key not in mark.costs for mark in models):
            continue
        largest = max(mark.costs[key] for mark in (*models, original) if key in mark.costs)
        unit, scale = ("ms", 1.0)
        if key != "latency":
            unit, scale = next(((u, s) for u, s in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if largest >= s), ("", 1.0))
            unit += "B" if key == "memory" else ""
        whole = original.costs.get(key)
        limit = limit_of(front.get("target") or (), key, whole)
        axes.append(
            CostAxis(
                key,
                f"{title} ({unit})" if unit else title,
                scale,
                None if whole is None else whole / scale,
                None if limit is None else limit / scale,
            )
        )
    return tuple(axes)


def _score_range(marks: Iterable[Mark], evaluations: tuple[Mark, ...]) -> tuple[float, float]:
    """Scores to show: all final ones; evaluations may stand above, but collapsed ones must not flatten the rest."""
    scores = [mark.score for mark in marks if mark.score is not None]
    if not scores:
        scores = [e.score for e in evaluations if e.score is not None] or [0.0, 1.0]
    low, high = min(scores), max([*scores, *(e.score for e in evaluations if e.score is not None)])
    margin = max(0.08 * (high - low), 0.004)
    return low - margin, high + 1.5 * margin


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
