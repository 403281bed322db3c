"""What a person sees at the end of a job: the front as a table, or the plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.progress import show_duration

if TYPE_CHECKING:
    from rich.console import RenderableType


class FrontSummary(dict[str, Any]):
    """The content of a front.json, shown as a table with the paths that matter.

    Args:
        front: The content.
        folder: The run directory.
    """

    def __init__(self, front: Mapping[str, Any], folder: Path):
        super().__init__(front)
        self._folder = folder

    def __rich__(self) -> RenderableType:
        """The table, what was chosen and why, and where things lie."""
        from rich.console import Group
        from rich.text import Text

        lines = [f"{'Report':<8} {self._folder / 'report.html'}", f"{'Figure':<8} {self._folder / 'front.png'}"]
        lines.append(f"{'Models':<8} {self._folder / 'models'}")
        if self["chosen"]:
            lines.insert(0, f"{'Chosen':<8} {self._folder / 'models' / self['chosen']}")
        return Group(self._table(), Text(self["why"]), Text("\n".join(lines)))

    def _table(self) -> RenderableType:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        task, teacher = self["task"], self["teacher"]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(task["name"])
        for name in (task["metric"], "kept", "MACs", "parameters", "latency"):
            table.add_column(name, justify="right")
        table.add_row(*_row("the original", teacher, teacher))
        for point in self["points"]:
            chosen = point["name"] == self["chosen"]
            name = f"{point['name']}  <- chosen" if chosen else point["name"]
            table.add_row(*_row(name, point, teacher), style="bold" if chosen else None)
        for baseline in self["baselines"]:
            table.add_row(*_row(baseline["name"], baseline, teacher), style="dim")
        return table


class PlanSummary(dict[str, Any]):
    """What `--dry-run` found, shown as the stages with their estimated time."""

    def __rich__(self) -> RenderableType:
        """The plan for a person."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = ", ".join(f"{count} {name}" for name, count in self["rows"].items())
        space = self["space"]
        head = Text(
            f"{self['model']} on {self['task']} ({rows} rows)\n"
            f"{show_count(self['parameters'])} parameters; sub-networks from {show_count(self['smallest_macs'])} MACs "
            f"({self['smallest_macs'] / self['macs']:.0%}) to {show_count(self['macs'])}; space {space['name']} with "
            f"{'' if space.get('exact', True) else 'about '}{_show_size(space['size'])} sub-networks"
        )
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("stage")
        table.add_column("work")
        table.add_column("about", justify="right")
        for stage in self["stages"]:
            table.add_row(stage["name"], stage["work"], show_duration(stage["seconds"]))
        foot = Text(
            f"About {show_duration(self['seconds'])} in all, or {self['plain_fine_tunings']:.1f} plain fine-tunings; "
            "an estimate, good to a factor of two. Nothing was trained."
        )
        return Group(head, table, foot)


class LatencySummary(dict[str, Any]):
    """Measured latencies by the name of the model, shown as a table, the quickest first."""

    def __rich__(self) -> RenderableType:
        """The table."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("model", overflow="fold")
        for name in ("minimum", "median", "spread", "speed-up"):
            table.add_column(name, justify="right")
        slowest = max(entry["minimum"] for entry in self.values())
        for model, entry in sorted(self.items(), key=lambda item: item[1]["minimum"]):
            times = (f"{entry[name]:.2f} ms" for name in ("minimum", "median", "spread"))
            table.add_row(model, *times, f"{slowest / entry['minimum']:.2f}x")
        return table


def _show_size(size: int | str) -> str:
    """The number of settings of a space: 412, 3.1e+12."""
    return f"{size:,}" if isinstance(size, int) and size < 10**6 else f"{float(size):.2g}"


def show_count(number: float) -> str:
    """A large number as people say it: 22.7M, 1.36G."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


def _row(name: str, entry: Mapping[str, Any], teacher: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table; what was not measured is left empty."""
    score, best = entry.get("score"), teacher.get("score")
    macs, parameters, latency = entry.get("macs"), entry.get("parameters"), entry.get("latency_ms")
    return (
        name,
        "" if score is None else f"{score:.4f}",
        f"{score / best:.1%}" if score is not None and best is not None and best > 0 else "",
        "" if macs is None else f"{macs / teacher['macs']:.0%}",
        "" if parameters is None else show_count(parameters),
        "" if not latency else f"{latency['minimum']:.2f} ms",
    )
