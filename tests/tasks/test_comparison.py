import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.tasks import Encoded, Examples, Task, compare_answers, encode
from sublm.tasks.comparison import LONGEST, excerpt
from sublm.tasks.groups import Groups
from sublm.tasks.words import WordRows
from tests.tasks.questions import make_rows, word_tokenizer


def classes(number):
    labels = tuple(f"c{i}" for i in range(number))
    return Task("t", "classification", ("text",), "label", labels=labels)


def rows_of(labels, texts=None, columns=("text",)):
    labels = np.array(labels)
    texts = texts or [f"text {i}" for i in range(len(labels))]
    return Examples({name: [f"{name}: {text}" for text in texts] for name in columns}, labels)


def encoded(examples):
    return Encoded([[1, 2]] * len(examples), examples.labels)


def one_hot(answers, width, sure=1.0):
    logits = np.zeros((len(answers), width), dtype=np.float32)
    logits[np.arange(len(answers)), answers] = sure
    return logits


ANSWER = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30)


@given(ANSWER)
def test_every_row_is_counted_once(drawn):
    labels, before, after = map(list, zip(*drawn, strict=True))
    examples = rows_of(labels)
    outputs = [one_hot(answers, 3) for answers in (before, after)]
    found = compare_answers(classes(3), examples, encoded(examples), *outputs)
    matrix = np.array(found["matrix"])
    assert matrix.sum() == sum(found["right"].values()) == found["rows"] == len(drawn)
    assert (
        matrix.sum() - np.trace(matrix) == found["changed"] == sum(a != b for a, b in zip(before, after, strict=True))
    )
    assert found["right"]["both"] + found["right"]["original"] == sum(
        a == b for a, b in zip(labels, before, strict=True)
    )
    assert len(found["examples"]) == min(20, found["changed"])
    json.dumps(found)


def test_changes_of_which_both_models_were_sure_come_first():
    examples = rows_of([0, 0, 0])
    before = np.array([[1, 0], [9, 0], [9, 0]], dtype=np.float32)
    after = np.array([[0, 9], [0, 8], [9, 0]], dtype=np.float32)
    found = compare_answers(classes(2), examples, encoded(examples), before, after)
    assert [e["texts"]["text"] for e in found["examples"]] == ["text: text 1", "text: text 0"]
    assert found["examples"][0]["right"] == [True, False]
    assert (found["examples"][0]["original"], found["examples"][0]["model"]) == ("c0", "c1")


def test_no_text_is_kept_if_none_is_wanted():
    examples = rows_of([0, 1], texts=["secret"] * 2)
    found = compare_answers(classes(2), examples, encoded(examples), one_hot([0, 1], 2), one_hot([1, 0], 2), limit=0)
    assert found["changed"] == 2
    assert "secret" not in json.dumps(found)


def test_many_classes_give_the_commonest_changes():
    before, after = [0, 0, 3, 4, 5], [1, 1, 3, 4, 6]
    examples = rows_of(before)
    found = compare_answers(classes(20), examples, encoded(examples), one_hot(before, 20), one_hot(after, 20))
    assert "matrix" not in found
    assert found["changes"] == [
        {"original": "c0", "model": "c1", "rows": 2},
        {"original": "c5", "model": "c6", "rows": 1},
    ]


def test_numbers_that_are_farthest_apart_are_shown():
    task = Task("t", "regression", ("text",), "label", metrics=("pearson",))
    examples = rows_of(np.array([1.0, 2.0, 3.0], dtype=np.float32))
    before, after = (np.array(v, dtype=np.float32)[:, None] for v in ([1, 2, 3], [1.5, 2, 1]))
    found = compare_answers(task, examples, encoded(examples), before, after, limit=2)
    assert [(e["original"], e["model"]) for e in found["examples"]] == [("3", "1"), ("1", "1.5")]
    assert found["difference"] == pytest.approx({"mean": 2.5 / 3, "median": 0.5, "nine_of_ten": 1.7, "largest": 2.0})
    assert found["pairs"] == [[1.0, 1.5], [2.0, 2.0], [3.0, 1.0]]


def test_choices_are_told_by_their_texts():
    task = Task("t", "multiple_choice", ("start", "a", "b"), "label", labels=("a", "b"))
    examples = rows_of([1, 0], columns=task.texts)
    found = compare_answers(task, examples, encoded(examples), one_hot([1, 0], 2), one_hot([0, 0], 2))
    (example,) = found["examples"]
    assert example["texts"] == {"start": "start: text 0"}
    assert (example["expected"], example["model"]) == ("b: text 0", "a: text 0")


def test_answers_to_questions_that_changed():
    task = Task("t", "span", ("question", "context"), "answers", metrics=("f1", "em"))
    rows = make_rows(6, seed=0)
    examples = Examples(
        {name: [row[name] for row in rows] for name in task.texts},
        np.array([[-1, -1]] * len(rows)),
        {"id": [row["id"] for row in rows], "answers": [tuple(row["answers"]["text"]) for row in rows]},
    )
    found_rows = encode(examples, task, word_tokenizer(), 48)
    shape = (len(found_rows), int(found_rows.lengths.max()), 2)
    before = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    same = compare_answers(task, examples, found_rows, before, before)
    assert same["changed"] == 0
    assert same["examples"] == []
    other = compare_answers(task, examples, found_rows, before, before[..., ::-1] - 3 * before)
    assert 0 < other["changed"] == len(other["examples"]) <= other["rows"] == len(rows)
    for example in other["examples"]:
        assert example["original"] != example["model"]
        assert example["original"] in example["texts"]["context"]


