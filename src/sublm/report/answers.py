"""What changed in the answers, as the page shows it; drawn from `comparison.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sublm.report.text import share_text, three_digits

COMPARISON_FILE = "comparison.json"
"""Lies beside `front.json`; the texts in it are of the task's data, so a front can be passed on without it."""
AT_ONCE = 5
"""Examples that are open from the start."""


@dataclass(frozen=True)
class Cell:
    """A number of the table of answers and how deep its colour is, from 0 to 1."""

    rows: int
    depth: float


@dataclass(frozen=True)
class Scatter:
    """Two models' numbers against each other, in a square of 100 by 100 whose origin is below on the left.

    Attributes:
        dots: The original's and the model's.
        low: What the lower left corner stands for.
        high: What the upper right corner stands for.
        what: What the numbers are, in a word.
    """

    dots: tuple[tuple[float, float], ...]
    low: str
    high: str
    what: str = "number"


@dataclass(frozen=True)
class Answers:
    """The section on answers.

    Attributes:
        model: The model's name.
        said: What was counted, in sentences.
        labels: Of the table, in its order; empty without a table.
        matrix: The table: a row for each answer of the original, a column for each of the model.
        changes: The commonest changes where there are too many classes for a table: from, to, rows.
        scatter: Of numbers.
        unit: What is counted.
        heading: Over the examples.
        examples: Rows that changed, as in the file.
        more: Rows that changed and are shown only when asked for.
    """

    model: str
    said: tuple[str, ...]
    labels: tuple[str, ...] = ()
    matrix: tuple[tuple[Cell, ...], ...] = ()
    changes: tuple[tuple[str, str, int], ...] = ()
    scatter: Scatter | None = None
    unit: str = "rows"
    heading: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()
    more: tuple[Mapping[str, Any], ...] = ()


def answers_section(
    comparison: Mapping[str, Any] | None, chosen: str | None, *, examples: bool = True
) -> Answers | None:
    """The section, if the file compares the chosen model.

    Args:
        comparison: Content of `comparison.json`.
        chosen: The chosen model.
        examples: Whether texts are shown.
    """
    if not comparison or not comparison.get("kind") or comparison["model"] != chosen:
        return None
    name = comparison["model"]
    said = SAID[comparison["kind"]](comparison)
    trained = "; its last training saw them, too" if comparison.get("trained_on") else ""
    said.append(f"These rows chose the model{trained}. The scores in the tables are of others.")
    shown = tuple(comparison.get("examples") or ()) if examples else ()
    return Answers(
        model=name,
        said=tuple(said),
        labels=tuple(comparison.get("labels") or ()),
        matrix=_cells(comparison.get("matrix") or ()),
        changes=tuple((c["original"], c["model"], c["rows"]) for c in comparison.get("changes") or ()),
        scatter=_scatter(comparison["pairs"], comparison["kind"]) if comparison.get("pairs") else None,
        unit=comparison.get("unit", "rows"),
        heading=HEADINGS[comparison.get("unit") or comparison["kind"]],
        examples=shown[:AT_ONCE],
        more=shown[AT_ONCE:],
    )


def _said_of_answers(found: Mapping[str, Any]) -> list[str]:
    name, rows, changed, right = found["model"], found["rows"], found["changed"], found["right"]
    unit = found.get("unit", "rows")
    if not changed:
        return [f"{name} answers as the original does on all {rows} {unit} of the {found['split']} split."]
    share = share_text(changed / rows)
    how = {"words": "tags otherwise than the original", "queries": "puts another passage first than the original"}
    return [
        f"{name} {how.get(unit, 'answers otherwise than the original')} on {changed} of the {rows} {unit} of the "
        f"{found['split']} split ({share}).",
        f"The original alone is right on {right['original']} of them, {name} alone on {right['model']}.",
    ]


def _said_of_numbers(found: Mapping[str, Any]) -> list[str]:
    apart = found["difference"]
    return [
        f"On the {found['rows']} rows of the {found['split']} split, {found['model']} and the original are "
        f"{three_digits(apart['mean'])} apart on average; nine of ten rows by less than "
        f"{three_digits(apart['nine_of_ten'])}, the farthest by {three_digits(apart['largest'])}."
    ]


def _said_of_ranks(found: Mapping[str, Any]) -> list[str]:
    moved = found["difference"]
    return [
        f"With the {found['rows']} pairs of the {found['split']} split ranked by similarity, {found['model']} moves a "
        f"pair by {three_digits(moved['mean'])} places on average; nine of ten pairs by less than "
        f"{three_digits(moved['nine_of_ten'])}, the farthest by {three_digits(moved['largest'])}."
    ]


SAID: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "answers": _said_of_answers,
    "numbers": _said_of_numbers,
    "ranks": _said_of_ranks,
}
"""Kind of comparison -> what is said of it."""
HEADINGS = {
    "answers": "Texts whose answer changed",
    "numbers": "Where they are farthest apart",
    "ranks": "Pairs whose rank changed most",
    "words": "Sentences whose tags changed",
    "queries": "Queries whose first result changed",
}
"""What is counted, or the kind of comparison -> the heading over the examples."""


def _cells(matrix: Any) -> tuple[tuple[Cell, ...], ...]:
    """Colours are shares of the original's row; agreement is on the diagonal."""
    return tuple(tuple(Cell(int(n), n / (sum(line) or 1)) for n in line) for line in matrix)


def _scatter(pairs: Any, kind: str) -> Scatter:
    values = [value for pair in pairs for value in pair]
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    dots = tuple((100 * (before - low) / width, 100 * (after - low) / width) for before, after in pairs)
    return Scatter(dots, three_digits(low), three_digits(high), "rank" if kind == "ranks" else "number")
