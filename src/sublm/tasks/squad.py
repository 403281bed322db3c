"""SQuAD 1.1 (Rajpurkar et al. 2016) and 2.0 (2018), and own data in their formats.

Two formats are read: the official JSON (``data`` > ``paragraphs`` > ``qas``), and rows with the columns ``question``,
``context`` and ``answers``, as data sets on the hub have them. In 2.0 a question may have no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sublm.errors import DataError
from sublm.tasks.kinds.kind import is_missing
from sublm.tasks.kinds.span import read_answers
from sublm.tasks.published import Published
from sublm.tasks.span_scores import SPAN_METRICS
from sublm.tasks.table import Table
from sublm.tasks.task import Task

METRICS_NO_ANSWER = SPAN_METRICS
METRICS = SPAN_METRICS[:2]
TEXTS, ANSWERS = ("question", "context"), "answers"


def _published(name: str, *, no_answer: bool) -> Published:
    task = Task(name, "span", TEXTS, ANSWERS, (), METRICS_NO_ANSWER if no_answer else METRICS, no_answer)
    return Published(task, f"rajpurkar/{name}", validation=("validation", "dev"))


SQUAD: dict[str, Published] = {
    "squad": _published("squad", no_answer=False),
    "squad_v2": _published("squad_v2", no_answer=True),
}


def is_official(content: Any) -> bool:
    """Whether parsed JSON is a file in the official format."""
    data = content.get("data") if isinstance(content, Mapping) else None
    return isinstance(data, list) and all(isinstance(entry, Mapping) and "paragraphs" in entry for entry in data)


def official_rows(content: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    """One row per question of an official file.

    Raises:
        DataError: Something is missing; says where.
    """
    rows: list[dict[str, Any]] = []
    place = "data"
    try:
        for article, entry in enumerate(content["data"]):
            for number, paragraph in enumerate(entry["paragraphs"]):
                place = f"data[{article}].paragraphs[{number}]"
                for asked, question in enumerate(paragraph["qas"]):
                    place = f"data[{article}].paragraphs[{number}].qas[{asked}]"
                    rows.append(
                        {
                            "id": question.get("id"),
                            "title": entry.get("title"),
                            "context": paragraph["context"],
                            "question": question["question"],
                            "answers": question.get("answers") or [],
                            "is_impossible": bool(question.get("is_impossible", False)),
                        }
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{source}: {place} lacks {error} or is no object. The official format is data > paragraphs (context, qas) "
            "> qas (id, question, answers)."
        ) from error
    return rows


def holds_answers(table: Table, label: str | None = None) -> bool:
    """Whether a table's label column holds answers with their places, as in SQuAD."""
    cells = (cell for cell in table.columns.get(label or ANSWERS, ()) if not is_missing(cell) and cell != [])
    first = next(cells, None)
    first = first[0] if isinstance(first, (list, tuple)) else first
    return isinstance(first, Mapping) and "text" in first


def describe_spans(table: Table, name: str, text: Sequence[str] | None = None, label: str | None = None) -> Task:
    """The task that a training table of questions makes; questions may go without an answer if one does.

    Args:
        table: The training rows.
        name: The task's name.
        text: The question's and the context's column, if they are called otherwise.
        label: The column of answers, if it is called otherwise.

    Raises:
        DataError: A column is missing, or a cell holds no answers.
    """
    texts, answers = tuple(text) if text is not None else TEXTS, label or ANSWERS
    if len(texts) != 2:
        raise DataError(f"text={list(texts)!r} must name two columns for answers in a context: question and context.")
    table.require(*texts, argument="text")
    table.require(answers, argument="label")
    task = Task(name, "span", texts, answers, (), METRICS)
    cells = table.columns[answers]
    impossible = table.columns.get("is_impossible", [False] * len(cells))
    no_answer = any(impossible) or not all(
        read_answers(cell, row, task, table.source) for row, cell in enumerate(cells)
    )
    return Task(name, "span", texts, answers, (), METRICS_NO_ANSWER if no_answer else METRICS, no_answer)
