"""From logits of windows to the best answers of questions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sublm.tasks.answers import whole_characters
from sublm.tasks.span_scores import answer_scores, best_threshold, is_answerable, span_metrics
from sublm.tasks.task import Task
from sublm.tasks.windows import SpanRows

MAX_ANSWER_LENGTH = 30
"""Tokens."""
N_BEST = 20
_CELLS = 2**22  # spans scored at a time


@dataclass(frozen=True)
class Answer:
    """One possible answer.

    Attributes:
        text: A part of the context; empty if there is none.
        start_logit: Of its first token.
        end_logit: Of its last.
    """

    text: str
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        """What answers are ranked by."""
        return self.start_logit + self.end_logit


@dataclass(frozen=True, eq=False)
class Decoded:
    """The answers of a model.

    Attributes:
        rows: What was decoded.
        numbers: [Q], the questions that have rows, in rising order.
        answers: [Q], the best answers of each, best first, no two with the same text.
        null: [Q], of each the answer "none" of the window that is least sure of it.
        finite: Whether every logit is a number.
    """

    rows: SpanRows
    numbers: np.ndarray
    answers: list[list[Answer]]
    null: list[Answer]
    finite: bool

    @property
    def odds(self) -> np.ndarray:
        """[Q], score of no answer less the score of the best answer; where there is no best, a large number."""
        best = [found[0].score if found else -1e6 for found in self.answers]
        return np.array([none.score for none in self.null]) - np.array(best)

    def predictions(self, threshold: float = 0.0) -> list[str]:
        """[Q], the best texts; where a question may have no answer, empty if the odds are above the threshold."""
        texts = [found[0].text if found else "" for found in self.answers]
        if not self.rows.questions.no_answer:
            return texts
        return ["" if odds > threshold else text for text, odds in zip(texts, self.odds, strict=True)]


def decode(logits: np.ndarray, rows: SpanRows, *, n_best: int = 1, longest: int = MAX_ANSWER_LENGTH) -> Decoded:
    """The best answers of every question over all its windows.

    An answer starts and ends on tokens of the context, ends no sooner than it starts, and has at most ``longest``
    tokens. Every such span is considered, not only those from the best starts and ends.

    Args:
        logits: [rows, tokens, 2], start and end; what stands beyond a row's tokens does not matter.
        rows: What the rows are.
        n_best: Answers per question.
        longest: Tokens of an answer.
    """
    numbers, place = np.unique(rows.question, return_inverse=True)
    answers: list[list[Answer]] = [[] for _ in numbers]
    null: list[Answer | None] = [None] * len(numbers)
    lengths = np.array([len(offsets) for offsets in rows.offsets], dtype=np.int64)
    finite = True
    size = max(1, _CELLS // max(1, longest * int(lengths.max(initial=1))))
    for first in range(0, len(lengths), size):
        chunk = slice(first, first + size)
        width = int(lengths[chunk].max())
        inside = np.arange(width) < lengths[chunk, None]
        part = np.where(inside[..., None], logits[chunk, :width].astype(np.float32), 0.0)
        finite = finite and bool(np.isfinite(part).all())
        part = np.nan_to_num(part, nan=0.0)
        context = np.zeros(inside.shape, dtype=bool)
        for row, offsets in enumerate(rows.offsets[chunk]):
            context[row, : len(offsets)] = offsets[:, 1] > offsets[:, 0]  # -1 to -1 is not the context's
        for row, spans in enumerate(_best_spans(part, context, n_best, longest)):
            question = int(place[first + row])
            at = rows.null[first + row]
            none = Answer("", float(part[row, at, 0]), float(part[row, at, 1]))
            before = null[question]
            if before is None or none.score < before.score:
                null[question] = none
            offsets, text = rows.offsets[first + row], rows.questions.contexts[numbers[question]]
            for start, end in spans:
                begin, stop = whole_characters(text, int(offsets[start, 0]), int(offsets[end, 1]))
                found = Answer(text[begin:stop].strip(), float(part[row, start, 0]), float(part[row, end, 1]))
                answers[question].append(found)
    ranked = [_distinct(found, n_best) for found in answers]
    return Decoded(rows, numbers, ranked, [none for none in null if none is not None], finite)


def _best_spans(logits: np.ndarray, context: np.ndarray, n_best: int, longest: int) -> list[list[tuple[int, int]]]:
    """Per row the best (first, last) tokens, best first; of equally good ones the shorter, then the earlier."""
    rows, width = context.shape
    start, end = (np.where(context, logits[..., side], -np.inf) for side in (0, 1))
    longest = min(longest, width)
    scores = np.full((rows, longest, width), -np.inf, dtype=np.float32)  # [row, tokens less one, first token]
    for more in range(longest):
        scores[:, more, : width - more] = start[:, : width - more] + end[:, more:]
    flat = scores.reshape(rows, -1)
    if n_best == 1:
        best = flat.argmax(axis=1)[:, None]
    else:
        count = min(n_best, flat.shape[1])
        best = np.argpartition(-flat, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(flat, best, axis=1)
        order = np.lexsort((best, -values), axis=1)
        best = np.take_along_axis(best, order, axis=1)
    found = []
    for row in range(rows):
        kept = best[row][np.isfinite(flat[row, best[row]])]
        found.append([(int(cell % width), int(cell % width + cell // width)) for cell in kept])
    return found


def _distinct(answers: list[Answer], n_best: int) -> list[Answer]:
    """The best answers; of those with the same text, from windows that overlap, the best one."""
    kept: dict[str, Answer] = {}
    for answer in sorted(answers, key=lambda found: -found.score):
        kept.setdefault(answer.text, answer)
        if len(kept) == n_best:
            break
    return list(kept.values())


def null_threshold(decoded: Decoded) -> float:
    """The threshold on the null odds that suits these answers best; to be found on rows that are not reported.

    0 where every question has an answer, or where the logits are not numbers.
    """
    questions = decoded.rows.questions
    if not questions.no_answer or not decoded.finite:
        return 0.0
    references = [questions.references[number] for number in decoded.numbers]
    f1 = [
        answer_scores(found[0].text if found else "", accepted, no_answer=True)[0]
        for found, accepted in zip(decoded.answers, references, strict=True)
    ]
    answerable = np.array([is_answerable(accepted) for accepted in references], dtype=bool)
    return best_threshold(np.array(f1), answerable, decoded.odds)


def score_answers(decoded: Decoded, task: Task, threshold: float | None = 0.0) -> dict[str, float]:
    """Every metric of the task over the questions that were decoded.

    Args:
        decoded: The answers.
        task: Says which metrics.
        threshold: On the null odds; None takes the best one for these very questions, which is for comparing models
            on rows that are not reported.

    Returns:
        Metric name to score, from 0 to 1; all NaN if a logit is no number.
    """
    if not decoded.finite:
        return dict.fromkeys(task.metrics, math.nan)
    cut = null_threshold(decoded) if threshold is None else threshold
    references = [decoded.rows.questions.references[number] for number in decoded.numbers]
    found = span_metrics(decoded.predictions(cut), references, no_answer=task.no_answer)
    return {name: found[name] for name in task.metrics}
