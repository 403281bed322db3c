"""Own data: which columns are the texts and the label, and what kind of task that makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sublm.errors import DataError
from sublm.tasks.kinds import kind_of
from sublm.tasks.kinds.classification import label_name
from sublm.tasks.kinds.kind import is_missing
from sublm.tasks.kinds.rerank import QUERY, query_column
from sublm.tasks.squad import describe_spans, holds_answers
from sublm.tasks.table import Table
from sublm.tasks.tagged import describe_tokens, holds_tags
from sublm.tasks.task import Task

MAX_CLASSES = 256
"""More different values than this are not taken for class labels."""

LABEL_NAMES = (
    "label",
    "labels",
    "relevance",
    "target",
    "class",
    "category",
    "score",
    "similarity",
    "rating",
    "sentiment",
    "y",
)
ID_NAMES = ("id", "idx", "index", "uid", "guid", "key", "")
TEXT_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("query", "passage"),
    ("query", "document"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("anchor", "positive"),
    ("text",),
    ("sentence",),
    ("content",),
    ("review",),
    ("document",),
)


def describe(
    table: Table, name: str, *, text: Sequence[str] | None = None, label: str | None = None, kind: str | None = None
) -> Task:
    """The task that a training table makes.

    Args:
        table: The training rows.
        name: The task's name.
        text: One or two text columns; found by name and content if left out.
        label: The label column; found by name, or as the only column that holds no texts, or the
            only one whose texts are few and come again and again, if left out.
        kind: "classification", "regression", "span", "tokens" or "rerank"; found from the columns if left out.

    Raises:
        DataError: A column is missing or cannot be told, or the labels fit no kind.
    """
    if not len(table):
        raise DataError(f"{table.source} is empty: it has no rows. Give a file with examples.")
    if kind == "span" or (kind is None and holds_answers(table, label)):
        return describe_spans(table, name, text, label)
    if kind == "tokens" or (kind is None and holds_tags(table, text, label)):
        return describe_tokens(table, name, text, label)
    texts = tuple(text) if text is not None else ()
    if text is not None and not 1 <= len(texts) <= 2:
        raise DataError(f"text={list(texts)!r} names {len(texts)} columns; name one, or two for a pair of texts.")
    table.require(*texts, argument="text")
    if label is not None:
        table.require(label, argument="label")
    label = label if label is not None else _find_label(table, texts)
    if label in texts:
        raise DataError(f"the column {label!r} cannot be both a text and the label; name another one with label=.")
    texts = texts or find_texts(table, label)
    kind = kind_of(kind).name if kind is not None else _find_kind(table, texts, label)
    if kind in ("multiple_choice", "candidates"):
        raise DataError(
            f'kind="{kind}" is not read from own files; choose "classification", "regression", "span", "tokens", '
            '"rerank" or "embedding".'
        )
    if kind == "rerank":
        return _describe_queries(table, name, texts, label)
    labels = () if kind_of(kind).numeric else _find_labels(table, label)
    return Task(name, kind, texts, label, labels, kind_of(kind).metrics(labels))


def _describe_queries(table: Table, name: str, texts: tuple[str, ...], label: str) -> Task:
    if len(texts) != 2:
        raise DataError(f"text={list(texts)!r} must name two columns for reranking: the query and the passage.")
    return Task(name, "rerank", texts, label, (), kind_of("rerank").metrics(()), group=QUERY)


def _find_label(table: Table, texts: tuple[str, ...]) -> str:
    free = [name for name in table.columns if name not in texts]
    by_name = {name.casefold(): name for name in reversed(free)}
    for name in LABEL_NAMES:
        if name in by_name:
            return by_name[name]
    known = {name for names in TEXT_NAMES for name in names if all(name in by_name for name in names)}
    others = [name for name in free if name.casefold() not in {*ID_NAMES, *known}]
    values = [name for name in others if not _holds_texts(table.columns[name])]
    classes = [name for name in others if _holds_classes(table.columns[name])]
    alone = classes if len(others) > len(classes) else []  # nothing would be left to be the text
    for candidates in (others if texts or known else [], values, alone if not values else []):
        if len(candidates) == 1:
            return candidates[0]
    way = "Name it with label=."
    if {"word", "token"} & by_name.keys() and {"tag", "ner"} & by_name.keys():
        way = "Tags of words are read from a .conll file: a word and its tag per line, a blank line after a sentence."
    raise DataError(
        f"{table.source}: cannot tell which column is the label; its columns are "
        f"{', '.join(map(repr, table.columns))}. {way}"
    )


def find_texts(table: Table, label: str) -> tuple[str, ...]:
    """The one or two columns of texts, by name or as the only ones that hold texts.

    Raises:
        DataError: If they cannot be told.
    """
    by_name = {name.casefold(): name for name in table.columns if name != label}
    for names in TEXT_NAMES:
        if all(name in by_name for name in names):
            return tuple(by_name[name] for name in names)
    found = tuple(
        name
        for folded, name in by_name.items()
        if folded not in (*ID_NAMES, *LABEL_NAMES) and _holds_texts(table.columns[name])
    )
    if not 1 <= len(found) <= 2:
        what = f"columns {', '.join(map(repr, found))} all hold texts" if found else "no column holds texts"
        raise DataError(
            f"{table.source}: cannot tell which one or two columns are the texts: {what} (columns: "
            f"{', '.join(map(repr, table.columns))}; label: {label!r}). Name them with text=."
        )
    return found


def text_columns(table: Table) -> list[str]:
    """The columns that hold texts: those with a known name if there are any."""
    holding = [name for name, values in table.columns.items() if values and _holds_texts(values)]
    known = {name for names in TEXT_NAMES for name in names}
    return [name for name in holding if name.casefold() in known] or holding


def _holds_texts(values: Sequence[Any]) -> bool:
    """Whether most of the first cells are strings that are not numbers."""
    cells = [value for value in values[:1000] if not is_missing(value)]
    words = sum(isinstance(value, str) and _number(value) is None for value in cells)
    return words * 2 > len(cells)


def _holds_classes(values: Sequence[Any]) -> bool:
    """Whether the cells are few different texts, each of which comes ten times on average."""
    cells = [str(value) for value in values if not is_missing(value)]
    return 1 < len(set(cells)) <= min(MAX_CLASSES, len(cells) // 10)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _find_kind(table: Table, texts: tuple[str, ...], label: str) -> str:
    """Regression if the labels are numbers and some have a fraction, or are floats of very many values.

    Numbers for pairs of texts beside a column of query numbers are relevance.
    """
    values = table.columns[label]
    if label in table.names:
        return "classification"
    present = [value for value in values if not is_missing(value) and not isinstance(value, (bool, np.bool_))]
    numbers = [_number(value) for value in present]
    finite = [number for number in numbers if number is not None]
    if not present or len(finite) < len(numbers):
        return "classification"
    if len(texts) == 2 and query_column(table.columns) is not None:
        return "rerank"
    if any(not number.is_integer() for number in finite):
        return "regression"
    written_as_float = any(isinstance(value, (float, np.floating)) or "." in str(value) for value in present)
    return "regression" if written_as_float and len(set(finite)) > MAX_CLASSES else "classification"


def _find_labels(table: Table, label: str) -> tuple[str, ...]:
    if label in table.names:
        return table.names[label]
    cells = [value for value in table.columns[label] if not is_missing(value)]
    names = {label_name(value) for value in cells}
    if len(names) > MAX_CLASSES:
        whole = all(_number(value) is not None for value in cells)
        way = (
            'Pass kind="regression" if they are numbers to predict, or name another column with label=.'
            if whole
            else "Is it a text column? Name the label with label=."
        )
        raise DataError(
            f"{table.source}: the label column {label!r} holds {len(names)} different values; "
            f"at most {MAX_CLASSES} classes are read. {way}"
        )
    if names and all(_number(name) is not None for name in names):
        return tuple(sorted(names, key=float))
    return tuple(sorted(names))
