from __future__ import annotations

import itertools
import json
import random
from types import SimpleNamespace

import pytest

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError
from sublm.spaces import SearchSpace, Subnet, from_importance, homogeneous, large, layer, medium, nested, small, uniform
from sublm.spaces.subnet import count

BASE = Shape(layers=12, hidden=768, heads=12, head_size=64, neurons=3072)
TINY = Shape(layers=3, hidden=16, heads=2, head_size=8, neurons=10)
SCORES = SimpleNamespace(heads=[[3, 1], [9, 2], [5, 4]], neurons=[range(10), range(5, 15), [1] * 10])


def units(subnet):
    return float(sum(4 * count(u) for u in subnet.heads) + sum(count(u) for u in subnet.neurons))


SPACES = {
    "small": small(TINY, step=4),
    "small, by importance": small(TINY, step=4, layer_order=[2, 0, 1], min_layers=1, min_heads=2),
    "medium": medium(TINY, step=4),
    "medium, no half-layer dropped": medium(TINY, step=4, min_heads=1, min_neurons=3),
    "layer": layer(TINY),
    "large": large(TINY, step=4),
    "large, single neurons": large(TINY, step=1),
    "uniform": uniform(TINY, step=2),
    "uniform, free widths": uniform(TINY, step=4, hidden=[8], stock=False),
    "nested": nested(TINY, SCORES, units, step=4),
    "importance": from_importance(TINY, SCORES, units, [12.0, 30.0, 54.0], align=4),
    "homogeneous": homogeneous.mlm(TINY, hidden_step=8),
    "homogeneous, heads shrunk": homogeneous.kd(TINY, hidden_step=8),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def test_sizes_are_those_of_the_paper():
    assert small(BASE, step=1).size == 479_232 == 13 * 12 * 3072
    assert medium(BASE, step=1).size == (13 * 3073) ** 12
    assert layer(BASE, step=1).size == 4096
    assert large(BASE, step=1).size == 2 ** (144 + 36864)


def test_sizes_of_the_homogeneous_spaces_are_those_of_the_paper_and_its_search():
    assert homogeneous.mlm().size == 11_391_072
    assert homogeneous.kd().size == 47_462_800
    assert homogeneous.mlm(step=32, hidden_step=16).size == 366_048
    assert homogeneous.kd(step=32, hidden_step=16).size == 1_525_200


def test_homogeneous_keeps_the_first_layers_and_one_of_the_two_head_strategies():
    shape = homogeneous.SUPERPLM
    whole_heads = homogeneous.mlm().decode({"layers": 4, "hidden": 564, "heads": 8, "neurons": 1024})
    assert whole_heads == Subnet((8,) * 4 + (0,) * 4, (1024,) * 4 + (0,) * 4, 564, 64)
    all_heads = homogeneous.kd().decode({"layers": 4, "hidden": 564, "head_size": 44, "neurons": 1024})
    assert all_heads == Subnet((12,) * 4 + (0,) * 4, (1024,) * 4 + (0,) * 4, 564, 44)
    assert not homogeneous.mlm().contains(Subnet.uniform(shape, layers=[1, 2]))
    assert not homogeneous.kd().contains(whole_heads)


def test_the_smallest_are_those_of_the_mask_method():
    assert small(BASE, step=1).smallest == Subnet((1, *[0] * 11), (1, *[0] * 11), 768, 64)
    assert medium(BASE, step=1).smallest == Subnet((1,) * 12, (1,) * 12, 768, 64)
    assert layer(BASE).smallest == Subnet((0,) * 12, (0,) * 12, 768, 64)
    assert large(BASE, step=1).smallest == Subnet((1, *[0] * 11), (1, *[0] * 11), 768, 64)
    assert small(BASE).smallest.neurons[0] == 32


def test_layers_go_by_the_order_given():
    space = small(TINY, layer_order=[2, 0, 1])
    assert space.decode({"layers": 2, "heads": 1, "neurons": 10}).layers == (0, 2)
    assert space.smallest.layers == (2,)
    assert not space.contains(Subnet.uniform(TINY, layers=[0, 1]))
    with pytest.raises(SubnetError, match="once"):
        small(TINY, layer_order=[0, 1, 1])


@every_space
def test_the_ends_lie_inside(space):
    assert space.largest == Subnet.full(TINY)
    for subnet in (space.largest, space.smallest, space.lowest):
        subnet.check(TINY)
        assert space.contains(subnet)
        assert space.decode(space.encode(subnet)) == subnet


@pytest.mark.parametrize("name", [n for n in SPACES if n not in ("large, single neurons", "medium", "large")])
def test_size_counts_every_setting_and_each_can_be_encoded(name):
    space = SPACES[name]
    every = list(space.settings())
    assert len(every) == len({str(values) for values in every}) == space.size
    for values in every:
        subnet = space.decode(values)
        subnet.check(TINY)
        assert space.decode(space.encode(subnet)) == subnet


@every_space
def test_moves_stay_inside(space):
    rng = random.Random(1)
    for _ in range(40):
        first, second = space.sample_values(rng), space.sample_values(rng)
        moved = [space.mutate(first, rng), space.crossover(first, second, rng), space.path(first, second, rng)(0.4)]
        moved += itertools.islice(space.neighbours(first), 20)
        for values in moved:
            assert space.canonical(values) == values
            assert space.contains(space.decode(values))
        assert moved[0] != first
        assert space.unpack(json.loads(json.dumps(space.pack(first)))) == first


@every_space
def test_equal_seeds_draw_equal_subnets(space):
    draws = [[space.sample(random.Random(7)) for _ in range(3)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len({space.sample(random.Random(i)) for i in range(20)}) > 3


@every_space
def test_json_both_ways(space):
    read = SearchSpace.from_json(space.to_json())
    assert read == space
    assert read.sample(random.Random(3)) == space.sample(random.Random(3))


@every_space
def test_strangers_are_not_inside(space):
    for other in (
        Subnet.full(TINY).replace(head_size=(1, 3)),
        Subnet.full(TINY).replace(hidden=(1, 3)),
        Subnet((2,) * 4, (10,) * 4, 16, 8),
        Subnet((3, 2, 2), (10, 10, 10), 16, 8),
        Subnet((2, 2, 2), (10, 10, (3, 11)), 16, 8),
    ):
        assert not space.contains(other)


@every_space
def test_smaller_heads_are_in_the_space_that_shrinks_them_alone(space):
    assert space.contains(Subnet.full(TINY).replace(head_size=4)) == ("head_size" in space.variables)


def test_uniform_offers_the_hidden_widths():
    space = SPACES["uniform, free widths"]
    assert {subnet.hidden for subnet in (space.sample(random.Random(i)) for i in range(30))} == {8, 16}
    with pytest.raises(SubnetError, match="1 to 16"):
        uniform(TINY, hidden=[17], stock=False)


def test_anything_with_a_shape_will_do():
    assert small(SimpleNamespace(shape=TINY)).shape == TINY
    with pytest.raises(SubnetError, match="SuperNet or a Shape"):
        small(SimpleNamespace(shape=(3, 4)))


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"name": "tiny"}, {"shape": {"layers": 3}}, {"variables": {}}, {"variables": [1]}],
)
def test_unreadable_spaces_are_refused(change):
    with pytest.raises(SubnetError):
        SearchSpace.from_dict(SPACES["small"].to_dict() | change)
    with pytest.raises(SubnetError):
        SearchSpace.from_json("{")


def test_wrong_values_are_refused_by_name():
    with pytest.raises(SubnetError, match=r"neurons: 5 .* nearest is 4"):
        SPACES["small"].decode({"layers": 1, "heads": 1, "neurons": 5})
    with pytest.raises(SubnetError, match="heads"):
        SPACES["small"].decode({"layers": 1, "neurons": 4})
