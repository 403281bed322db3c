import numpy as np
import pytest

from sublm.errors import DataError
from sublm.tasks.task import Examples, Task, TaskData

TASK = Task("t", "classification", ("text",), "label", ("no", "yes"), ("f1", "accuracy"))


def examples(*texts, label=0):
    return Examples({"text": list(texts)}, np.full(len(texts), label))


def data_of(train=("a", "b"), search=("c",), validation=("d",), **other):
    return TaskData(TASK, examples(*train), examples(*search), examples(*validation), **other)


def test_select_and_join():
    both = examples("a", "b").joined(examples("c", label=1))
    assert both.rows() == [("a",), ("b",), ("c",)]
    assert both.select([2, 0]).texts["text"] == ["c", "a"]
    assert both.select([2, 0]).labels.tolist() == [1, 0]


def test_columns_must_be_equally_long():
    with pytest.raises(DataError, match="'text': 1, 'labels': 2"):
        Examples({"text": ["a"]}, np.zeros(2))


def test_primary_metric_is_the_first():
    assert TASK.metric == "f1"


def test_full_train_is_train_and_search():
    assert data_of().full_train.texts["text"] == ["a", "b", "c"]


def test_fingerprint_sees_everything():
    one = data_of()
    assert one.fingerprint == data_of().fingerprint
    others = [
        data_of(train=("b", "a")),
        data_of(train=("ab", "")),
        data_of(train=("a",), search=("b", "c")),
        data_of(origin="Python 3.99"),
        data_of(extra={"more": examples("e")}),
        TaskData(TASK, examples("a", "b", label=1), one.search, one.validation),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)
