"""Where two models of one task answer differently: counts, and examples of rows whose answer changed.

To be used on rows that no score is reported on: examples that people look at must not come from those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublm.tasks.encoding import Encoded
from sublm.tasks.groups import CANDIDATE, chosen_rows
from sublm.tasks.kinds.tokens import WORDS
from sublm.tasks.span_decoding import decode, null_threshold
from sublm.tasks.span_scores import answer_scores, normalise_answer
from sublm.tasks.tag_scores import OUTSIDE, has_entities, split_tag
from sublm.tasks.task import Examples, Task
from sublm.tasks.words import read_tags

EXAMPLES = 20
"""Rows that are shown, at most."""
LONGEST = 300
"""Characters of a text that are shown."""
MOST_LABELS = 12
"""With more classes than that, the commonest changes are listed instead of all pairs."""
NO_TAG = "no tag"
"""What is said of a word that no row reads, where tags have no outside."""
POINTS = 300
"""Pairs of numbers that are kept for a picture, at most."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What two models said on the rows of one split.

    Attributes:
        task: The task.
        examples: The split.
        encoded: The same, tokenised.
        original: The original's outputs, as `predict` gives them.
        model: The model's.
    """

    task: Task
    examples: Examples
    encoded: Encoded
    original: np.ndarray
    model: np.ndarray


def compare_answers(
    task: Task,
    examples: Examples,
    encoded: Encoded,
    original: np.ndarray,
    model: np.ndarray,
    *,
    limit: int = EXAMPLES,
) -> dict[str, Any] | None:
    """Compares what two models say, row by row; of questions, tagged sentences and queries, one by one of those.

    Args:
        task: The task.
        examples: Rows with their texts.
        encoded: The same, tokenised.
        original: The original's outputs, as `predict` gives them.
        model: The smaller model's.
        limit: Rows to show, at most; with 0 no text and no text's answer is in the result.

    Returns:
        Plain data. "kind" is "numbers" (with "difference" and "pairs"), "ranks" (the same of ranks) or "answers" (with
        "changed" and "right", and for classes and tags "labels" and "matrix", or "changes" where there are many);
        "rows" and "examples" in all; "unit" says what is counted where that is not a row. None if the kind of task has
        no comparison, or an output is not a number.
    """
    compare = COMPARISONS.get(task.kind)
    # Rows of spans have -inf beyond their tokens; what makes them useless is NaN.
    if compare is None or np.isnan(original).any() or np.isnan(model).any():
        return None
    return compare(Rows(task, examples, encoded, original, model), limit)


def compare_classes(rows: Rows, limit: int) -> dict[str, Any]:
    """Classes: every pair of answers counted; shown first are changes of which both models were sure."""
    names = [str(label) for label in rows.task.labels]
    before, after = rows.original.argmax(-1), rows.model.argmax(-1)
    found = _answers(before != after, before == rows.examples.labels, after == rows.examples.labels)
    found |= _confusion(names, before, after)
    shown = _by_sureness(rows, before, after)[:limit]
    answers = [(names[rows.examples.labels[i]], names[before[i]], names[after[i]]) for i in shown]
    right = [(before[i] == rows.examples.labels[i], after[i] == rows.examples.labels[i]) for i in shown]
    return found | {"examples": _examples(rows.examples, shown, answers, right)}


def compare_choices(rows: Rows, limit: int) -> dict[str, Any]:
    """Multiple choice: answers are the choices' texts."""
    before, after = rows.original.argmax(-1), rows.model.argmax(-1)
    found = _answers(before != after, before == rows.examples.labels, after == rows.examples.labels)
    context, *choices = rows.task.texts
    shown = _by_sureness(rows, before, after)[:limit]

    def choice(row: int, number: int) -> str:
        return rows.examples.texts[choices[number]][row]

    answers = [(choice(i, int(rows.examples.labels[i])), choice(i, before[i]), choice(i, after[i])) for i in shown]
    right = [(before[i] == rows.examples.labels[i], after[i] == rows.examples.labels[i]) for i in shown]
    return found | {"examples": _examples(rows.examples, shown, answers, right, (context,))}