def test_pairs_whose_rank_moved_most_are_shown():
    task = Task("t", "embedding", ("a", "b"), "score", metrics=("spearman",))
    examples = rows_of(np.array([4.0, 3.0, 2.0, 1.0], dtype=np.float32), columns=task.texts)
    before, after = (np.array(v, dtype=np.float32)[:, None] for v in ([0.9, 0.8, 0.7, 0.6], [0.3, 0.8, 0.7, 0.2]))
    found = compare_answers(task, examples, encoded(examples), before, after, limit=1)
    assert found["kind"] == "ranks"
    assert found["difference"]["largest"] == 2  # the first pair falls behind two others, which move up by one
    assert found["difference"]["mean"] == 1
    (example,) = found["examples"]
    assert example["texts"]["a"] == "a: text 0"
    assert [example[name] for name in ("expected", "original", "model")] == [
        "rank 1 (4)",
        "rank 1 (0.9)",
        "rank 3 (0.3)",
    ]
    # what matters is the order: any rising function of the similarities says the same
    risen = compare_answers(task, examples, encoded(examples), before, np.exp(5 * after))
    assert (risen["difference"], risen["pairs"]) == (found["difference"], found["pairs"])


def test_words_whose_tag_changed():
    labels = ("O", "B-PER", "I-PER", "B-LOC")
    task = Task("t", "tokens", ("words",), "tags", labels=labels, metrics=("f1",))
    words = [("Ada", "met", "Bo"), ("No", "names"), ("in", "Turin")]
    tags = [np.array(row) for row in ((1, 0, 1), (0, 0), (0, 3))]
    examples = Examples(
        {"words": [" ".join(row) for row in words]}, np.array([1, 0, 1]), {"words": words, "tags": tags}
    )
    table = np.array([[1, 0, 1], [0, 0, -100], [0, 3, -100]])
    known = WordRows(tags, np.arange(3), [np.arange(len(row)) for row in words])
    rows = Encoded([[5] * 3, [5] * 2, [5] * 2], table, words=known)

    def said(*answers):
        return np.stack([one_hot(row, 4) for row in answers])

    before, after = said([1, 0, 1], [0, 0, 0], [0, 3, 0]), said([1, 0, 3], [0, 0, 0], [3, 0, 0])
    found = compare_answers(task, examples, rows, before, after)
    assert (found["unit"], found["rows"], found["changed"]) == ("words", 7, 3)
    assert found["right"] == {"both": 4, "original": 3, "model": 0, "neither": 0}
    assert found["labels"] == ["O", "PER", "LOC"]
    assert found["matrix"] == [[3, 0, 1], [0, 1, 1], [1, 0, 0]]
    assert [e["texts"]["words"] for e in found["examples"]] == ["in Turin", "Ada met Bo"]  # most changes first
    assert found["examples"][0]["original"] == "in O, Turin B-LOC"
    assert found["examples"][0]["model"] == "in B-LOC, Turin O"
    assert found["examples"][1]["right"] == [True, False]
    assert compare_answers(task, examples, rows, before, before)["examples"] == []
    parts = dataclasses.replace(task, labels=("noun", "verb", "name", "place"))  # without an outside, a tag is a type
    assert compare_answers(parts, examples, rows, before, after)["labels"] == list(parts.labels)


def test_queries_whose_first_passage_changed():
    task = Task("t", "rerank", ("query", "passage"), "label", metrics=("ndcg_10",))
    labels = np.array([1.0, 0, 0, 0.5, 1, 0, 0], dtype=np.float32)
    texts = [f"{row}" for row in range(7)]
    examples = Examples({"query": ["q", "q", "r", "r", "r", "s", "s"], "passage": texts}, labels)
    groups = Groups(np.array([0, 0, 1, 1, 1, 2, 2]))  # nothing is relevant to the last query
    rows = Encoded([[1, 2]] * 7, labels, together=groups)
    before, after = (np.array(v, dtype=np.float32)[:, None] for v in ([2, 1, 0, 1, 2, 0, 1], [0, 5, 0, 2, 1, 1, 0]))
    found = compare_answers(task, examples, rows, before, after)
    assert (found["unit"], found["rows"], found["changed"]) == ("queries", 2, 2)
    assert found["right"] == {"both": 1, "original": 1, "model": 0, "neither": 0}
    shown = [(e["texts"]["query"], e["expected"], e["original"], e["model"], e["right"]) for e in found["examples"]]
    assert shown == [("q", "0", "0", "1", [True, False]), ("r", "4", "4", "3", [True, True])]
    equal = np.zeros((7, 1), dtype=np.float32)  # a model that says the same of all puts nothing relevant first
    assert compare_answers(task, examples, rows, before, equal)["right"]["model"] == 0


def test_what_cannot_be_compared_is_not():
    examples = rows_of([0])
    broken = np.full((1, 2), np.nan, dtype=np.float32)
    assert compare_answers(classes(2), examples, encoded(examples), broken, broken) is None


@given(st.text(max_size=900), st.integers(0, 900), st.integers(0, 40))
def test_an_excerpt_is_short_and_shows_its_part(text, at, length):
    part = text[at : at + length].strip()
    found = excerpt(text, part)
    assert len(found) <= LONGEST + 4
    assert part in found or not part
