"""What a person sees at the end of a job: the front as a table, or the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.progress import show_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MUCH = 1.03
"""What a model keeps at most of an original that has learnt the task."""


class RunSummary(dict[str, Any]):
    """What a run found, still the plain data of its file, shown with the paths that matter.

    Args:
        found: The content of the file.
        folder: The run directory.
    """

    def __init__(self, found: Mapping[str, Any], folder: Path):
        super().__init__(found)
        self._folder = folder


class FrontSummary(RunSummary):
    """The content of a front.json, shown as a table."""

    def __rich__(self) -> RenderableType:
        """The table, what was chosen and why, and where things lie."""
        from rich.console import Group
        from rich.text import Text

        from sublm.search.racing import in_words

        lines = [f"{'Report':<8} {self._folder / 'report.html'}", f"{'Figure':<8} {self._folder / 'front.png'}"]
        lines.append(f"{'Models':<8} {self._folder / 'models'}")
        if self["chosen"]:
            lines.insert(0, f"{'Chosen':<8} {self._folder / 'models' / self['chosen']}")
        said = [*self._answer(), self["why"], *([in_words(self["racing"])] if self.get("racing") else [])]
        return Group(self._table(), Text("\n".join(said)), Text("\n".join(lines)))

    def _answer(self) -> list[str]:
        """What the chosen model keeps, and what that makes quicker or less."""
        chosen = next((point for point in self["points"] if point["name"] == self["chosen"]), None)
        teacher, metric = self["teacher"], self["task"]["metric"]
        if chosen is None or not chosen.get("score") or not teacher.get("score"):
            return []
        took, takes = (entry.get("latency_ms") for entry in (teacher, chosen))
        gain = f"{chosen['macs'] / teacher['macs']:.0%} of its MACs"
        if took and takes:
            gain += f", {took['minimum'] / takes['minimum']:.2f} times as fast"
        kept = chosen["score"] / teacher["score"]
        said = f"{chosen['name']} keeps {kept:.1%} of the original's {metric} with {gain}."
        deployed = (chosen.get("deployed_scores") or {}).get(metric)
        if deployed is not None:  # the table has the scores of the weights as they are
            said += f" In {self['latency']['precision']} it scores {deployed:.4f}."
        if kept > MUCH and teacher.get("train_seconds"):
            said += " The original may have been fine-tuned too briefly: give it more --teacher-epochs."
        return [said]

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
        return whole_numbers(table)


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
        return Group(head, whole_numbers(table), foot, *([Text(self["advice"])] if self.get("advice") else []))


class LatencySummary(dict[str, Any]):
    """A table of latencies as `sublm.costs.latency_table` makes it, the quickest of every workload first."""

    def __rich__(self) -> RenderableType:
        """The table: of the conditions, only those that differ have a column."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = self["measurements"]
        names = ("length", "batch", "runtime", "precision", "threads")
        varied = [name for name in names if len({str(row[name]) for row in rows}) > 1]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("model", overflow="fold")
        for name in varied:
            table.add_column(name, justify="left" if name in ("runtime", "precision") else "right")
        for name in ("minimum", "median", "spread", "speed-up"):
            table.add_column(name, justify="right")
        short = _short_names([row["model"] for row in rows])
        # Only what reads the same texts can be compared.
        slowest: dict[str, float] = {}
        for row in rows:
            work = f"{row['length']} {row['batch']}"
            slowest[work] = max(slowest.get(work, 0.0), row["minimum"])
        order = {name: list(dict.fromkeys(str(row[name]) for row in rows)) for name in ("length", "batch")}
        for row in sorted(rows, key=lambda r: (*(order[n].index(str(r[n])) for n in order), r["minimum"])):
            times = (f"{row[name]:.2f} ms" for name in ("minimum", "median", "spread"))
            speed_up = slowest[f"{row['length']} {row['batch']}"] / row["minimum"]
            table.add_row(short[row["model"]], *(str(row[name]) for name in varied), *times, f"{speed_up:.2f}x")
        same = ", ".join(f"{name} {rows[0][name]}" for name in names if name not in varied) if rows else ""
        machine = self["machine"]
        foot = [f"{same}; " if same else "", f"{machine['processor']}, {machine['cores']} cores"]
        versions = [f"{name} {machine[name]}" for name in ("torch", "onnxruntime", "openvino") if name in machine]
        said = list(self["left_out"])
        interrupted = max((row.get("interrupted", 0.0) for row in rows), default=0.0)
        if interrupted > 0.5:
            said.append(
                f"Other processes interrupted up to {interrupted:.0%} of the passes: the medians are those of a busy "
                "machine, the minima are processor time."
            )
        return Group(whole_numbers(table), Text("".join(foot) + f"; {', '.join(versions)}"), *map(Text, said))