def compare_candidates(rows: Rows, limit: int) -> dict[str, Any]:
    """Candidates: of every question the candidate that each model takes."""
    groups = rows.encoded.together
    assert groups is not None, "candidates are grouped by their questions"
    before, after = (chosen_rows(logits, groups.numbers) for logits in (rows.original, rows.model))
    right = groups.scores["em"] == 1
    candidates, labels = rows.examples.extras[CANDIDATE], rows.examples.labels
    found = _answers(before != after, right[before], right[after])
    changed = np.flatnonzero(before != after)[:limit]
    answers = []
    for group in changed:
        accepted = np.flatnonzero((groups.numbers == groups.numbers[before[group]]) & (labels == 1))
        expected = candidates[accepted[0]] if len(accepted) else ""
        answers.append((expected, candidates[before[group]], candidates[after[group]]))
    fits = list(zip(right[before[changed]], right[after[changed]], strict=True))
    return found | {"examples": _examples(rows.examples, before[changed], answers, fits)}


def compare_numbers(rows: Rows, limit: int) -> dict[str, Any]:
    """Regression: how far apart the numbers are; shown are the largest differences."""
    before, after = _numbers_of(rows)
    labels = rows.examples.labels
    shown = _farthest(before, after)[:limit]
    answers = [(_number(labels[i]), _number(before[i]), _number(after[i])) for i in shown]
    return {"kind": "numbers", **_apart(before, after), "examples": _examples(rows.examples, shown, answers)}


def compare_similarities(rows: Rows, limit: int) -> dict[str, Any]:
    """Embeddings: by how many places pairs move when all are ranked, the most similar first; shown are the farthest."""
    from scipy.stats import rankdata

    numbers = (rows.examples.labels, *_numbers_of(rows))
    expected, before, after = (rankdata(-np.asarray(values), method="average") for values in numbers)
    shown = _farthest(before, after)[:limit]

    def told(which: int, row: int) -> str:
        return f"rank {(expected, before, after)[which][row]:.0f} ({_number(numbers[which][row])})"

    answers = [(told(0, row), told(1, row), told(2, row)) for row in shown]
    return {"kind": "ranks", **_apart(before, after), "examples": _examples(rows.examples, shown, answers)}


def compare_tags(rows: Rows, limit: int) -> dict[str, Any]:
    """Tags: word by word, counted by type; shown are the sentences with most words whose tag changed."""
    assert rows.encoded.words is not None, "rows of tagged words know their sentences"
    marked_up = has_entities(rows.task.labels)
    names = [*map(str, rows.task.labels), OUTSIDE if marked_up else NO_TAG]  # -1, a word that no row reads, is the last
    labels, words = rows.encoded.labels, rows.encoded.words
    truth, before = read_tags(rows.original, labels, words)
    after = read_tags(rows.model, labels, words)[1]
    sentences = np.unique(words.sentence)
    flat = [np.concatenate(tags) for tags in (truth, before, after)]
    found = _answers(flat[1] != flat[2], flat[1] == flat[0], flat[2] == flat[0]) | {"unit": "words"}
    said_of_all = all((tags >= 0).all() for tags in flat)
    types = [_type_of(name) if marked_up else name for name in (names[:-1] if said_of_all else names)]
    known = list(dict.fromkeys(types))
    of_tag = np.array([known.index(kind) for kind in types])
    found |= _confusion(known, of_tag[flat[1]], of_tag[flat[2]])
    changed = [np.flatnonzero(one != other) for one, other in zip(before, after, strict=True)]
    order = np.argsort([-len(places) for places in changed], kind="stable")
    (column,) = rows.task.texts
    examples = []
    for place in order[:limit]:
        places = changed[place]
        if not len(places):
            break
        said = rows.examples.extras[WORDS][sentences[place]]
        told = [
            ", ".join(f"{said[word]} {names[tags[place][word]]}" for word in places) for tags in (truth, before, after)
        ]
        right = [bool((tags[place][places] == truth[place][places]).all()) for tags in (before, after)]
        text = {column: excerpt(" ".join(said), said[places[0]])}
        examples.append(_example(text, *told, right=tuple(right)))
    return found | {"examples": examples}


