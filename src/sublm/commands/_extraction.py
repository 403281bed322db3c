"""What a person sees at the end of `sublm extract-optimal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sublm.commands._summary import RunSummary, show_count, whole_numbers

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 12


class ExtractionSummary(RunSummary):
    """The content of an extraction.json, shown as the W table and what is known of its reliability."""

    def __rich__(self) -> RenderableType:
        """The table, the choice, ranks and ratios, and where things lie."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("layers-heads-hidden-neurons")
        for name in ("parameters", "i", "error", "W"):
            table.add_column(name, justify="right")
        table.add_column("hyper-parameters")
        for row in self["table"][:_SHOWN]:
            chosen, on_front = row["name"] == self["chosen"]["name"], row["name"] in self["front"]
            name = f"{row['name']}{'  <- chosen' if chosen else '  (front)' if on_front else ''}"
            e = "diverged" if row["e"] is None else f"{row['e']:.4f}"
            theta = f"lr {row['theta']['learning_rate']:g}, batch {row['theta']['batch_size']}"
            costs = (show_count(row["p"]), show_count(row["i"]))
            table.add_row(name, *costs, e, f"{row['w']:.4f}", theta, style="bold" if chosen else None)
        return Group(whole_numbers(table), Text("\n".join(self._said())))

    def _said(self) -> list[str]:
        grid, top, left = self["grid"], self["maximum"], len(self["table"]) - _SHOWN
        said = [f"and {left} more in {self._folder / 'extraction.json'}"] if left > 0 else []
        said.append(
            f"{grid['trained']} of {grid['candidates']} candidates trained (stride {self['stride']}), measured against "
            f"{top['name']}; started from {self['start']}"
        )
        if self["diverged"]:
            said.append(f"{self['diverged']} trainings diverged and count as no error at all")
        seeds = self["stability"]["seeds"]
        if seeds["mean"] is not None:
            votes = ", ".join(
                f"{name} ({list(seeds['chosen'].values()).count(name)})"
                for name in dict.fromkeys(seeds["chosen"].values())
            )
            said.append(f"Ranks between seeds: Kendall's tau {seeds['mean']:.2f} on average; chosen {votes}")
        for row in self["stability"]["maximum"]:
            if row["tau"] is not None:
                said.append(f"Against {row['maximum']}: tau {row['tau']:.2f}, chosen {row['chosen']}")
        ratios = [f"{row['stride']}: {row['ratio']:.3f}" for row in self["oracle"] or () if row["ratio"] is not None]
        if ratios:
            said.append(f"W of the best of all over that of the best by stride: {', '.join(ratios)}")
        return [*said, f"The chosen model, untrained: {self._folder / 'architecture'}"]


class PlannedExtraction(dict[str, Any]):
    """What a dry run found."""

    def __rich__(self) -> str:
        """One paragraph."""
        return (
            f"{self['members']} shapes, {self['candidates']} of them below {self['maximum']}; {self['trained']} would "
            f"be trained, {self['trainings']} trainings and {self['steps']} steps in all: "
            f"{show_count(self['encoder_macs'])} MACs in the encoders. Start: {self['start']}. Nothing was trained."
        )
