"""What came out of the searches of `search_methods.py`: hypervolume against cost, as JSON, table and plot."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from search_bench import Bench, connect, rungs

from sublm.machine import describe_machine, library_versions
from sublm.search.pareto import hypervolume
from sublm.search.racing import Racing
from sublm.tasks import compute_metrics

REFERENCE = ("nsga2", "full")
GOAL, BUDGET = 0.995, 0.1


def volumes(trace: list[list[Any]]) -> np.ndarray:
    """The hypervolume after every evaluation."""
    points = [
        (1 - min(max(score, 0.0), 1.0), share) if score is not None and not dropped else (np.nan, np.nan)
        for _, score, share, dropped, *_ in trace
    ]
    found, best = [], 0.0
    front: list[tuple[float, float]] = []
    for point in points:
        if point[0] == point[0] and not any(a <= point[0] and b <= point[1] for a, b in front):
            front = [*(p for p in front if not (point[0] <= p[0] and point[1] <= p[1])), point]
            best = hypervolume(front, (1.0, 1.0))
        found.append(best)
    return np.array(found)


def summarise(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything by space, method and mode: mean and spread over the seeds."""
    traces = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(bench.folder.glob("*.json"))]
    traces = [t for t in traces if t["space"] in arguments.space and t["trace"]]
    found: dict[str, Any] = {
        "task": bench.task.name,
        "metric": bench.task.metric,
        "rows": len(bench.encoded),
        "rungs": list(Racing().rungs(len(bench.encoded))),
        "precision": bench.precision,
        "hypervolume": {"objectives": ["1 - score", "share of the largest's MACs"], "reference": [1.0, 1.0]},
        "machine": describe_machine(),
        "versions": library_versions(),
        "spaces": {},
    }
    for space in arguments.space:
        here = [t for t in traces if t["space"] == space]
        reference = [t for t in here if (t["method"], t["mode"]) == REFERENCE]
        if not reference:
            continue
        reached = (
            min(len(t["trace"]) for t in reference if t["complete"])
            if any(t["complete"] for t in reference)
            else max(len(t["trace"]) for t in reference)
        )
        reference = [t for t in reference if len(t["trace"]) >= reached]
        level = statistics.mean(float(volumes(t["trace"])[reached - 1]) for t in reference)
        macs = statistics.mean(t["trace"][reached - 1][4] for t in reference)
        seconds = statistics.mean(sum(t["trace"][reached - 1][5:7]) for t in reference)
        entry: dict[str, Any] = {
            "settings": bench.spaces[space].size
            if bench.spaces[space].size < 1e15
            else f"{bench.spaces[space].size:.3g}",
            "reference": {
                "method": "nsga2, full evaluation",
                "evaluations": reached,
                "seeds": len(reference),
                "hypervolume": level,
                "macs": macs,
                "seconds": seconds,
            },
            "methods": {},
        }
        for method, mode in sorted({(t["method"], t["mode"]) for t in here}):
            own = [t for t in here if (t["method"], t["mode"]) == (method, mode)]
            entry["methods"][f"{method}, {mode}"] = _method(own, arguments.evaluations, level, macs, seconds)
            if mode == "racing":
                entry["methods"][f"{method}, {mode}"]["risk"] = _risk(bench, own)
        found["spaces"][space] = entry
    return found