def compare_rankings(rows: Rows, limit: int) -> dict[str, Any]:
    """Reranking: of every query with a relevant passage, the passage that each model puts first.

    Right is a relevant passage; of equal scores the less relevant comes first, as where rankings are scored.
    """
    groups = rows.encoded.together
    assert groups is not None, "passages are grouped by their queries"
    labels, scores = rows.examples.labels, _numbers_of(rows)
    queries = np.unique(groups.numbers[labels > 0])
    firsts = []
    for values in (labels, *scores):
        order = np.lexsort((labels, -values.astype(np.float64), groups.numbers))
        first = np.unique(groups.numbers[order], return_index=True)[1]
        firsts.append(order[first[np.isin(np.unique(groups.numbers), queries)]])
    best, before, after = firsts
    found = _answers(before != after, labels[before] > 0, labels[after] > 0) | {"unit": "queries"}
    sure = np.minimum(scores[0][before] - scores[0][after], scores[1][after] - scores[1][before])
    changed = np.flatnonzero(before != after)
    shown = changed[np.argsort(-sure[changed], kind="stable")][:limit]
    query, passage = rows.task.texts
    passages = rows.examples.texts[passage]
    answers = [(passages[best[i]], passages[before[i]], passages[after[i]]) for i in shown]
    right = [(labels[before[i]] > 0, labels[after[i]] > 0) for i in shown]
    return found | {"examples": _examples(rows.examples, before[shown], answers, right, (query,))}


def compare_spans(rows: Rows, limit: int) -> dict[str, Any]:
    """Questions: answers that differ by more than articles, capitals and punctuation; the context around them."""
    assert rows.encoded.spans is not None, "rows of spans know their contexts"
    decoded = [decode(logits, rows.encoded.spans) for logits in (rows.original, rows.model)]
    texts = [found.predictions(null_threshold(found)) for found in decoded]
    questions, numbers = rows.encoded.spans.questions, decoded[0].numbers
    changed, right = [], []
    for number, before, after in zip(numbers, *texts, strict=True):
        accepted = questions.references[number]
        right.append([answer_scores(text, accepted, no_answer=questions.no_answer)[1] for text in (before, after)])
        changed.append(normalise_answer(before) != normalise_answer(after))
    exact = np.array(right).reshape(-1, 2) == 1
    found = _answers(np.array(changed, dtype=bool), exact[:, 0], exact[:, 1])
    shown = np.flatnonzero(changed)[:limit]
    question, context = rows.task.texts
    kept = []
    for place in shown:
        row, before, after = int(numbers[place]), texts[0][place], texts[1][place]
        accepted = [str(text) for text in rows.examples.extras["answers"][row]]
        whole = rows.examples.texts[context][row]
        around = {question: rows.examples.texts[question][row], context: excerpt(whole, before or after)}
        told = [text or "no answer" for text in (accepted[0] if accepted else "", before, after)]
        kept.append(_example(around, *told, right=tuple(exact[place])))
    return found | {"examples": kept}


COMPARISONS: dict[str, Callable[[Rows, int], dict[str, Any]]] = {
    "classification": compare_classes,
    "regression": compare_numbers,
    "multiple_choice": compare_choices,
    "candidates": compare_candidates,
    "span": compare_spans,
    "embedding": compare_similarities,
    "tokens": compare_tags,
    "rerank": compare_rankings,
}
"""Kind of task -> how its answers are compared; another kind has no comparison."""