class ExplainSummary(dict[str, Any]):
    """Where the time of the original and of a model goes, as `sublm.stages.explain.explain` found it."""

    def __rich__(self) -> RenderableType:
        """Two tables, parts and padding, and what they say."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        whole, small = self["models"]["original"], self["models"][self["model"]]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("part")
        for name in ("original", "share", self["model"], "share", "speed-up"):
            table.add_column(name, justify="right")
        titles = {"ffn": "FFN", "overhead": "fixed cost of a call"}
        for part, before in whole["parts"].items():
            after = small["parts"][part]
            entries = (
                f"{before['ms']:.2f} ms",
                f"{before['share']:.0%}",
                f"{after['ms']:.2f} ms",
                f"{after['share']:.0%}",
            )
            faster = f"{before['ms'] / after['ms']:.2f}x" if min(before["ms"], after["ms"]) > 0.005 else ""
            table.add_row(titles.get(part, part), *entries, faster)
        times = (whole["latency_ms"], small["latency_ms"])
        table.add_row("all", f"{times[0]:.2f} ms", "", f"{times[1]:.2f} ms", "", f"{times[0] / times[1]:.2f}x")
        padding = Table(box=SIMPLE_HEAD, pad_edge=False)
        padding.add_column(f"batches of {self['batch']}")
        for name in ("tokens per real one", "original", self["model"]):
            padding.add_column(name, justify="right")
        for policy, entry in self["padding"].items():
            each = (f"{entry['ms_per_text'][name]:.2f} ms a text" for name in ("original", self["model"]))
            padding.add_row(policy, f"{entry['computed']:.2f}", *each)
        said = list(self["findings"])
        if self["elsewhere"]:
            said.append(f"The run was made on another device: {'; '.join(self['elsewhere'])}.")
        return Group(whole_numbers(table), whole_numbers(padding), Text("\n".join(f"- {line}" for line in said)))


class FinetunePlan(dict[str, Any]):
    """What `sublm finetune --dry-run` found."""

    def __rich__(self) -> RenderableType:
        """The plan for a person."""
        from rich.text import Text

        rows = ", ".join(f"{count} {name}" for name, count in self["rows"].items())
        times = ", ".join(
            f"{1000 * seconds:.0f} ms at batch {size}" for size, seconds in self["seconds_per_step"].items()
        )
        lines = [
            f"{self['model']} on {self['task']} ({rows} rows), {self['head']} head",
            f"{self['points']} points, {self['settings']} settings; compared at epochs "
            f"{', '.join(map(str, self['levels']))}",
            f"{self['steps']} steps ({self['steps_without_halving']} if all went to the end); a step takes {times}",
            f"About {show_duration(self['seconds'])} and {self['gigabytes']:.2g} GB of checkpoints at a time; "
            "an estimate. Nothing was trained.",
        ]
        if self["erased"]:
            lines.append(f"Weight decay erases the weights in {self['erased']} settings.")
        return Text("\n".join(lines))


class FinetuneSummary(dict[str, Any]):
    """The content of a results.json of `sublm finetune`, shown as a table of settings."""

    ROWS = 20

    def __rich__(self) -> RenderableType:
        """The table, best first, and what was chosen."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        settings, best = self["settings"], self["best"]
        names = list(settings[0]["hyperparameters"])
        varied = [n for n in names if len({s["hyperparameters"][n] for s in settings}) > 1]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in (*(name.replace("_", " ") for name in varied), "seeds", "epochs", "search", "validation"):
            table.add_column(name, justify="right")
        table.add_column("decay/step", justify="right")
        table.add_column("")
        for number, setting in enumerate(settings[: self.ROWS]):
            shrink = setting["weight_decay"]
            cells = [f"{setting['hyperparameters'][name]:g}" for name in varied]
            cells += [str(len(setting["seeds"])), f"{setting['epochs']:.3g}"]
            cells += [_mean(setting[split]) for split in ("search", "validation")]
            cells += [f"{shrink['per_step']:.2%}" + (" erases" if shrink["erases"] else ""), _state(setting)]
            table.add_row(*cells, style="bold" if not number else "" if setting["state"] == "ended" else "dim")
        metric, point = self["metric"], best["hyperparameters"]
        score = best["validation"].get(metric)
        same = [f"{name.replace('_', ' ')} {value:g}" for name, value in point.items()]
        said = [
            f"{self['task']['name']}, {metric}: mean ± deviation over seeds; chosen on the search split",
            f"The best run has {float('nan') if score is None else score:.4f} on the validation split: "
            f"{', '.join(same)}",
        ]
        if len(settings) > self.ROWS:
            said.insert(0, f"{len(settings) - self.ROWS} further settings are in results.json")
        folder = Path(self["run"])
        lines = [f"{'Model':<8} {folder / self['folder']}", f"{'Runs':<8} {folder / 'results.json'}"]
        return Group(
            whole_numbers(table),
            Text("\n".join(said)),
            Text("\n".join([*lines, f"{'Figure':<8} {folder / 'runs.png'}"])),
        )


def whole_numbers(table: Table) -> Table:
    """The table with columns of numbers as wide as these are: a digit less is another number. Names give way."""
    from rich.cells import cell_len

    for column in table.columns:
        if column.justify == "right":
            column.min_width = max(cell_len(text) for text in map(str, (*str(column.header).split(), *column.cells)))
    return table


def _mean(spread: Mapping[str, Any]) -> str:
    """`0.8712 ± 0.0051`."""
    if spread["mean"] is None:
        return ""
    return f"{spread['mean']:.4f}" + ("" if spread["deviation"] is None else f" ± {spread['deviation']:.4f}")


def _state(setting: Mapping[str, Any]) -> str:
    """What became of a setting, if it is worth saying."""
    missing = len(setting["seeds"]) - setting["search"]["number"]
    if setting["state"] != "ended":
        return str(setting["state"])
    return f"{missing} without a score" if missing else ""


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Paths without the folders that all of them lie in."""
    whole = {name: os.path.abspath(name) for name in paths}
    common = os.path.commonpath([os.path.dirname(name) for name in whole.values()]) if whole else ""
    return {name: os.path.relpath(path, common) for name, path in whole.items()}


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
