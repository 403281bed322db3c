from __future__ import annotations

import random
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError, TargetError
from sublm.spaces import SearchSpace, Subnet, medium, nested, nested_subnets
from sublm.spaces.subnet import count

SHAPE = Shape(layers=4, hidden=32, heads=4, head_size=8, neurons=100)


def cost(subnet):
    heads = sum(4 * 32 * 8 * count(units) + 32 * (count(units) > 0) for units in subnet.heads)
    return float(heads + sum(2 * 32 * count(units) + 32 * (count(units) > 0) for units in subnet.neurons))


def importance(seed=0):
    rng = np.random.default_rng(seed)
    return SimpleNamespace(heads=rng.gamma(1, 16, (4, 4)), neurons=rng.gamma(1, 1, (4, 100)))


def test_members_are_nested_and_near_their_targets():
    whole = cost(Subnet.full(SHAPE))
    targets = [share * whole for share in (0.2, 0.3, 0.5, 0.7, 0.9, 1.0)]
    found = nested_subnets(SHAPE, importance(), cost, targets, step=16)
    step = 2 * 32 * 16 + 4 * 32 * 8
    for subnet, target in zip(found, targets, strict=True):
        assert target - step <= cost(subnet) <= target
        assert all(units >= 1 for units in subnet.heads)
        assert all(units % 16 == 0 or units == 100 for units in subnet.neurons)
        assert medium(SHAPE, step=16).contains(subnet)
    for smaller, larger in pairwise(found):
        pairs = zip(smaller.heads + smaller.neurons, larger.heads + larger.neurons, strict=True)
        assert all(a <= b for a, b in pairs)
    assert found[-1] == Subnet.full(SHAPE)


def test_the_important_layer_stays_widest():
    scores = importance()
    scores.neurons[2] *= 50
    scores.heads[1] *= 50
    (subnet,) = nested_subnets(SHAPE, scores, cost, [0.5 * cost(Subnet.full(SHAPE))], step=4)
    assert subnet.neurons[2] > 90
    assert subnet.heads[1] == 4
    assert max(subnet.neurons[0], subnet.neurons[1], subnet.neurons[3]) < 70


def test_what_is_kept_beats_what_is_left_per_cost():
    """With single neurons and no minimum, one threshold separates kept from dropped."""
    scores = importance(3)
    (subnet,) = nested_subnets(
        SHAPE, scores, cost, [0.4 * cost(Subnet.full(SHAPE))], step=1, min_heads=0, min_neurons=0
    )
    kept, dropped = [], []
    for row, units, price in [(r, u, 1024) for r, u in zip(scores.heads, subnet.heads, strict=True)] + [
        (r, u, 64) for r, u in zip(scores.neurons, subnet.neurons, strict=True)
    ]:
        ranked = sorted(row, reverse=True)
        kept += [score / price for score in ranked[:units]]
        dropped += [score / price for score in ranked[units:]]
    assert min(kept) >= max(dropped)


def test_half_layers_go_only_when_allowed():
    scores = importance()
    scores.heads[3] = 0
    target = [0.3 * cost(Subnet.full(SHAPE))]
    assert nested_subnets(SHAPE, scores, cost, target)[0].heads[3] == 1
    assert nested_subnets(SHAPE, scores, cost, target, min_heads=0)[0].heads[3] == 0


def test_the_space_is_a_line_and_reads_back():
    space = nested(SHAPE, importance(), cost, step=16)
    read = SearchSpace.from_json(space.to_json())
    costs = [cost(read.decode({"units": units})) for units in range(space.size)]
    assert costs == sorted(set(costs))
    assert read.contains(space.sample(random.Random(0)))


def test_bad_input_is_refused():
    scores = importance()
    with pytest.raises(TargetError, match="smallest nested"):
        nested_subnets(SHAPE, scores, cost, [1.0])
    with pytest.raises(SubnetError, match="4 x 100"):
        nested(SHAPE, SimpleNamespace(heads=scores.heads, neurons=scores.neurons[:, :5]), cost)
    scores.neurons[0, 0] = float("nan")
    with pytest.raises(SubnetError, match="NaN"):
        nested(SHAPE, scores, cost)