def _method(
    traces: list[dict[str, Any]], milestones: list[int], level: float, macs: float, seconds: float
) -> dict[str, Any]:
    curves = [(t, volumes(t["trace"]) / level) for t in traces]
    found: dict[str, Any] = {"at": {}, "seeds": len(traces)}
    for count in milestones:
        rows = []
        for t, curve in curves:
            ended = t["complete"] and "error" not in t and t["asked"] >= count  # a small space ends before
            if len(curve) >= count or ended:
                last = min(count, len(curve)) - 1
                spent = t["trace"][last]
                rows.append((curve[last], spent[4] / macs, (spent[5] + spent[6]) / seconds, spent[6]))
        if rows:
            names = ("hypervolume", "macs", "seconds", "own_seconds")
            found["at"][str(count)] = {
                name: spread(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
            } | {"seeds": len(rows)}
    by_macs = [(curve, [row[4] / macs for row in t["trace"]]) for t, curve in curves]
    by_time = [(curve, [(row[5] + row[6]) / seconds for row in t["trace"]]) for t, curve in curves]
    found["at_a_tenth_of_the_macs"] = spread([_at(curve, cost, BUDGET) for curve, cost in by_macs])
    found["at_a_tenth_of_the_seconds"] = spread([_at(curve, cost, BUDGET) for curve, cost in by_time])
    needed = [_needed(curve, cost) for curve, cost in by_macs]
    reached = [value for value in needed if value is not None]
    found["macs_for_the_goal"] = {"reached_by": len(reached), **(spread(reached) if reached else {})}
    found["dropped"] = spread([sum(row[3] for row in t["trace"]) / len(t["trace"]) for t in traces])
    found["errors"] = sorted({t["error"] for t in traces if "error" in t})
    return found


def _at(curve: np.ndarray, cost: list[float], budget: float) -> float:
    inside = int(np.searchsorted(cost, budget, "right"))
    return float(curve[inside - 1]) if inside else 0.0


def _needed(curve: np.ndarray, cost: list[float]) -> float | None:
    reached = np.flatnonzero(curve >= GOAL)
    return cost[reached[0]] if len(reached) else None


def _risk(bench: Bench, traces: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the dropped candidates that another search evaluated in full, how many are better by more than the margin."""
    connection, rows = connect(bench.database), rungs(bench)
    checked = wrong = 0
    largest = 0.0
    for t in traces:
        for number, (key, _, share, dropped, *_) in enumerate(t["trace"]):
            if not dropped:
                continue
            parts = dict(connection.execute("SELECT part, logits FROM predictions WHERE key = ?", (key,)))
            if len(parts) < len(rows):
                continue
            logits = np.concatenate(
                [np.frombuffer(parts[i], dtype=np.float32).reshape(len(part), -1) for i, part in enumerate(rows)]
            )
            full = np.empty_like(logits)
            full[np.concatenate(rows)] = logits
            score = compute_metrics(full, bench.encoded.labels, bench.task)[bench.task.metric]
            before = [row[1] for row in t["trace"][:number] if not row[3] and row[2] <= share and row[1] is not None]
            checked += 1
            wrong += score > max(before) + Racing().margin
            largest = max(largest, score - max(before))
    connection.close()
    return {"checked": checked, "wrong": wrong, "margin": Racing().margin, "largest_excess": largest}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation; 0 of one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 5), "deviation": round(deviation, 5)}


def table(found: dict[str, Any]) -> str:
    """Hypervolume in percent of the reference's, and in brackets the share of its MACs spent, over the seeds."""
    lines = []
    for space, entry in found["spaces"].items():
        reference = entry["reference"]
        lines += [
            f"{found['task']}, space {space}: hypervolume in % of {reference['evaluations']} full NSGA-II evaluations "
            f"({reference['hypervolume']:.4f}, mean of {reference['seeds']} seeds), in brackets % of their MACs; "
            "where not all seeds came so far, / how many did"
        ]
        milestones = sorted({int(count) for method in entry["methods"].values() for count in method["at"]})
        heads = [*(str(count) for count in milestones), "10 % MACs", "10 % time", "MACs for 99.5 %", "wrong drops"]
        lines.append(f"{'method':<22}{'seeds':>6}" + "".join(f"{head:>17}" for head in heads))
        for name, method in entry["methods"].items():
            cells = []
            for count in milestones:
                at = method["at"].get(str(count))
                text = f"{100 * at['hypervolume']['mean']:.2f} ({100 * at['macs']['mean']:.1f})" if at else "-"
                cells.append(text + (f" /{at['seeds']}" if at and at["seeds"] < method["seeds"] else ""))
            cells += [
                f"{100 * method[key]['mean']:.2f}" for key in ("at_a_tenth_of_the_macs", "at_a_tenth_of_the_seconds")
            ]
            goal = method["macs_for_the_goal"]
            cells.append(
                f"{100 * goal['mean']:.1f} ({goal['reached_by']}/{method['seeds']})" if "mean" in goal else "-"
            )
            risk = method.get("risk")
            cells.append(f"{risk['wrong']}/{risk['checked']}" if risk else "")
            lines.append(f"{name:<22}{method['seeds']:>6}" + "".join(f"{cell:>17}" for cell in cells).rstrip())
        lines.append("")
    return "\n".join(lines)


def plot(found: dict[str, Any], path: Path) -> None:
    """Hypervolume against MACs spent, a panel per space."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    spaces = list(found["spaces"])
    figure, panels = pyplot.subplots(1, len(spaces), figsize=(7 * len(spaces), 6), squeeze=False)
    names = sorted({name.rpartition(", ")[0] for entry in found["spaces"].values() for name in entry["methods"]})
    colours = {name: pyplot.get_cmap("tab20")(i % 20) for i, name in enumerate(names)}
    for panel, space in zip(panels[0], spaces, strict=True):
        entry = found["spaces"][space]
        for name, method in entry["methods"].items():
            sampler, _, mode = name.rpartition(", ")
            points = [(at["macs"]["mean"], at["hypervolume"]["mean"]) for at in method["at"].values()]
            if points:
                line = "-" if mode == "racing" else ":"
                marks = {"marker": "o", "markersize": 3, "linewidth": 1.3}
                panel.plot(*zip(*points, strict=True), line, color=colours[sampler], label=name, **marks)
        panel.axhline(GOAL, color="0.5", linewidth=0.8)
        panel.axvline(BUDGET, color="0.5", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_xlabel(f"forward MACs, share of {entry['reference']['evaluations']} full NSGA-II evaluations")
        panel.set_ylabel("hypervolume, share of theirs")
        panel.set_title(f"{found['task']}, {space} ({found['rows']} rows)")
        panel.legend(fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    figure.tight_layout()
    figure.savefig(path, dpi=120)
