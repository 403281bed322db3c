"""Span: the part of a context that answers a question, or nothing where the context does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublm.errors import DataError
from sublm.tasks.answers import locate
from sublm.tasks.kinds.kind import Kind, is_missing
from sublm.tasks.task import Examples, Task

MOST_LOST = 0.1
"""Share of train rows whose answer is not in their context from which on the file is taken to be wrong."""

Answer = tuple[str, "int | None"]
"""Text, and where it is said to begin."""


@dataclass
class _Read:
    """What became of the rows of a split."""

    kept: list[int]
    ranges: list[tuple[int, int]]
    texts: list[tuple[str, ...]]
    moved: int = 0
    lost: int = 0
    unanswered: int = 0
    example: str = ""


class Span(Kind):
    """``task.texts`` is the question and the context, ``task.label`` the column with the answers."""

    name = "span"
    stratified = False
    labelled = False  # start and end, whatever a checkpoint calls them
    windows = True
    max_length = 384
    head = "ForQuestionAnswering"
    auto_class = "AutoModelForQuestionAnswering"

    def read(
        self, columns: Mapping[str, Sequence[Any]], task: Task, where: str, notes: list[str], *, training: bool
    ) -> Examples:
        """Questions with their contexts and answers; answers to train on are looked up in the context.

        Rows to train on whose answer is not in the context are left out and counted, and so are questions without an
        answer where the task has none. What is only scored needs no place in the context.
        """
        question, context = task.texts
        found = _Read([], [], [])
        impossible = columns.get("is_impossible")
        for row, value in enumerate(columns[task.label]):
            answers = read_answers(value, row, task, where)
            if impossible is not None and impossible[row]:
                answers = []
            self._add(found, row, answers, str(columns[context][row]), task, training=training)
        rows = len(columns[task.label])
        if training and found.lost > MOST_LOST * rows:
            raise DataError(
                f"{where}: the answers of {found.lost} of {rows} rows are not in their contexts, such as "
                f"{found.example}. Each answer must be a part of the column {context!r}, to the letter."
            )
        if found.lost:
            notes.append(f"{where}: {found.lost} of {rows} rows were left out: their answer is not in the context.")
        if found.moved:
            notes.append(f"{where}: {found.moved} answers did not stand where the file said and were looked up.")
        if found.unanswered:
            notes.append(f"{where}: {found.unanswered} of {rows} rows were left out: they have no answer.")
        if not found.kept:
            raise DataError(f"{where}: no row has an answer in its context. Name the column of answers with label=.")
        shared: dict[str, str] = {}  # one string for all questions on a context
        texts = {
            question: [columns[question][row] for row in found.kept],
            context: [shared.setdefault(columns[context][row], columns[context][row]) for row in found.kept],
        }
        extras: dict[str, Sequence[Any]] = {"id": _ids(columns.get("id"), found.kept, where), "answers": found.texts}
        return Examples(texts, np.array(found.ranges, dtype=np.int64), extras)

    def _add(self, found: _Read, row: int, answers: list[Answer], context: str, task: Task, *, training: bool) -> None:
        place = (-1, -1)
        if not answers and not task.no_answer:
            found.unanswered += 1
            return
        if answers and training:
            places = [(located, start) for text, start in answers if (located := locate(context, text, start))]
            if not places:
                found.lost += 1
                found.example = found.example or f"{answers[0][0]!r} in row {row + 1}"
                return
            place, start = places[0]
            found.moved += place[0] != start
        found.kept.append(row)
        found.ranges.append(place)
        found.texts.append(tuple(text for text, _ in answers))

    def check_train(self, labels: np.ndarray, task: Task, where: str) -> None:
        """At least one question has an answer."""
        if not (labels[:, 0] >= 0).any():
            raise DataError(f"{where}: no question has an answer; there is nothing to learn. Add some that have one.")

    def together(self, task: Task) -> tuple[str, ...]:
        """The context: a model may know a paragraph by heart from another question."""
        return task.texts[1:]

    def outputs(self, task: Task) -> int:
        """Start and end."""
        return 2

    def config(self, task: Task) -> dict[str, Any]:
        """Two outputs, whatever the checkpoint had."""
        return {"num_labels": 2}

    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """F1 over words, and the share of exact answers."""
        return ("f1", "em")


def read_answers(value: Any, row: int, task: Task, where: str) -> list[Answer]:
    """The answers of a cell: ``{"text": [...], "answer_start": [...]}`` or a list of objects with one each.

    Raises:
        DataError: The cell is something else; ``row`` counts from 0.
    """
    if is_missing(value):
        return []
    pairs = _pairs(value)
    if pairs is None or any(
        not isinstance(text, str) or not isinstance(start, (int, np.integer, type(None))) for text, start in pairs
    ):
        raise DataError(
            f"{where}: row {row + 1}, column {task.label!r} holds {str(value)[:80]!r}, which is not a list of answers. "
            'Write {"text": ["..."], "answer_start": [0]}, with empty lists for a question without an answer.'
        )
    return [(text, None if start is None else int(start)) for text, start in pairs if text.strip()]


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    """Texts with their starts, unchecked; None if the cell has neither form."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        texts = [texts] if isinstance(texts, str) else texts
        starts = [starts] if isinstance(starts, int) else starts
        if texts is None or (starts is not None and len(starts) != len(texts)):
            return None
        return list(zip(texts, starts if starts is not None else [None] * len(texts), strict=True))
    if isinstance(value, (list, tuple)) and all(isinstance(entry, Mapping) for entry in value):
        return [(entry.get("text"), entry.get("answer_start")) for entry in value]
    return None


def _ids(values: Sequence[Any] | None, kept: Sequence[int], where: str) -> list[str]:
    """An identifier per row: the file's own, or the row's number where it has none."""
    ids = [str(row if values is None or is_missing(values[row]) else values[row]) for row in kept]
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"{where}: two rows have the id {twice!r}; predictions are filed under ids. Make them differ.")
    return ids
