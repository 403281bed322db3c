import pytest

from sublm.errors import DataError
from sublm.tasks.own import MAX_CLASSES, describe
from sublm.tasks.table import Table

LONG = ["a text", "other words", "more words"]


def task_of(columns, names=None, **arguments):
    return describe(Table(columns, "train.csv", names or {}), "mine", **arguments)


@pytest.mark.parametrize(
    ("columns", "texts", "label"),
    [
        ({"text": LONG, "label": [0, 1, 0]}, ("text",), "label"),
        (
            {"idx": [0, 1, 2], "Sentence2": LONG, "Sentence1": LONG, "Score": [0.5, 1, 2]},
            ("Sentence1", "Sentence2"),
            "Score",
        ),
        ({"comment": LONG, "toxic": [True, False, True]}, ("comment",), "toxic"),
        ({"comment": LONG, "toxic": ["0", "1", "0"]}, ("comment",), "toxic"),
        (
            {"id": ["x1", "x2", "x3"], "comment": LONG, "reply": LONG, "label": ["p", "q", "p"]},
            ("comment", "reply"),
            "label",
        ),
        ({"text": LONG, "topic": ["sport", "art", "art"]}, ("text",), "topic"),
        ({"评论": [f"第{n}条" for n in range(40)], "情感": ["正面", "负面"] * 20}, ("评论",), "情感"),
        (
            {"first": [f"a {n}" for n in range(40)], "second": [f"b {n}" for n in range(40)], "same": ["y", "n"] * 20},
            ("first", "second"),
            "same",
        ),
        ({"": ["0", "1", "2"], "text": LONG, "label": ["a", "b", "a"]}, ("text",), "label"),
    ],
)
def test_columns_are_found(columns, texts, label):
    task = task_of(columns)
    assert (task.texts, task.label) == (texts, label)


def test_columns_are_named():
    task = task_of({"p": LONG, "q": LONG, "r": LONG, "s": ["x", "y", "x"]}, text=["r", "p"], label="s")
    assert (task.texts, task.label, task.labels) == (("r", "p"), "s", ("x", "y"))


@pytest.mark.parametrize(
    ("values", "kind", "labels"),
    [
        (["b", "a", "b"], "classification", ("a", "b")),
        ([10, 9, 10], "classification", ("9", "10")),
        (["10", "9", "-1"], "classification", ("-1", "9", "10")),
        ([True, False, True], "classification", ("false", "true")),
        ([1.0, 2.0, 1.0], "classification", ("1", "2")),
        (["1.0", "2", "1"], "classification", ("1", "2")),
        ([0.5, 1.0, 2.0], "regression", ()),
        (["0.5", "1", "2"], "regression", ()),
        ([0.5, None, 2.0], "regression", ()),
        (["low", "0.5", "2"], "classification", ("0.5", "2", "low")),
    ],
)
def test_kind_and_labels(values, kind, labels):
    task = task_of({"text": LONG, "label": values})
    assert (task.kind, task.labels) == (kind, labels)
    assert task.metric == ("spearman" if kind == "regression" else "accuracy")


def test_very_many_whole_numbers_are_a_regression_only_if_written_as_floats():
    count = MAX_CLASSES + 1
    texts = [f"text number {n}" for n in range(count)]
    assert task_of({"text": texts, "label": [float(n) for n in range(count)]}).kind == "regression"
    assert task_of({"text": texts, "label": [*range(count - 1), 0]}).kind == "classification"
    with pytest.raises(DataError, match=f'{count} different values.*kind="regression"'):
        task_of({"text": texts, "label": list(range(count))})
    assert task_of({"text": texts, "label": list(range(count))}, kind="regression").kind == "regression"
    with pytest.raises(DataError, match="Is it a text column"):
        task_of({"text": texts, "label": texts})


def test_kind_can_be_given():
    assert task_of({"text": LONG, "label": [1, 2, 3]}, kind="regression").labels == ()
    assert task_of({"text": LONG, "label": [0.5, 1.0, 0.5]}, kind="classification").labels == ("0.5", "1")


def test_names_of_numbered_labels_are_used():
    task = task_of({"text": LONG, "label": [0, 1, 0]}, names={"label": ("World", "Sports")})
    assert task.labels == ("World", "Sports")


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        (
            {"text": LONG, "label": [0, 1, 0]},
            {"text": ["txt"]},
            r"no column 'txt'.*'text', 'label'.*Did you mean 'text'.*text=",
        ),
        ({"text": LONG, "label": [0, 1, 0]}, {"label": "lable"}, r"no column 'lable'.*Did you mean 'label'.*label="),
        ({"text": LONG, "label": [0, 1, 0]}, {"text": ["text", "label", "x"]}, "names 3 columns"),
        ({"text": LONG, "label": [0, 1, 0]}, {"text": ["text"], "label": "text"}, "both a text and the label"),
        ({"text": LONG, "label": [0, 1, 0]}, {"kind": "regresion"}, "Did you mean 'regression'"),
        ({"text": LONG, "label": [0, 1, 0]}, {"kind": "multiple_choice"}, "not read from own files"),
        ({"text": LONG, "label": [0, 1, 0]}, {"kind": "candidates"}, "not read from own files"),
        ({"p": LONG, "q": LONG}, {}, r"which column is the label.*'p', 'q'.*label="),
        (
            {"sentence": ["1", "1", "1"], "Word": LONG, "Tag": ["O", "B-PER", "O"]},
            {},
            r"a \.conll file: a word and its tag",
        ),
        ({"p": LONG, "q": LONG, "r": LONG, "label": [0, 1, 0]}, {}, r"'p', 'q', 'r' all hold texts.*text="),
        ({"n": [1, 2, 3], "label": [0, 1, 0]}, {}, r"no column holds texts.*text="),
        ({"text": [], "label": []}, {}, "empty"),
        ({}, {}, "empty"),
    ],
)
def test_what_cannot_be_told(columns, arguments, message):
    with pytest.raises(DataError, match=message):
        task_of(columns, **arguments)
