from __future__ import annotations

import random

import pytest

from sublm.architectures.shape import Shape
from sublm.errors import TargetError
from sublm.spaces import StratifiedSampler, large, layer, medium, small
from sublm.spaces.subnet import count

SHAPE = Shape(layers=6, hidden=64, heads=8, head_size=8, neurons=256)


def cost(subnet):
    heads = sum(4 * 64 * 8 * count(units) for units in subnet.heads)
    return float(heads + sum(2 * 64 * count(units) for units in subnet.neurons))


@pytest.mark.parametrize("make", [small, medium, layer, large])
def test_draws_cover_the_cost_axis_evenly(make):
    space = make(SHAPE)
    sampler = StratifiedSampler(space, cost, bins=6)
    assert sampler.strata == 6
    rng = random.Random(0)
    low, high = cost(space.smallest), cost(space.largest)
    bins = [min(5, int(6 * (cost(sampler.sample(rng)) - low) / (high - low))) for _ in range(1200)]
    assert all(140 < bins.count(i) < 260 for i in range(6))


def test_uniform_draws_of_medium_do_not():
    space = medium(SHAPE)
    rng = random.Random(0)
    shares = [cost(space.sample(rng)) / cost(space.largest) for _ in range(400)]
    assert not [share for share in shares if share < 0.15]


def test_draws_depend_on_the_rng_alone():
    space = medium(SHAPE)
    sampler = StratifiedSampler(space, cost)
    first = [sampler.sample(random.Random(i)) for i in range(10)]
    assert first == [StratifiedSampler(space, cost).sample(random.Random(i)) for i in range(10)]
    assert len(set(first)) == 10


@pytest.mark.parametrize("make", [small, medium, layer, large])
def test_bounds_are_kept(make):
    space = make(SHAPE)
    whole = cost(space.largest)
    sampler = StratifiedSampler(space, cost, low=0.1 * whole, high=0.4 * whole)
    rng = random.Random(0)
    shares = [cost(sampler.sample(rng)) / whole for _ in range(200)]
    assert min(shares) >= 0.1
    assert max(shares) <= 0.4
    assert max(shares) - min(shares) > 0.15


def test_a_further_condition_is_kept():
    space = medium(SHAPE)
    sampler = StratifiedSampler(space, cost, accept=lambda s: count(s.heads[0]) >= 4)
    rng = random.Random(0)
    assert all(count(sampler.sample(rng).heads[0]) >= 4 for _ in range(100))


def test_spread_goes_from_cheap_to_dear():
    space = medium(SHAPE)
    sampler = StratifiedSampler(space, cost)
    costs = [cost(space.decode(values)) for values in sampler.spread(10, random.Random(0))]
    assert costs == sorted(costs)
    assert costs[0] < 0.2 * cost(space.largest)
    assert costs[-1] > 0.8 * cost(space.largest)


def test_impossible_bounds_are_refused():
    space = small(SHAPE)
    with pytest.raises(TargetError, match="low <= high"):
        StratifiedSampler(space, cost, high=1.0)
    with pytest.raises(TargetError, match="widen"):
        StratifiedSampler(space, cost, low=2 * cost(space.largest), high=3 * cost(space.largest))
    with pytest.raises(TargetError, match="widen"):
        StratifiedSampler(space, cost, accept=lambda subnet: False)


def test_a_constant_cost_is_no_trouble():
    space = small(SHAPE)
    sampler = StratifiedSampler(space, lambda subnet: 1.0)
    assert len({sampler.sample(random.Random(i)) for i in range(20)}) > 10
