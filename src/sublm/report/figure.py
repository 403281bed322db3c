"""Drawing a front: with plotly for the page, with matplotlib for a file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublm.report.data import CostAxis, FrontFigure, Mark
from sublm.report.text import count_text, milliseconds_text, score_text

MARKERS = {
    "prune-and-distil": ("diamond", "D"),
    "layer-dropping": ("square", "s"),
    "original int8": ("triangle-up", "^"),
}
"""Kind of baseline -> its marker in plotly and in matplotlib."""
_OTHER = ("cross", "P")

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Palette:
    """Colours of a picture; the page uses the same."""

    paper: str
    ink: str
    soft: str
    rule: str
    front: str
    baseline: str
    evaluation: str


LIGHT = Palette("#ffffff", "#1c1e21", "#63676c", "#e6e4df", "#0a6b68", "#b25d12", "#a9aaa8")
DARK = Palette("#15171a", "#e9e7e3", "#9da1a6", "#2c3035", "#59c9be", "#e6a35c", "#6b6f75")


def cost_text(key: str, value: float) -> str:
    """A cost with its unit."""
    return milliseconds_text(value) if key == "latency" else count_text(value)


def plotly_figure(data: FrontFigure, cost: str = "macs", palette: Palette = LIGHT) -> Any:
    """Draws the score against one cost.

    Args:
        data: What `front_figure_data` computed.
        cost: Key of one of `data.axes`.
        palette: Colours.

    Returns:
        A `plotly.graph_objects.Figure`.

    Raises:
        ValueError: If the front does not have this cost.
    """
    import plotly.graph_objects as go  # takes a second, and only a report needs it

    axis = _axis(data, cost)
    figure = go.Figure()

    def add(marks: list[Mark], what: str, **options: Any) -> None:
        shown = [mark for mark in marks if mark.score is not None and cost in mark.costs]
        figure.add_scatter(
            x=[mark.costs[cost] / axis.scale for mark in shown],
            y=[mark.score for mark in shown],
            hovertext=[_hover(mark, data) for mark in shown],
            hoverinfo="text",
            name=what,
            **options,
        )

    evaluated = {"size": 5, "color": palette.evaluation, "opacity": 0.55}
    add(list(data.evaluations), "evaluated in the search", mode="markers", marker=evaluated, meta="evaluations")
    for mark in data.models:
        if mark.before is not None and mark.score is not None:
            x = mark.costs[cost] / axis.scale
            figure.add_scatter(
                x=[x, x],
                y=[mark.before, mark.score],
                mode="lines+markers",
                line={"color": palette.front, "width": 1},
                marker={"size": [6, 0.1], "color": palette.paper, "line": {"color": palette.front, "width": 1}},
                opacity=0.7,
                hoverinfo="skip",
                name="before recovery",
            )
    for kind in sorted({mark.kind for mark in data.baselines}):
        symbol = MARKERS.get(kind, _OTHER)[0]
        marker = {"symbol": symbol, "size": 9, "color": palette.baseline, "line": {"color": palette.paper, "width": 1}}
        add([mark for mark in data.baselines if mark.kind == kind], kind, mode="markers", marker=marker)
    ordered = sorted(data.models, key=lambda mark: mark.costs.get(cost, 0.0))
    line = {"color": palette.front, "width": 1.5}
    marker = {"size": 9, "color": palette.front, "line": {"color": palette.paper, "width": 1.5}}
    add(ordered, "front", mode="lines+markers", line=line, marker=marker)
    chosen = [mark for mark in data.models if mark.name == data.chosen]
    ring = {"size": 20, "color": "rgba(0,0,0,0)", "line": {"color": palette.front, "width": 2}}
    add(chosen, "chosen", mode="markers", marker=ring)
    figure.update_layout(
        template=None,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "size": 13, "color": palette.soft},
        margin={"l": 56, "r": 12, "t": 16, "b": 48},
        showlegend=False,
        hovermode="closest",
        hoverlabel={
            "bgcolor": palette.paper,
            "bordercolor": palette.soft,
            "font": {"color": palette.ink, "family": _FONT, "size": 13},
            "align": "left",
        },
        xaxis={
            "title": {"text": axis.title, "standoff": 12},
            "range": list(_cost_range(data, axis)),
            "gridcolor": palette.rule,
            "zeroline": False,
            "nticks": 8,
        },
        yaxis={
            "title": {"text": data.metric, "standoff": 8},
            "range": list(data.score_range),
            "gridcolor": palette.rule,
            "zeroline": False,
            "nticks": 8,
        },
    )
    dashed = {"color": palette.soft, "width": 1, "dash": "dot"}
    if data.original.score is not None:
        figure.add_hline(
            y=data.original.score,
            line=dashed,
            annotation={"text": f"original {score_text(data.original.score)}", "font": {"size": 12}},
            annotation_position="top left",
        )
    if axis.original is not None:
        figure.add_vline(x=axis.original, line=dashed)
    if axis.limit is not None:
        figure.add_vline(
            x=axis.limit,
            line={"color": palette.ink, "width": 1, "dash": "dash"},
            annotation={"text": "target", "font": {"size": 12, "color": palette.ink}},
            annotation_position="bottom right",
        )
    for mark in chosen:
        if mark.score is not None:
            figure.add_annotation(
                x=mark.costs[cost] / axis.scale,
                y=mark.score,
                text=f"<b>{html.escape(mark.name)}</b>",
                font={"color": palette.ink, "size": 13},
                showarrow=False,
                yshift=22,
            )
    return figure


def write_png(data: FrontFigure, path: str | Path, *, palette: Palette = LIGHT, dpi: int = 150) -> None:
    """Draws the score against every cost, side by side, into an image file.

    Args:
        data: What `front_figure_data` computed.
        path: The file to write.
        palette: Colours.
        dpi: Dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = max(1, len(data.axes))
    figure = Figure(figsize=(1.2 + 5.2 * count, 4.6), facecolor=palette.paper, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: no global state, no display
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    if not data.axes:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "The front is empty.", ha="center", va="center", color=palette.soft)
    for panel, axis in zip(panels, data.axes, strict=False):
        _draw_panel(panel, data, axis, palette)
    if data.axes:
        panels[0].set_ylabel(data.metric, color=palette.soft)
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(labels), 3 * count), frameon=False
        )
        for text in legend.get_texts():
            text.set_color(palette.soft)
            text.set_fontsize(9)
    figure.savefig(path, dpi=dpi, format="png", metadata={"Software": "SubLM"})


