from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import SubnetError
from sublm.spaces import Choice, Integer, Subset
from sublm.spaces.variables import variable_from_dict

integers = st.builds(
    lambda low, span, step: Integer(low, low + span, step), st.integers(0, 40), st.integers(0, 90), st.integers(1, 40)
)
choices = st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True).map(lambda o: Choice(tuple(o)))
subsets = st.integers(1, 9).flatmap(lambda n: st.builds(Subset, st.just(n), st.integers(0, n)))
variables = st.one_of(integers, choices, subsets)


def every(variable):
    if isinstance(variable, Subset):
        return [variable.canonical([i for i in range(variable.units) if m >> i & 1]) for m in range(variable.size)]
    if isinstance(variable, Choice):
        return list(variable.options)
    grid = range(variable.low, variable.high + 1)
    return [v for v in grid if v in (variable.low, variable.high) or v % variable.step == 0]


@given(variables)
def test_size_counts_the_values(variable):
    values = every(variable)
    assert len(set(values)) == len(values) == variable.size
    assert list(variable.values()) == values
    for value in values:
        assert variable.canonical(value) == value


@given(variables, st.integers(0, 10**6))
def test_moves_stay_inside_and_are_repeatable(variable, seed):
    values, rng = set(every(variable)), random.Random(seed)
    first, second = variable.sample(rng), variable.sample(rng)
    mutated = variable.mutate(first, random.Random(seed), 0.2)
    assert mutated == variable.mutate(first, random.Random(seed), 0.2)
    near = list(variable.neighbours(first))
    assert {first, second, mutated, variable.crossover(first, second, rng), *near} <= values
    assert first not in near
    assert len(set(near)) == len(near)
    assert (mutated == first) == (variable.size == 1)
    way = variable.path(first, second, rng)
    assert (way(0.0), way(1.0)) == (first, second)
    assert {way(0.3), way(0.7)} <= values


@given(variables, st.integers(0, 10**6))
def test_json_both_ways(variable, seed):
    value = variable.sample(random.Random(seed))
    read = variable_from_dict(json.loads(json.dumps(variable.to_dict())))
    assert read == variable
    assert read.decode(json.loads(json.dumps(variable.encode(value)))) == value


@given(integers, st.integers(0, 10**6), st.floats(0.01, 1))
def test_a_mutation_keeps_its_reach(variable, seed, reach):
    rng = random.Random(seed)
    value = variable.sample(rng)
    moved = abs(variable.position(variable.mutate(value, rng, reach)) - variable.position(value))
    assert moved <= max(1, round(reach * (variable.size - 1)))


def test_both_ends_stay_reachable_off_the_grid():
    assert every(Integer(1, 100, 32)) == [1, 32, 64, 96, 100]
    assert [Integer(1, 100, 32).at(i) for i in range(5)] == [1, 32, 64, 96, 100]
    assert list(Integer(1, 100, 32).neighbours(32)) == [1, 64]


def test_an_off_grid_value_is_refused_with_the_nearest():
    with pytest.raises(SubnetError, match="nearest is 64"):
        Integer(0, 128, 32).canonical(70)


@pytest.mark.parametrize("value", [-1, 5, True, "2", [0, 0], [0, 4], [-1], 1.5, None])
def test_a_subset_refuses(value):
    with pytest.raises(SubnetError):
        Subset(4).canonical(value)


def test_a_subset_is_drawn_by_size_first():
    rng = random.Random(0)
    variable = Subset(8)
    sizes = [len(variable.kept(variable.sample(rng))) for _ in range(4000)]
    assert set(sizes) == set(range(8))  # never everything: at least one thing is removed
    assert all(400 < sizes.count(n) < 600 for n in range(8))


@pytest.mark.parametrize(
    "data", [{"kind": "float"}, {"kind": "integer", "low": 0}, 3, {"kind": "choice", "options": []}]
)
def test_unreadable_variables_are_refused(data):
    with pytest.raises(SubnetError):
        variable_from_dict(data)


@pytest.mark.parametrize("data", ["0xg", "0x1f", "-0x1", [7]])
def test_unreadable_masks_are_refused(data):
    with pytest.raises(SubnetError):
        Subset(4).decode(data)
