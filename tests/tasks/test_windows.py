import logging
import unicodedata

import numpy as np
import pytest

from sublm.errors import DataError
from sublm.tasks.encoding import encode
from sublm.tasks.task import Examples, Task
from sublm.tasks.windows import IGNORED
from tests.tasks.questions import byte_tokenizer, make_rows, word_tokenizer, wordpiece_tokenizer

TASK = Task("q", "span", ("question", "context"), "answers", (), ("f1", "em"))
LETTERS = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), "cafe", "?"]


def examples_of(*triples):
    """(question, context, answer)"""
    ranges = [(c.index(a), c.index(a) + len(a)) if a else (-1, -1) for _, c, a in triples]
    texts = {"question": [q for q, *_ in triples], "context": [c for _, c, _ in triples]}
    extras = {"id": [str(n) for n in range(len(triples))], "answers": [(a,) if a else () for *_, a in triples]}
    return Examples(texts, np.array(ranges, dtype=np.int64).reshape(-1, 2), extras)


def examples_from(rows):
    return examples_of(*((row["question"], row["context"], (row["answers"]["text"] or [""])[0]) for row in rows))


@pytest.mark.parametrize("maker", [word_tokenizer, byte_tokenizer, lambda: wordpiece_tokenizer(LETTERS)])
@pytest.mark.parametrize(("max_length", "doc_stride"), [(60, 10), (90, 0), (400, 100)])
def test_windows_are_those_of_the_tokenizers_own_overflow(maker, max_length, doc_stride):
    tokenizer = maker()
    examples = examples_from(make_rows(4, seed=1, sentences=8))
    encoded = encode(examples, TASK, tokenizer, max_length, doc_stride=doc_stride)
    expected = tokenizer(
        list(examples.texts["question"]),
        list(examples.texts["context"]),
        truncation="only_second",
        max_length=max_length,
        stride=doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert [row.tolist() for row in encoded.input_ids] == expected["input_ids"]
    assert encoded.spans.question.tolist() == expected["overflow_to_sample_mapping"]
    if "token_type_ids" in expected:
        assert [row.tolist() for row in encoded.features["token_type_ids"]] == expected["token_type_ids"]
    for row, offsets in enumerate(encoded.spans.offsets):
        told = [part == 1 for part in expected.sequence_ids(row)]
        assert offsets[told].tolist() == [list(pair) for pair in np.array(expected["offset_mapping"][row])[told]]
        assert (offsets[~np.array(told)] == -1).all()


@pytest.mark.parametrize("max_length", [16, 24, 64])
def test_labels_are_the_answer_or_none(max_length):
    tokenizer = word_tokenizer()
    examples = examples_from(make_rows(6, seed=2, unanswerable=0.3))
    encoded = encode(examples, TASK, tokenizer, max_length)
    whole = set()
    for row, (start, end) in enumerate(encoded.labels.tolist()):
        question, offsets = encoded.spans.question[row], encoded.spans.offsets[row]
        answer = examples.extras["answers"][question]
        if (start, end) == (0, 0):
            held = offsets[offsets[:, 0] >= 0]
            begin, stop = examples.labels[question]
            assert not answer or begin < held[:, 0].min() or stop > held[:, 1].max()
            continue
        context = examples.texts["context"][question]
        assert (context[offsets[start, 0] : offsets[end, 1]],) == answer
        whole.add(question)
    assert whole == {number for number, answer in enumerate(examples.extras["answers"]) if answer}


def test_an_answer_cut_by_a_window_is_not_taught_there():
    tokenizer = word_tokenizer([*"abcdefghij", "q"])
    encoded = encode(examples_of(("q", "a b c d e f g h i j", "d e")), TASK, tokenizer, 8, doc_stride=0)
    windows = [tokenizer.decode(row) for row in encoded.input_ids]
    assert windows[:2] == ["[CLS] q [SEP] a b c d [SEP]", "[CLS] q [SEP] e f g h [SEP]"]
    assert encoded.labels.tolist() == [[0, 0], [0, 0], [0, 0]]
    shared = encode(examples_of(("q", "a b c d e f g h i j", "d e")), TASK, tokenizer, 8, doc_stride=1)
    assert shared.labels.tolist()[:2] == [[0, 0], [3, 4]]


def test_long_questions_leave_half_to_the_context(caplog):
    tokenizer = word_tokenizer()
    examples = examples_of(("who " * 200, "ada met eli .", "eli"))
    with caplog.at_level(logging.WARNING):
        encoded = encode(examples, TASK, tokenizer, 25)
    assert "1 of 1 questions have more than 11 tokens" in caplog.text
    assert encoded.lengths.max() <= 25
    assert (encoded.input_ids[0] == tokenizer.convert_tokens_to_ids("who")).sum() == 11
    start, end = encoded.labels[0]
    assert tokenizer.decode(encoded.input_ids[0][start : end + 1]) == "eli"


def test_no_row_is_longer_than_allowed_and_every_token_is_seen():
    tokenizer = word_tokenizer()
    examples = examples_of(("who ?", " ".join(["ada met eli ."] * 100), "eli"), ("who " * 40, "ada " * 90, "ada"))
    encoded = encode(examples, TASK, tokenizer, 40)
    assert encoded.lengths.max() == 40
    for question, tokens in ((0, 400), (1, 90)):
        seen = {
            tuple(pair)
            for row in np.flatnonzero(encoded.groups == question)
            for pair in encoded.spans.offsets[row].tolist()
            if pair[0] >= 0
        }
        assert len(seen) == tokens


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("we met at the cafe\u0301 today", "cafe\u0301"),  # NFD: the tokenizer drops the accent
        ("we met at the caf\u00e9 today", "caf\u00e9"),
        ("CAF\u00c9 and more", "CAF\u00c9"),
    ],
)
def test_accents_that_the_tokenizer_drops_stay_in_the_answer(context, answer):
    encoded = encode(examples_of(("q ?", context, answer)), TASK, wordpiece_tokenizer(LETTERS))
    assert _said(encoded) == [answer]


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("so \U0001f600 she said", "\U0001f600"),
        ("the crew \U0001f469\u200d\U0001f680 flew", "\U0001f469\u200d\U0001f680"),
        ("a \U0001f44d\U0001f3fd for you", "\U0001f44d\U0001f3fd"),
        ("\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd", "\u4e2d\u56fd"),
        ("caf\u00e9 \U0001f600 after", "after"),
        (unicodedata.normalize("NFD", "\ud55c\uad6d \uc11c\uc6b8"), unicodedata.normalize("NFD", "\uc11c\uc6b8")),
    ],
)
def test_characters_of_several_tokens_are_whole(context, answer):
    encoded = encode(examples_of(("q", context, answer)), TASK, byte_tokenizer())
    assert _said(encoded) == [answer]


