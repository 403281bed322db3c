"""Questions with long contexts as windows: each row is the question and as much of the context as fits.

Neighbouring windows share ``doc_stride`` tokens of the context, so that an answer at the edge of one is whole in the
other. (The original BERT code calls the *step* between windows its stride; here, as in transformers' tokenizers, it is
the overlap.) A window that does not hold the whole answer is taught that there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import DataError
from sublm.tasks.span_scores import Reference, references_of
from sublm.tasks.task import Examples, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -1
"""Position that no loss counts: an answer for which the tokenizer has no token."""

_CHUNK = 4096  # texts tokenised at a time

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Questions:
    """What predictions are made for and compared with.

    Attributes:
        ids: [Q].
        contexts: [Q].
        references: [Q], normalised.
        no_answer: Whether a question may have no answer.
    """

    ids: Sequence[str]
    contexts: Sequence[str]
    references: Sequence[Sequence[Reference]]
    no_answer: bool


@dataclass(frozen=True, eq=False)
class SpanRows:
    """Which part of which context each row is.

    Attributes:
        questions: All questions of the split.
        question: [rows], the number of each row's question.
        offsets: [rows] arrays [tokens, 2], int32: the characters of the context that each token stands for; -1 for
            tokens of the question and special ones.
        null: [rows], the position that stands for no answer.
    """

    questions: Questions
    question: np.ndarray
    offsets: Sequence[np.ndarray]
    null: np.ndarray

    def select(self, rows: np.ndarray) -> SpanRows:
        """The given rows, in the given order."""
        return replace(
            self, question=self.question[rows], offsets=[self.offsets[row] for row in rows], null=self.null[rows]
        )

    def joined(self, other: SpanRows) -> SpanRows:
        """These rows and questions followed by those of ``other``."""
        one, two = self.questions, other.questions
        questions = Questions(
            [*one.ids, *two.ids], [*one.contexts, *two.contexts], [*one.references, *two.references], one.no_answer
        )
        return SpanRows(
            questions,
            np.concatenate([self.question, other.question + len(one.ids)]),
            [*self.offsets, *other.offsets],
            np.concatenate([self.null, other.null]),
        )


@dataclass(frozen=True)
class Layout:
    """The special tokens around a pair: ``before`` question ``between`` context ``after``, and the parts' types."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    types: tuple[int, ...] | None = None  # of before, question, between, context, after
    null: int = 0

    @property
    def special(self) -> int:
        """Number of special tokens."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass
class _Columns:
    """Rows as they are made."""

    input_ids: list[np.ndarray] = field(default_factory=list)
    types: list[np.ndarray] = field(default_factory=list)
    labels: list[tuple[int, int]] = field(default_factory=list)
    offsets: list[np.ndarray] = field(default_factory=list)
    question: list[int] = field(default_factory=list)


def encode_windows(
    examples: Examples, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, doc_stride: int | None = None
) -> tuple[dict[str, list[Any]], np.ndarray, SpanRows]:
    """Tokenises questions and contexts, each context once, and lays windows over them.

    A question keeps at most half of the tokens; the context has the rest.

    Args:
        examples: Q rows with "id" and "answers" among their extras.
        task: Names the question's and the context's column.
        tokenizer: A fast one: offsets are needed.
        max_length: Most tokens of a row, special ones included.
        doc_stride: Tokens of the context that neighbouring windows share; a third of ``max_length`` if left out.

    Returns:
        "input_ids" and, if the tokenizer makes them, "token_type_ids"; start and end positions, [rows, 2] int64; what
        each row is.

    Raises:
        DataError: The tokenizer is a slow one, or the lengths do not fit together.
    """
    question_name, context_name = task.texts
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            f"Answers in a context need a tokenizer that knows where its tokens stand; {type(tokenizer).__name__} does "
            "not. Save a tokenizer.json (a fast tokenizer) beside the model."
        )
    asked, contexts = [text.strip() for text in examples.texts[question_name]], examples.texts[context_name]
    unique = {context: number for number, context in enumerate(dict.fromkeys(contexts))}
    layout = _layout(tokenizer, zip(asked, contexts, strict=True))
    room = max_length - layout.special
    floor = room - room // 2  # tokens that the context has at least
    overlap = max_length // 3 if doc_stride is None else doc_stride
    if doc_stride is None:
        overlap = min(overlap, floor - 1)
    if floor < 1 or not 0 <= overlap < floor:
        raise DataError(
            f"doc_stride={overlap} with max_length={max_length}: windows can share 0 to {floor - 1} tokens. "
            "Lower doc_stride or raise max_length."
        )
    question_tokens = _tokenise(tokenizer, asked, offsets=False)[0]
    context_tokens, context_offsets = _tokenise(tokenizer, list(unique), offsets=True)
    made, cut = _Columns(), 0
    for row, context in enumerate(contexts):
        tokens = question_tokens[row]
        cut += len(tokens) > room - floor
        tokens = tokens[: room - floor]
        number = unique[context]
        _add_windows(
            made,
            row,
            tokens,
            context_tokens[number],
            context_offsets[number],
            examples.labels[row],
            layout,
            room,
            overlap,
        )
    if cut:
        _log.warning("%d of %d questions have more than %d tokens and were cut.", cut, len(asked), room - floor)
    columns: dict[str, list[Any]] = {"input_ids": made.input_ids}
    if layout.types is not None:
        columns["token_type_ids"] = made.types
    no_answer = task.no_answer
    references = [references_of(answers, no_answer=no_answer) for answers in examples.extras["answers"]]
    questions = Questions(examples.extras["id"], contexts, references, no_answer)
    rows = len(made.question)
    spans = SpanRows(
        questions, np.array(made.question, dtype=np.int64), made.offsets, np.full(rows, layout.null, dtype=np.int64)
    )
    return columns, np.array(made.labels, dtype=np.int64).reshape(rows, 2), spans


def _add_windows(
    made: _Columns,
    row: int,
    question: np.ndarray,
    context: np.ndarray,
    offsets: np.ndarray,
    answer: np.ndarray,
    layout: Layout,
    room: int,
    overlap: int,
) -> None:
    """All windows of one question."""
    width = room - len(question)
    head = np.concatenate([layout.before, question, layout.between]).astype(np.int32)
    tail = np.array(layout.after, dtype=np.int32)
    first, last = token_range(offsets, int(answer[0]), int(answer[1]))
    start = 0
    while True:
        stop = min(start + width, len(context))
        made.input_ids.append(np.concatenate([head, context[start:stop], tail]))
        placed = np.full((len(head) + stop - start + len(tail), 2), -1, dtype=np.int32)
        placed[len(head) : len(head) + stop - start] = offsets[start:stop]
        made.offsets.append(placed)
        if layout.types is not None:
            parts = (len(layout.before), len(question), len(layout.between), stop - start, len(tail))
            made.types.append(np.repeat(np.array(layout.types, dtype=np.int32), parts))
        if answer[0] < 0:
            label = (layout.null, layout.null)
        elif last < first:
            label = (IGNORED, IGNORED)
        elif start <= first and last < stop:
            label = (len(head) + first - start, len(head) + last - start)
        else:
            label = (layout.null, layout.null)
        made.labels.append(label)
        made.question.append(row)
        if stop == len(context):
            return
        start += width - overlap


def token_range(offsets: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The first and the last token (inclusive) that share a character with a range; the last before the first if none.

    Args:
        offsets: [tokens, 2], in the order of the text.
        start: First character.
        end: The character after the last.
    """
    # Of the tokens of one character (bytes of an emoji) all have its offsets: the first and the last are found.
    first = int(np.searchsorted(np.maximum.accumulate(offsets[:, 1]), start, side="right"))
    last = int(np.searchsorted(np.maximum.accumulate(offsets[:, 0]), end, side="left")) - 1
    return first, last