def _draw_panel(panel: Any, data: FrontFigure, axis: CostAxis, palette: Palette) -> None:
    def points(marks: Any) -> tuple[list[float], list[float]]:
        shown = [m for m in marks if m.score is not None and axis.key in m.costs]
        return [m.costs[axis.key] / axis.scale for m in shown], [m.score for m in shown]

    panel.set_facecolor(palette.paper)
    panel.grid(color=palette.rule, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=palette.soft, length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    panel.set_xlim(*_cost_range(data, axis))
    panel.set_ylim(*data.score_range)
    panel.set_xlabel(axis.title, color=palette.soft)
    if data.evaluations:
        panel.scatter(
            *points(data.evaluations),
            s=11,
            color=palette.evaluation,
            alpha=0.5,
            linewidths=0,
            label="evaluated in the search",
        )
    if data.original.score is not None:
        panel.axhline(data.original.score, color=palette.soft, linestyle=":", linewidth=1, label="original")
    if axis.original is not None:
        panel.axvline(axis.original, color=palette.soft, linestyle=":", linewidth=1)
    if axis.limit is not None:
        panel.axvline(axis.limit, color=palette.ink, linestyle="--", linewidth=1)
        panel.annotate(
            "target",
            (axis.limit, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            color=palette.ink,
            fontsize=9,
        )
    for kind in sorted({mark.kind for mark in data.baselines}):
        panel.scatter(
            *points(m for m in data.baselines if m.kind == kind),
            s=42,
            marker=MARKERS.get(kind, _OTHER)[1],
            color=palette.baseline,
            edgecolors=palette.paper,
            linewidths=0.8,
            zorder=3,
            label=kind,
        )
    ordered = sorted(data.models, key=lambda mark: mark.costs[axis.key])
    label = "before recovery"
    for mark in ordered:
        if mark.before is not None and mark.score is not None:
            x = mark.costs[axis.key] / axis.scale
            panel.plot([x, x], [mark.before, mark.score], color=palette.front, alpha=0.6, linewidth=0.8, zorder=3)
            panel.scatter(
                [x],
                [mark.before],
                s=22,
                facecolors=palette.paper,
                edgecolors=palette.front,
                linewidths=0.9,
                zorder=3,
                label=label,
            )
            label = "_"
    panel.plot(
        *points(ordered),
        color=palette.front,
        linewidth=1.5,
        marker="o",
        markersize=6.5,
        markeredgecolor=palette.paper,
        zorder=4,
        label="front",
    )
    for mark in ordered:
        if mark.score is None:
            continue
        chosen = mark.name == data.chosen
        x = mark.costs[axis.key] / axis.scale
        if chosen:
            panel.scatter(
                [x], [mark.score], s=190, facecolors="none", edgecolors=palette.front, linewidths=1.6, zorder=5
            )
        panel.annotate(
            mark.name,
            (x, mark.score),
            xytext=(0, 11) if chosen else (-5, 5),
            textcoords="offset points",
            ha="center" if chosen else "right",
            fontsize=9 if chosen else 7.5,
            fontweight="bold" if chosen else "normal",
            color=palette.ink if chosen else palette.soft,
            zorder=6,
        )


def _axis(data: FrontFigure, cost: str) -> CostAxis:
    for axis in data.axes:
        if axis.key == cost:
            return axis
    raise ValueError(f"The front has no cost {cost!r}; it has: {', '.join(axis.key for axis in data.axes) or 'none'}.")


def _cost_range(data: FrontFigure, axis: CostAxis) -> tuple[float, float]:
    """From zero, so that distances are shares, unless that left most of the picture empty (embeddings do)."""
    marks = (*data.models, *data.baselines, *data.evaluations, data.original)
    costs = [mark.costs[axis.key] / axis.scale for mark in marks if axis.key in mark.costs] or [1.0]
    costs += [] if axis.limit is None else [axis.limit]
    low, high = min(costs), max(costs)
    margin = 0.06 * (high - low or high)
    return (0.0 if low < 0.4 * high else low - margin), high + margin


def _hover(mark: Mark, data: FrontFigure) -> str:
    evaluation = mark in data.evaluations
    lines = [f"<b>{'evaluation ' if evaluation else ''}{html.escape(mark.name)}</b>"]
    where = f"{data.metric} {score_text(mark.score)}"
    lines.append(f"{html.escape(where)} on the search’s split" if evaluation else html.escape(where))
    if mark.before is not None:
        lines.append(f"before recovery {score_text(mark.before)}")
    units: Mapping[str, str] = {"latency": "", "macs": " MACs", "parameters": " parameters", "memory": "B"}
    lines += [f"{cost_text(key, value)}{units[key]}" for key, value in mark.costs.items()]
    return "<br>".join(lines)
