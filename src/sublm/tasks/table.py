"""Raw columns as they were read from a file or the hub, and the checks every split passes before any work."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sublm.errors import DataError
from sublm.progress import plural
from sublm.tasks.kinds import kind_of
from sublm.tasks.kinds.kind import LabelPerRow, is_missing
from sublm.tasks.task import Examples, Task


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one split.

    Attributes:
        columns: Column name to its cells; all columns are equally long.
        source: Where they were read, for messages.
        names: Names of the numbers in a column, where the source knows them.
    """

    columns: Mapping[str, Sequence[Any]]
    source: str
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def require(self, *names: str, argument: str = "") -> None:
        """Check that the columns exist.

        Raises:
            DataError: One does not; says which exist and which is the nearest.
        """
        for name in names:
            if name not in self.columns:
                near = difflib.get_close_matches(name, self.columns, 1, cutoff=0.5)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                way = f" Name the right one with {argument}=." if argument else " Rename the column."
                raise DataError(
                    f"{self.source} has no column {name!r}; its columns are "
                    f"{', '.join(map(repr, self.columns)) or 'none'}.{hint}{way}"
                )

    def check_texts(self, *names: str) -> None:
        """Check that every cell of the columns is a string.

        Raises:
            DataError: One is not; says the row, counted from 1.
        """
        for name in names:
            for row, value in enumerate(self.columns[name]):
                if not isinstance(value, str):
                    raise DataError(
                        f"{self.source}: row {row + 1}, column {name!r} holds {value!r}, which is not a text. "
                        "Fill in or remove such rows, or name another text column with text=."
                    )


def read_examples(
    table: Table, task: Task, *, own: bool = False, training: bool = True, notes: list[str] | None = None
) -> Examples:
    """Check a table against a task and keep what the task needs.

    Args:
        table: The raw columns.
        task: Names the columns and labels.
        own: Whether the caller may choose the columns, so that messages say how.
        training: Whether these are rows to train on.
        notes: What was left out or mended is added here.

    Raises:
        DataError: The split is empty, lacks a column, or holds a text or label that cannot be used.
    """
    if not len(table):
        raise DataError(f"{table.source} is empty: it has no rows. Give a file with at least one example per split.")
    table.require(*task.texts, argument="text" if own else "")
    table.require(task.label, argument="label" if own else "")
    table.require(*task.extras)
    if not kind_of(task.kind).worded:
        table.check_texts(*task.texts)
    said = notes if notes is not None else []
    if own:
        said.extend(_blank_texts(table, task.texts))
    return kind_of(task.kind).read(table.columns, task, table.source, said, training=training)


def _blank_texts(table: Table, names: Sequence[str]) -> Iterator[str]:
    """What to say of texts that are nothing but spaces: they are kept, but are likelier a mistake of the export."""
    for name in names:
        blank = [
            row + 1 for row, value in enumerate(table.columns[name]) if isinstance(value, str) and not value.strip()
        ]
        if blank:
            what = f"{plural(len(blank), 'row')} with an empty {name!r}"
            yield f"{table.source} has {what}, the first row {blank[0]}; kept as they are."


def is_labelled(table: Table, task: Task) -> bool:
    """Whether a split has labels: not if the column is missing, or holds nothing but blanks and -1."""
    cells = table.columns.get(task.label, ())
    return any(not is_missing(cell) and str(cell) not in ("-1", "-1.0") for cell in cells)


def read_unlabelled(table: Table, task: Task) -> Examples:
    """Rows to predict, without looking at their labels, which may be secret or missing.

    Raises:
        DataError: The split is empty, lacks a column, or the task is one of spans, which are read with their answers.
    """
    kind = kind_of(task.kind)
    if not isinstance(kind, LabelPerRow):
        raise DataError(f"{table.source} has no {task.label!r}; a task of the kind {kind.name!r} is read with them.")
    if not len(table):
        raise DataError(f"{table.source} is empty: it has no rows. Give a file with at least one example per split.")
    table.require(*task.texts, *task.extras)
    table.check_texts(*task.texts)
    texts, extras = ({name: list(table.columns[name]) for name in names} for names in (task.texts, task.extras))
    return Examples(texts, kind.no_labels(len(table)), extras)