def _tokenise(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], *, offsets: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Token numbers and, if asked for, their characters, without special tokens."""
    tokens: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for start in range(0, len(texts), _CHUNK):
        batch = tokenizer(
            texts[start : start + _CHUNK],
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=offsets,
            verbose=False,  # no warning about lengths: windows are cut from these
        )
        tokens += [np.array(row, dtype=np.int32) for row in batch["input_ids"]]
        if offsets:
            places += [np.array(row, dtype=np.int32).reshape(-1, 2) for row in batch["offset_mapping"]]
    return tokens, places


def _layout(tokenizer: PreTrainedTokenizerBase, pairs: Any) -> Layout:
    """Where the tokenizer puts special tokens, seen on the first pair of which both parts have tokens."""
    for question, context in pairs:
        # A few words are enough to see it; a pair is never longer than a model can read.
        batch = tokenizer(question[:100], context[:100], truncation=False, padding=False, verbose=False)
        parts = batch.sequence_ids(0)
        if 0 not in parts or 1 not in parts:
            continue
        ids = batch["input_ids"]
        asked = [place for place, part in enumerate(parts) if part == 0]
        told = [place for place, part in enumerate(parts) if part == 1]
        before, between, after = ids[: asked[0]], ids[asked[-1] + 1 : told[0]], ids[told[-1] + 1 :]
        null = before.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in before else 0
        types = None
        if "token_type_ids" in batch:
            given = batch["token_type_ids"]
            types = (
                given[0],
                given[asked[0]],
                given[asked[-1] + 1] if between else 0,
                given[told[0]],
                given[told[-1] + 1] if after else 0,
            )
        return Layout(tuple(before), tuple(between), tuple(after), types, null)
    return Layout()