def excerpt(text: str, part: str, length: int = LONGEST) -> str:
    """At most so many characters of a text, those around a part of it; what is left out is marked.

    Args:
        text: The text.
        part: What is to be seen, if it is in the text; else the beginning is kept.
        length: Characters.
    """
    if len(text) <= length:
        return text
    at = max(text.find(part), 0) if part else 0
    start = min(max(at + len(part) // 2 - length // 2, 0), len(text) - length)
    kept = text[start : start + length].strip()
    return f"{'… ' if start else ''}{kept}{' …' if start + length < len(text) else ''}"


def _answers(changed: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """How many answers changed, and which of the models was right."""
    return {
        "kind": "answers",
        "rows": len(changed),
        "changed": int(changed.sum()),
        "right": {
            "both": int((before & after).sum()),
            "original": int((before & ~after).sum()),
            "model": int((~before & after).sum()),
            "neither": int((~before & ~after).sum()),
        },
    }


def _confusion(names: Sequence[str], before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Every pair of answers counted; of many classes the commonest changes."""
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (before, after), 1)
    if len(names) <= MOST_LABELS:
        return {"labels": list(names), "matrix": matrix.tolist()}
    np.fill_diagonal(matrix, 0)
    common = [int(cell) for cell in np.argsort(-matrix, axis=None, kind="stable")[:10] if matrix.flat[cell]]
    pairs = [divmod(cell, len(names)) for cell in common]
    return {
        "changes": [
            {"original": names[one], "model": names[other], "rows": int(matrix[one, other])} for one, other in pairs
        ]
    }


def _numbers_of(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The one number that each model says of every row."""
    before, after = (logits.reshape(len(logits)).astype(np.float64) for logits in (rows.original, rows.model))
    return before, after


def _farthest(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The rows, those first whose numbers are farthest apart."""
    return np.argsort(-np.abs(after - before), kind="stable")


def _apart(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """How far numbers are apart, and pairs of them for a picture, spread over the original's."""
    apart = np.abs(after - before)
    by_size = np.argsort(before, kind="stable")
    kept = by_size[np.unique(np.linspace(0, len(before) - 1, min(POINTS, len(before))).round().astype(np.int64))]
    return {
        "rows": len(before),
        "difference": {
            "mean": float(apart.mean()),
            "median": float(np.median(apart)),
            "nine_of_ten": float(np.quantile(apart, 0.9)),
            "largest": float(apart.max()),
        },
        "pairs": [[round(float(before[i]), 4), round(float(after[i]), 4)] for i in kept],
    }


def _type_of(tag: str) -> str:
    """The type of entity that a tag speaks of; of a tag without a place, itself."""
    parts = split_tag(tag)
    return parts[1] if parts else tag


def _by_sureness(rows: Rows, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The changed rows, those first of which both models were sure."""
    changed = np.flatnonzero(before != after)
    sure = [_probabilities(logits[changed]).max(-1) for logits in (rows.original, rows.model)]
    return changed[np.argsort(-np.minimum(*sure), kind="stable")]


def _probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def _examples(
    examples: Examples,
    rows: np.ndarray,
    answers: Sequence[tuple[str, str, str]],
    right: Sequence[tuple[Any, Any]] | None = None,
    columns: Sequence[str] = (),
) -> list[dict[str, Any]]:
    found = []
    for place, (row, told) in enumerate(zip(rows, answers, strict=True)):
        texts = {name: examples.texts[name][int(row)] for name in columns or examples.texts}
        found.append(_example(texts, *told, right=right[place] if right is not None else None))
    return found


def _example(
    texts: Mapping[str, str], expected: str, original: str, model: str, *, right: tuple[Any, ...] | None = None
) -> dict[str, Any]:
    """One row as it is shown; `right` says whether the original's answer is, and the model's."""
    told = {"expected": expected, "original": original, "model": model}
    return {
        "texts": {name: excerpt(" ".join(text.split()), "") for name, text in texts.items()},
        **{name: excerpt(text, "") for name, text in told.items()},
        **({"right": [bool(flag) for flag in right]} if right is not None else {}),
    }


def _number(value: float) -> str:
    return f"{float(value):.3g}"
