"""Scores of answers: exact match and F1 over words, as SQuAD 1.1 and 2.0 define them. All from 0 to 1.

Where the two published definitions differ, ``no_answer`` says which: in 2.0 a question may have no answer, the empty
text is then the right one, and references of which nothing is left when they are normalised do not count.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SPAN_METRICS = ("f1", "em", "has_answer_f1", "has_answer_em", "no_answer_f1", "no_answer_em")
"""The first two of every span task, the others where a question may have no answer."""

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without English articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


@dataclass(frozen=True)
class Reference:
    """One accepted answer, normalised once."""

    text: str
    words: Counter[str]


def references_of(answers: Sequence[str], *, no_answer: bool) -> tuple[Reference, ...]:
    """What predictions for one question are compared with; the empty text where it has no answer."""
    texts = [normalise_answer(answer) for answer in answers]
    if no_answer:
        texts = [text for text in texts if text] or [""]
    return tuple(Reference(text, Counter(text.split())) for text in dict.fromkeys(texts))


def answer_scores(prediction: str, references: Sequence[Reference], *, no_answer: bool) -> tuple[float, float]:
    """F1 and exact match of a prediction, each with the reference that it fits best.

    Args:
        prediction: The text; empty says that there is no answer.
        references: Of ``references_of``.
        no_answer: Whether questions may have no answer.

    Returns:
        F1 of the bags of words, and 1.0 or 0.0.
    """
    text = normalise_answer(prediction)
    words = Counter(text.split())
    f1 = max((_overlap(words, reference.words, no_answer=no_answer) for reference in references), default=0.0)
    return f1, float(any(text == reference.text for reference in references))


def _overlap(one: Counter[str], other: Counter[str], *, no_answer: bool) -> float:
    if no_answer and not (one and other):
        return float(not one and not other)
    common = sum((one & other).values())
    if not common:
        return 0.0
    precision, recall = common / sum(one.values()), common / sum(other.values())
    return 2 * precision * recall / (precision + recall)


def best_threshold(f1: np.ndarray, answerable: np.ndarray, odds: np.ndarray) -> float:
    """The threshold on the null odds with the best mean F1; questions above it are left unanswered.

    Sorted by the odds once; every cut between two different odds is a candidate, as are answering all and none. Of
    equally good cuts the one nearest to 0 is taken.

    Args:
        f1: [Q], of the answers if they are given.
        answerable: [Q], whether the question has an answer.
        odds: [Q], score of no answer less the score of the answer.

    Returns:
        The threshold, finite; half-way between the odds on its sides.
    """
    if not len(odds):
        return 0.0
    order = np.argsort(odds, kind="stable")
    ranked = odds[order].astype(np.float64)
    # Answering one question more gains its F1, or loses the 1 that a rightly unanswered one has.
    gains = np.where(answerable[order], f1[order], f1[order] - 1.0)
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    cuts = np.concatenate([[ranked[0] - 1.0], (ranked[1:] + ranked[:-1]) / 2, [ranked[-1] + 1.0]])
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    best = totals[possible].max()
    candidates = cuts[possible & (totals >= best - 1e-9)]
    return float(candidates[np.argmin(np.abs(candidates))])


def span_metrics(
    predictions: Sequence[str], references: Sequence[Sequence[Reference]], *, no_answer: bool
) -> dict[str, float]:
    """Mean scores over questions, and over those with and without an answer; NaN over none.

    Args:
        predictions: One text per question.
        references: Of every question.
        no_answer: Whether questions may have no answer.
    """
    pairs = [
        answer_scores(text, found, no_answer=no_answer) for text, found in zip(predictions, references, strict=True)
    ]
    scores = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    parts = {"": np.ones(len(scores), dtype=bool)}
    if no_answer:
        has = np.array([is_answerable(found) for found in references], dtype=bool)
        parts |= {"has_answer_": has, "no_answer_": ~has}
    return {
        f"{part}{name}": float(scores[rows, column].mean()) if rows.any() else float("nan")
        for part, rows in parts.items()
        for column, name in enumerate(("f1", "em"))
    }


def is_answerable(references: Sequence[Reference]) -> bool:
    """Whether any reference says something."""
    return any(reference.text for reference in references)


def score_predictions(
    predictions: Mapping[str, str], answers: Mapping[str, Sequence[str]], *, no_answer: bool = False
) -> dict[str, float]:
    """Scores of a prediction file's content; a question without a prediction counts as wrong.

    Args:
        predictions: Id to text; empty for no answer.
        answers: Id to the accepted texts; empty for no answer.
        no_answer: Score as SQuAD 2.0 does.

    Returns:
        "f1" and "em", and with ``no_answer`` the same over questions with and without an answer.
    """
    texts = [predictions.get(name, "") for name in answers]
    references = [references_of(accepted, no_answer=no_answer) for accepted in answers.values()]
    return span_metrics(texts, references, no_answer=no_answer)
