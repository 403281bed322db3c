"""Promises on a predicted cost, with measurements whose truth is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.search import Evaluation, keep_promise, ratio_near
from sublm.spaces import Subnet


def evaluations(*predicted):
    """The dearer, the better."""
    return [
        Evaluation(i, Subnet((i + 1,), (1,), 8, 2), {}, cost / 100, {}, {"latency": cost})
        for i, cost in enumerate(predicted)
    ]


def measuring(truth):
    """Measures by a function of the predicted cost and writes down what was asked for."""
    asked = []

    def measure(listed):
        asked.append([e.costs["latency"] for e in listed])
        return {e.subnet.key: truth(e.costs["latency"]) for e in listed}

    return SimpleNamespace(measure=measure, asked=asked)


def best(listed):
    return [max(listed, key=lambda e: e.score)]


def test_what_keeps_the_limit_when_measured_is_kept():
    tool = measuring(lambda cost: cost)
    found = keep_promise(evaluations(2, 4, 6, 7.5), "latency", 8, best, tool.measure)
    assert [e.costs["latency"] for e in found.chosen] == [7.5]
    assert found.broken == ()
    assert tool.asked == [[7.5]]


def test_what_breaks_it_makes_room_for_the_next_and_its_ratio_is_learnt():
    tool = measuring(lambda cost: 1.2 * cost)
    found = keep_promise(evaluations(2, 4, 6, 6.5, 6.9, 7.2, 7.9), "latency", 8, best, tool.measure)
    assert [e.costs["latency"] for e in found.chosen] == [6.5]  # 7.8 ms; 6.9 and 7.2 need no measurement any more
    assert tool.asked == [[7.9], [6.5]]
    assert found.ratio == pytest.approx(1.2)
    assert len(found.broken) == 1


def test_pessimistic_predictions_are_learnt_from_too():
    found = keep_promise(evaluations(5, 7, 9, 12), "latency", 8, best, measuring(lambda cost: 0.7 * cost).measure)
    assert [e.costs["latency"] for e in found.chosen] == [9]


def test_nothing_is_chosen_when_everything_breaks_the_limit():
    found = keep_promise(evaluations(5, 7), "latency", 8, best, measuring(lambda cost: 9).measure)
    assert found.chosen == []
    assert len(found.measured) == 2 or found.ratio > 1


def test_a_limit_without_any_room_is_still_tried():
    found = keep_promise(evaluations(7.99), "latency", 8, best, measuring(lambda cost: cost).measure)
    assert [e.costs["latency"] for e in found.chosen] == [7.99]


@given(
    st.lists(st.floats(1, 100), min_size=1, max_size=15, unique=True),
    st.floats(0.5, 2),
    st.floats(1, 100),
    st.integers(1, 4),
)
def test_whatever_is_chosen_was_measured_to_keep_the_limit(predicted, factor, limit, number):
    def pick(listed):
        return sorted(listed, key=lambda e: -e.score)[:number]

    tool = measuring(lambda cost: factor * cost)
    found = keep_promise(evaluations(*predicted), "latency", limit, pick, tool.measure)
    assert all(found.measured[e.subnet.key] <= limit for e in found.chosen)
    asked = [cost for costs in tool.asked for cost in costs]
    assert len(asked) == len(set(asked))  # nothing is measured twice


def test_the_ratio_is_that_of_the_nearest_predictions():
    assert ratio_near(10, [(1, 3), (9, 9.9), (10, 11), (12, 13.2), (100, 500)]) == pytest.approx(1.1)
    assert ratio_near(10, []) == 1.0
