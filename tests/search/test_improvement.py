"""Expected improvement against numerical integration, and its volumes against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sublm.search import improvement, pareto
from sublm.search.warping import Warping

coordinates = st.integers(0, 8).map(float)


def fronts(objectives, most=8):
    return st.integers(0, most).flatmap(lambda k: arrays(np.float64, (k, objectives), elements=coordinates))


@pytest.mark.parametrize("z", [-3.0, -1.0, -0.999, 0.0, 0.7, 4.0, 30.0])
def test_mean_excess_is_its_definition(z):
    normal = np.linspace(-12, 12, 400_001)
    density = np.exp(-(normal**2) / 2) / math.sqrt(2 * math.pi)
    wanted = np.trapezoid(np.maximum(0, z - normal) * density, normal)
    assert math.exp(improvement.log_mean_excess(np.array(z))) == pytest.approx(wanted, rel=1e-6)


def test_mean_excess_stays_a_number_where_it_underflows():
    z = np.array([-1e9, -1e6, -1e4, -100.0, -10.0, -2.0, -1.0, 0.0, 1e5])
    found = improvement.log_mean_excess(z)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    # Far below, the expectation is φ(z) / z² (1 - 3 / z² ...).
    assert found[3] == pytest.approx(-5000 - math.log(math.sqrt(2 * math.pi) * 1e4), abs=1e-3)
    assert improvement.log_mean_excess(np.array([-np.inf]))[0] == -np.inf


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_uncovered_volume_is_what_the_hypervolume_gains(objectives, data):
    points = data.draw(fronts(objectives))
    corners = data.draw(arrays(np.float64, (3, objectives), elements=coordinates))
    reference = [7.0] * objectives
    before = pareto.hypervolume(points, reference)
    gains = [pareto.hypervolume(np.vstack([points, corner]), reference) - before for corner in corners]
    assert improvement.uncovered(points, np.minimum(corners, 7.0), reference) == pytest.approx(gains, abs=1e-9)


WARPINGS = [None, Warping(np.array([-1.0, 2.0, 3.0, 6.0]), np.array([-2.0, 0.0, 3.0, 3.5]))]


def quantiles(mean, deviation, warping, number=20_000):
    """The distribution as equally likely values."""
    from scipy.special import ndtri

    values = mean + deviation * ndtri((np.arange(number) + 0.5) / number)
    return values if warping is None else warping.to_targets(values)


@pytest.mark.parametrize("warping", WARPINGS)
@pytest.mark.parametrize("objectives", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_expected_hypervolume_improvement_is_the_mean_of_the_improvements(objectives, warping, data):
    points = data.draw(fronts(objectives, most=6))
    costs = data.draw(arrays(np.float64, (1, objectives - 1), elements=coordinates))
    mean, deviation = data.draw(st.floats(-2, 8)), data.draw(st.floats(0.3, 3))
    reference = [7.0] * objectives
    found = improvement.log_expected_hypervolume_improvement(
        np.array([mean]), np.array([deviation]), costs, points, reference, warping
    )
    values = quantiles(mean, deviation, warping)
    corners = np.column_stack([values, np.repeat(costs, len(values), axis=0)])
    wanted = improvement.uncovered(points, np.where((corners < 7).all(axis=1)[:, None], corners, 7.0), reference)
    assert math.exp(found[0]) == pytest.approx(wanted.mean(), rel=5e-3, abs=2e-3)


def test_expected_hypervolume_improvement_against_monte_carlo_over_plain_hypervolumes():
    points = np.array([[0.2, 0.9], [0.5, 0.5], [0.9, 0.1]])
    reference, mean, deviation, cost = (1.1, 1.2), 0.45, 0.2, 0.3
    draws = np.random.default_rng(0).normal(mean, deviation, 4000)
    before = pareto.hypervolume(points, reference)
    gains = [pareto.hypervolume(np.vstack([points, (draw, cost)]), reference) - before for draw in draws]
    found = improvement.log_expected_hypervolume_improvement(
        np.array([mean]), np.array([deviation]), np.array([[cost]]), points, reference
    )
    assert abs(math.exp(found[0]) - np.mean(gains)) < 4 * np.std(gains) / math.sqrt(len(gains))


def test_hopeless_candidates_are_still_ranked():
    points = np.array([[0.0, 0.0]])
    found = improvement.log_expected_hypervolume_improvement(
        np.array([100.0, 200.0, 100.0]), np.full(3, 0.1), np.array([[0.5], [0.5], [2.0]]), points, (1.0, 1.0)
    )
    assert found[0] > found[1] > found[2] == -np.inf


@pytest.mark.parametrize("warping", WARPINGS)
@given(mean=st.floats(-3, 8), deviation=st.floats(0.2, 3), best=st.floats(-3, 8))
@settings(max_examples=30, deadline=None)
def test_expected_improvement_is_the_mean_of_the_improvements(warping, mean, deviation, best):
    found = improvement.log_expected_improvement(np.array([mean]), np.array([deviation]), best, warping)
    wanted = np.maximum(0, best - quantiles(mean, deviation, warping)).mean()
    assert math.exp(found[0]) == pytest.approx(wanted, rel=5e-3, abs=2e-3)


@given(fronts(2).filter(len))
def test_the_reference_is_worse_than_every_observation(points):
    assert (improvement.reference_point(points) > points).all()


def test_the_reference_leaves_out_failures():
    reference = improvement.reference_point([(1.0, 5.0), (3.0, 5.0), (math.nan, 99.0)])
    assert reference == pytest.approx((3.2, 5.5))