def test_chinese_without_spaces():
    tokenizer = wordpiece_tokenizer([*"\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd", "?"])
    context = "\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd"
    encoded = encode(examples_of(("\u662f?", context, "\u4e2d\u56fd")), TASK, tokenizer, 9)
    assert len(encoded) > 1
    assert set(_said(encoded)) == {"\u4e2d\u56fd"}


def test_an_answer_without_a_token_is_not_learnt():
    encoded = encode(examples_of(("q ?", "a \u200b b", "\u200b")), TASK, wordpiece_tokenizer(LETTERS))
    assert encoded.labels.tolist() == [[IGNORED, IGNORED]]


def test_a_context_of_nothing_is_one_row():
    encoded = encode(examples_of(("q ?", "", ""), ("q ?", "a b", "b")), TASK, wordpiece_tokenizer(LETTERS))
    assert encoded.labels.tolist() == [[0, 0], [5, 5]]


def test_parts_of_rows_know_their_questions():
    encoded = encode(examples_from(make_rows(3, seed=1)), TASK, word_tokenizer(), 20)
    some = encoded.select([5, 1])
    assert some.groups.tolist() == encoded.groups[[5, 1]].tolist()
    both = encoded.joined(some)
    assert len(both) == len(encoded) + 2
    assert both.groups[-2:].tolist() == (encoded.groups[[5, 1]] + 9).tolist()
    assert both.spans.questions.contexts[9:] == list(encoded.spans.questions.contexts)


def test_bad_lengths():
    examples = examples_from(make_rows(1, seed=1))
    with pytest.raises(DataError, match="doc_stride=40 with max_length=48: windows can share 0 to 22"):
        encode(examples, TASK, word_tokenizer(), 48, doc_stride=40)
    slow = type("Slow", (), {"is_fast": False})()
    with pytest.raises(DataError, match="fast tokenizer"):
        encode(examples, TASK, slow)


def _said(encoded):
    """What the labels stand for, as a model that gives them would say it."""
    from sublm.tasks.span_decoding import decode

    logits = np.zeros((len(encoded), encoded.lengths.max(), 2), dtype=np.float32)
    taught = np.flatnonzero(encoded.labels[:, 0] > 0)
    for row in taught:
        logits[row, encoded.labels[row], [0, 1]] = 5.0
    part = encoded.select(taught)
    return decode(logits[taught], part.spans).predictions()
