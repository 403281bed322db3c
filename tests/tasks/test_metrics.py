import math
import warnings

import numpy as np
import pytest

from sublm.errors import DataError
from sublm.tasks.metrics import METRICS, compute_metrics
from sublm.tasks.task import Task


def task_of(*metrics, kind="classification", labels=("no", "yes")):
    return Task("t", kind, ("text",), "label", labels, metrics)


def logits_of(predictions, outputs=2):
    return np.eye(outputs, dtype=np.float32)[predictions]


def test_values_by_hand():
    labels, predictions = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0])
    scores = compute_metrics(logits_of(predictions), labels, task_of("accuracy", "f1", "macro_f1", "matthews"))
    assert scores == pytest.approx({"accuracy": 4 / 6, "f1": 4 / 6, "macro_f1": 4 / 6, "matthews": 3 / 9})


def test_f1_is_that_of_class_one():
    assert METRICS["f1"].score(np.array([0, 0, 0]), np.array([0, 0, 1])) == 0
    assert METRICS["f1"].score(np.array([1, 1, 1]), np.array([0, 0, 1])) == pytest.approx(0.5)


def test_rank_correlation_ignores_the_scale_and_linear_does_not():
    task = task_of("spearman", "pearson", kind="regression", labels=())
    scores = compute_metrics(np.array([[1], [2], [3], [100]], dtype=np.float32), np.array([1, 2, 3, 4.0]), task)
    assert scores["spearman"] == pytest.approx(1)
    assert scores["pearson"] < 0.9


@pytest.mark.parametrize("logits", [np.full((4, 1), 2.0), np.array([[np.nan], [1], [2], [3]])])
def test_correlation_of_a_constant_or_broken_prediction_is_nan_without_a_warning(logits):
    task = task_of("spearman", "pearson", kind="regression", labels=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = compute_metrics(logits, np.array([1, 2, 3, 4.0]), task)
    assert all(math.isnan(score) for score in scores.values())


def test_constant_classes_give_numbers_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = compute_metrics(logits_of([0, 0, 0]), np.array([0, 1, 1]), task_of("accuracy", "f1", "matthews"))
    assert scores == pytest.approx({"accuracy": 1 / 3, "f1": 0, "matthews": 0})


def test_a_model_that_overflows_has_no_accuracy():
    assert math.isnan(compute_metrics(np.array([[np.inf, 0]]), np.array([0]), task_of("accuracy"))["accuracy"])


def test_unknown_metric_is_named():
    with pytest.raises(DataError, match=r"'rouge'.*accuracy"):
        compute_metrics(logits_of([0]), np.array([0]), task_of("rouge"))
