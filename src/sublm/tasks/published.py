"""A published data set: a task, and where its splits are on the hub and in a local folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sublm.tasks.table import Table
from sublm.tasks.task import Task


def unchanged(table: Table) -> Table:
    """The table as it is."""
    return table


@dataclass(frozen=True)
class Published:
    """Where a task's examples come from.

    Attributes:
        task: The task.
        hub: The repository on the hub.
        config: The configuration inside it, if it has several.
        validation: Split names that may be the reported one, in this order (also the file names of a local folder).
        extra: Further reported splits.
        prepare: Turns the stored columns into ``task.texts`` and ``task.label``.
    """

    task: Task
    hub: str
    config: str | None = None
    validation: tuple[str, ...] = ("validation",)
    extra: tuple[str, ...] = ()
    prepare: Callable[[Table], Table] = unchanged
