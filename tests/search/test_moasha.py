"""Successive halving: who goes on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.search.samplers import MOASHA
from sublm.search.samplers.moasha import continues, rungs

values = st.floats(-10, 10, allow_nan=False, width=16)
points = st.lists(st.tuples(values, values), max_size=30)


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@pytest.mark.parametrize(
    ("epochs", "grace", "eta", "expected"),
    [(5, 1, 3, (1, 3)), (3, 1, 3, (1,)), (1, 1, 3, ()), (28, 1, 3, (1, 3, 9, 27)), (20, 2, 2, (2, 4, 8, 16))],
)
def test_rungs_are_the_powers_of_eta_below_the_end(epochs, grace, eta, expected):
    assert rungs(epochs, grace, eta) == expected
    assert MOASHA(grace, eta).rungs(epochs) == expected


@given(points, st.integers(2, 5))
def test_who_dominates_all_goes_on(before, eta):
    best = tuple(min((point[i] for point in before), default=0) - 1 for i in range(2))
    assert continues(best, before, eta)


@given(st.tuples(values, values))
def test_the_first_at_a_rung_goes_on(point):
    assert continues(point, [])


@given(points, st.sampled_from([(math.nan, 0.0), (0.0, math.nan), (math.nan, math.nan)]))
def test_nan_stops(before, result):
    assert not continues(result, before)


@given(points, st.integers(2, 5))
def test_who_is_dominated_by_too_many_stops(before, eta):
    """Those that dominate it come before it in any order by ranks."""
    result = (5.0, 5.0)
    better = sum(dominates(point, result) for point in before)
    if better >= max(1, (len(before) + 1) // eta):
        assert not continues(result, before, eta)


@given(points, st.integers(2, 5), st.integers(1, 5))
def test_results_that_are_not_numbers_make_it_no_harder(before, eta, broken):
    """They come last, and the more there are, the more go on."""
    result = (0.0, 0.0)
    if continues(result, before, eta):
        assert continues(result, [(math.nan, 0.0)] * broken + before, eta)


@given(st.lists(values, min_size=1, max_size=40, unique=True))
def test_one_objective_is_plain_successive_halving(scores):
    """The top third of what is there, by brute force."""
    for count, score in enumerate(scores):
        seen = scores[: count + 1]
        expected = sorted(seen).index(score) < max(1, len(seen) // 3)
        assert continues((score,), [(value,) for value in scores[:count]]) == expected


def test_an_end_of_the_front_comes_before_its_crowded_middle():
    """All of rank 0: the one with most room goes on, the one between near neighbours does not."""
    front = [(0.0, 4.0), (1.0, 1.0), (1.1, 0.9), (4.0, 0.1)]
    assert not continues((1.05, 0.95), front)
    assert continues((-1.0, 5.0), [*front, (2.0, 0.5)])


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"grace": 0}, {"eta": 1}):
        with pytest.raises(ValueError, match="grace must be at least 1 and eta at least 2"):
            MOASHA(**settings)
