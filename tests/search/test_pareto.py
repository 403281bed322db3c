from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import RunError
from sublm.search import pareto

# Small whole numbers give many ties and equal points; NaN and infinity stand among them.
plain = st.integers(0, 4).map(float)
coordinate = st.one_of(plain, plain, plain, st.sampled_from([math.nan, math.inf, -math.inf]))


def points_of(number, elements=coordinate, most=12):
    return st.lists(st.tuples(*[elements] * number), max_size=most)


points = st.integers(1, 4).flatmap(points_of)


def bad(point):
    return any(math.isnan(value) for value in point)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def brute_ranks(points):
    left = {i for i, point in enumerate(points) if not bad(point)}
    result, rank = [None] * len(points), 0
    while left:
        first = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in first:
            result[i] = rank
        left -= first
        rank += 1
    return [rank if r is None else r for r in result]


@given(points)
def test_ranks_equal_brute_force(points):
    assert pareto.ranks(points).tolist() == brute_ranks(points)


@given(points)
def test_front_is_the_first_rank_without_repeats(points):
    first = [i for i, rank in enumerate(brute_ranks(points)) if rank == 0 and not bad(points[i])]
    assert pareto.front(points).tolist() == [i for i in first if points[i] not in points[:i]]


@given(points)
def test_nan_harms_no_other(points):
    clean = [point for point in points if not bad(point)]
    kept = [i for i, point in enumerate(points) if not bad(point)]
    assert pareto.ranks(points)[kept].tolist() == pareto.ranks(clean).tolist()
    assert np.array_equal(pareto.crowding(points)[kept], pareto.crowding(clean))
    worst = [rank for rank, point in zip(pareto.ranks(points), points, strict=True) if bad(point)]
    assert all(rank > other for rank in worst for other in pareto.ranks(clean))


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points, rng):
    shuffled = list(range(len(points)))
    rng.shuffle(shuffled)
    assert pareto.ranks([points[i] for i in shuffled]).tolist() == [pareto.ranks(points)[i] for i in shuffled]


@given(points)
def test_order_goes_by_rank_then_room(points):
    order = pareto.order(points)
    assert sorted(order) == list(range(len(points)))
    ranks = pareto.ranks(points)[order]
    assert ranks.tolist() == sorted(ranks)


def brute_crowding(points):
    """By the definition, one point and one objective at a time; of equal values the earlier stands first."""
    valid = [i for i, point in enumerate(points) if all(map(math.isfinite, point))]
    room = [0.0] * len(points)
    for column in range(len(points[0]) if points else 0):
        place = {i: (points[i][column], i) for i in valid}
        low, high = min(place.values(), default=(0, 0)), max(place.values(), default=(0, 0))
        if low[0] == high[0]:
            continue
        for i in valid:
            below = [p for p in place.values() if p < place[i]]
            above = [p for p in place.values() if p > place[i]]
            ends = not below or not above
            room[i] += math.inf if ends else (min(above)[0] - max(below)[0]) / (high[0] - low[0])
    return room


@given(points)
def test_crowding_equals_brute_force(points):
    assert pareto.crowding(points).tolist() == pytest.approx(brute_crowding(points))


@given(st.integers(1, 4).flatmap(lambda n: points_of(n, st.integers(0, 9).map(float), 40)))
def test_ranks_and_front_of_many_points_equal_brute_force(points):
    ranks = brute_ranks(points)
    assert pareto.ranks(points).tolist() == ranks
    first = [i for i, rank in enumerate(ranks) if rank == 0]
    assert pareto.front(points).tolist() == [i for i in first if points[i] not in points[:i]]


def brute_volume(points, reference):
    """Counts the unit cells between whole-numbered points and the reference."""
    cells = itertools.product(*(range(-1, int(corner)) for corner in reference))
    return sum(any(all(x <= c for x, c in zip(p, cell, strict=True)) for p in points) for cell in cells)


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(points_of(n, st.integers(-1, 4).map(float), 8), st.just(n))))
def test_hypervolume_equals_brute_force(case):
    points, number = case
    reference = [3.0] * number
    assert pareto.hypervolume(points, reference) == pytest.approx(brute_volume(points, reference))


@given(points_of(2, st.floats(0, 1)), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_hypervolume_never_falls_when_a_point_comes(points, new):
    before, after = (pareto.hypervolume(p, (1, 1)) for p in (points, [*points, new]))
    assert after >= before - 1e-12


def test_hypervolume_by_hand():
    assert pareto.hypervolume([(0.25, 0.5), (0.5, 0.25), (0.6, 0.6), (math.nan, 0)], (1, 1)) == pytest.approx(0.5)
    assert pareto.hypervolume([(0, 0, 0)], (1, 2, 3)) == pytest.approx(6)
    assert pareto.hypervolume([(1, 0), (2, -5)], (1, 1)) == 0
    assert pareto.hypervolume([], (1, 1)) == 0
    assert pareto.hypervolume([(0, -math.inf, 0)], (1, 1, 1)) == math.inf
    with pytest.raises(ValueError, match="2 objectives"):
        pareto.hypervolume([(0, 0)], (1, 1, 1))


@given(
    st.integers(2, 4).flatmap(lambda n: st.tuples(points_of(n, st.floats(0, 1), 20), st.permutations(range(n)))),
    st.randoms(use_true_random=False),
)
def test_hypervolume_depends_on_no_order(case, rng):
    points, columns = case
    shuffled = [tuple(point[c] for c in columns) for point in rng.sample(points, len(points))]
    corner = [1.0] * len(columns)
    assert pareto.hypervolume(shuffled, corner) == pytest.approx(pareto.hypervolume(points, corner), abs=1e-12)


def test_the_reference_is_a_score_of_0_at_the_cost_of_the_largest():
    largest = {"macs": 200.0, "parameters": 50.0}
    assert pareto.reference_point(("score", "macs"), largest) == (0.0, 200.0)
    assert pareto.reference_point(("parameters", "score"), largest) == (50.0, 0.0)
    with pytest.raises(RunError, match="needs the largest sub-network's latency"):
        pareto.reference_point(("score", "latency"), largest)


def test_the_volume_share_by_hand():
    largest = {"macs": 200.0, "parameters": 50.0}
    share = pareto.volume_share([(-0.8, 100.0), (-0.4, 50.0)], ("score", "macs"), largest)
    assert share == pytest.approx(0.8 * 0.5 + 0.4 * 0.25)
    assert pareto.volume_share([(-1.0, 0.0)], ("score", "macs"), largest) == 1
    assert pareto.volume_share([(-0.9, 200.0), (0.1, 20.0), (math.nan, 1.0)], ("score", "macs"), largest) == 0
    three = pareto.volume_share([(-0.5, 100.0, 25.0)], ("score", "macs", "parameters"), largest)
    assert three == pytest.approx(0.125)


def test_crowding_by_hand():
    room = pareto.crowding([(0, 4), (1, 2), (4, 0), (math.nan, 1)])
    assert room.tolist() == [math.inf, 2.0, math.inf, 0.0]
    assert pareto.crowding([(1, 1), (1, 1)]).tolist() == [0, 0]
