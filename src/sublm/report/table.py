"""The front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sublm.report.page import Row, baseline_rows, model_rows, original_row
from sublm.report.text import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table


def front_table(front: Mapping[str, Any]) -> Table:
    """The original, the front's models and the baselines as a table; columns nobody fills are left out.

    Args:
        front: Content of a front.json.

    Returns:
        The table, to be printed with `rich.console.Console().print`.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    sections = [[original_row(front)], model_rows(front), baseline_rows(front)]
    everything = [row for rows in sections for row in rows]
    task = front["task"]
    columns: list[tuple[str, str]] = [
        (task.get("metric", "score"), "score"),
        ("kept", "kept"),
        ("parameters", "parameters"),
        ("MACs", "macs"),
        ("latency", "latency"),
        ("speed-up", "speed_up"),
        ("training", "training"),
    ]
    columns = [(t, f) for t, f in columns if any(getattr(row, f) not in ("", UNKNOWN) for row in everything)]
    table = Table(
        box=box.SIMPLE,
        title=f"{task.get('name', 'task')}, {task.get('split', 'validation')} split",
        title_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)

    def add(row: Row) -> None:
        style = "bold" if row.chosen else "dim" if row.training or row.name == "original" else ""
        # Text, not markup: a name in square brackets is a name.
        cells = [Text(f"{'›' if row.chosen else ' '} {row.name}")]
        table.add_row(*cells, *(Text(getattr(row, f)) for _, f in columns), style=style)

    for rows in sections:
        for row in rows:
            add(row)
        if rows:
            table.add_section()
    return table
