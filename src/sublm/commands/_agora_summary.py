"""What a person sees of Agora: the plan, and the rounds at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sublm.commands._summary import RunSummary, whole_numbers
from sublm.progress import show_duration

if TYPE_CHECKING:
    from rich.console import RenderableType


class AgoraPlan(dict[str, Any]):
    """What `plan_agora` gave."""

    def in_words(self) -> str:
        """Fine-tunings, steps and time, at least and at most."""
        least, most = self["least"], self["most"]
        return (
            f"{self['sets']} hyper-parameter sets, pruned by {self['pruning']}: {least['fine_tunings']} to "
            f"{most['fine_tunings']} fine-tunings in {least['rounds']} to {most['rounds']} rounds, {least['steps']} to "
            f"{most['steps']} steps, about {show_duration(least['seconds'])} to {show_duration(most['seconds'])}. "
            f"Fine-tuning every set once takes {self['grid']['fine_tunings']} and {self['grid']['steps']}."
        )

    def __rich__(self) -> RenderableType:
        """The plan as a table, with the sets of every round."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("")
        for name in ("rounds", "fine-tunings", "steps", "about"):
            table.add_column(name, justify="right")
        table.add_column("sets in each round")
        for name, words in (("grid", "every set once"), ("least", "Agora, at least"), ("most", "Agora, at most")):
            cost = self[name]
            counts = [str(cost[key]) for key in ("rounds", "fine_tunings", "steps")]
            each = cost["sets_per_round"]
            shown = " + ".join(map(str, each[:8])) + (" + ..." if len(each) > 8 else "")
            table.add_row(words, *counts, show_duration(cost["seconds"]), shown)
        head = f"{self['train_rows']} training rows, {self['search_rows']} on the development share"
        return Group(
            Text(head), whole_numbers(table), Text("An estimate, good to a factor of two. Nothing was trained.")
        )


class AgoraSummary(RunSummary):
    """The content of an agora.json, shown as a table of the rounds."""

    def __rich__(self) -> RenderableType:
        """The rounds, and the scores on the validation split."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        metric = self["metric"]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("round", "sets", "training rows", f"best {metric} (development)", "errors", "new points"):
            table.add_column(name, justify="right")
        for entry in self["rounds"]:
            numbers = (entry["train_rows"], f"{entry['score']:.4f}", entry["errors"], entry["points"])
            table.add_row(str(entry["round"]), str(len(entry["sets"])), *map(str, numbers))
        best, first = self["best"], self["first_round"]
        lines = [
            f"{metric} on the validation split: {best['validation'][metric]:.4f} (round {best['round']}), and "
            f"{first['validation'][metric]:.4f} by the best set of the first round, without new points.",
            f"{self['fine_tunings']} fine-tunings, {self['steps']} steps; it ended because {self['ended']}.",
            f"{'Model':<8} {self._folder / self['model']}",
            f"{'Rounds':<8} {self._folder / 'rounds'}",
        ]
        return Group(whole_numbers(table), Text("\n".join(lines)))
