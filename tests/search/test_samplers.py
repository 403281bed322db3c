"""The contract of every sampler."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import problem
import pytest

from sublm.architectures.shape import Shape
from sublm.search import SAMPLERS, Constraint, pareto, search
from sublm.search.samplers import NSGA2
from sublm.spaces import layer, medium, small
from sublm.spaces.subnet import count

every_sampler = pytest.mark.parametrize("sampler", sorted(SAMPLERS))
TINY = Shape(layers=3, hidden=16, heads=2, head_size=8, neurons=32)


def units(subnet):
    return float(sum(count(u) for u in subnet.heads) * 10 + sum(count(u) for u in subnet.neurons))


@every_sampler
def test_equal_seeds_give_equal_searches(sampler):
    first, again, other = (problem.trace(problem.run(sampler, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@every_sampler
def test_another_process_finds_the_same(sampler):
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, str(Path(problem.__file__)), sampler, "-", "40"]
    output = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
    assert output.strip() == repr(problem.trace(problem.run(sampler)))


@every_sampler
def test_nothing_is_evaluated_twice_or_beyond_the_budget(sampler):
    asked = []

    def evaluate(subnet):
        asked.append(subnet)
        return problem.score(subnet)

    result = problem.run(sampler, evaluations=120, evaluate=evaluate)
    assert len(set(asked)) == len(asked) == len(result.evaluations) == 120
    assert all(problem.SPACE.contains(subnet) for subnet in asked)
    limit = problem.CONSTRAINTS[0].limit
    assert all(problem.macs(subnet) <= limit for subnet in asked)
    assert max(problem.macs(subnet) for subnet in asked) > 0.95 * limit  # the budget is used


@every_sampler
def test_small_spaces_are_looked_through_and_end(sampler):
    space = small(TINY, step=16)
    distinct = {space.decode(values) for values in space.settings()}
    result = search(space, lambda s: {"score": units(s) % 7}, {"macs": units}, sampler=sampler, evaluations=500)
    assert {e.subnet for e in result.evaluations} == distinct
    assert len(result.evaluations) == len(distinct)
    assert result.exhausted


@every_sampler
def test_a_constraint_that_leaves_few_ends_too(sampler):
    space = small(TINY, step=16)
    limit = units(space.smallest)
    result = search(
        space, lambda s: {"score": 1.0}, {"macs": units}, constraints=[Constraint("macs", limit)], sampler=sampler
    )
    wanted = {s for s in map(space.decode, space.settings()) if units(s) <= limit}
    assert {e.subnet for e in result.evaluations} == wanted
    assert result.exhausted


@every_sampler
@pytest.mark.parametrize("broken", [lambda s: {"score": math.nan}, lambda s: 1 / 0, lambda s: {}])
def test_a_score_that_is_never_a_number_is_survived(sampler, broken):
    result = search(layer(TINY), broken, {"macs": units}, sampler=sampler, evaluations=8)
    assert len(result.evaluations) == 8
    assert result.front == []


@every_sampler
def test_nan_scores_rank_last_and_harm_no_others(sampler):
    """Every second sub-network gives NaN: the others make the front they make alone."""
    space = medium(TINY, step=8)

    def evaluate(subnet):
        return {"score": math.nan if int(subnet.key, 16) % 2 else units(subnet) + random.Random(subnet.key).random()}

    result = search(space, evaluate, {"macs": units}, sampler=sampler, evaluations=60)
    valid = [e for e in result.evaluations if not math.isnan(e.score)]
    assert 10 < len(valid) < 50
    alone = [valid[i].number for i in pareto.front([(-e.score, e.costs["macs"]) for e in valid])]
    assert sorted(e.number for e in result.front) == alone


@every_sampler
@pytest.mark.parametrize("objectives", [("score",), ("score", "macs", "depth"), ("macs", "depth")])
def test_any_number_of_objectives(sampler, objectives):
    costs = {"macs": units, "depth": lambda s: float(len(s.layers))}
    space = medium(TINY, step=8)
    result = search(
        space, lambda s: {"score": -units(s)}, costs, objectives=objectives, sampler=sampler, evaluations=30
    )
    assert len(result.evaluations) == 30
    assert result.front


@pytest.mark.parametrize("sampler", ["nsga2", "local_search"])
def test_learning_beats_chance(sampler):
    def volume(name):
        found = [problem.run(name, evaluations=150, seed=seed, evaluate=smooth) for seed in range(4)]
        points = [[(-e.score, e.costs["macs"] / problem.macs(problem.SPACE.largest)) for e in r.front] for r in found]
        return sum(pareto.hypervolume(p, (0.0, 1.0)) for p in points)

    def smooth(subnet):
        value = 1.0
        for depth, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True)):
            value -= 0.1 * (depth + 1) * math.exp(-2 * count(heads)) + 0.3 / (depth + 1) * math.exp(-count(neurons) / 9)
        return {"score": value}

    assert volume(sampler) > volume("random")


@every_sampler
def test_samplers_hold_no_state(sampler):
    made = SAMPLERS[sampler]()
    assert made.name == sampler
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.anything = 1


def test_a_sampler_with_its_own_settings():
    result = problem.run(NSGA2(population=4), evaluations=20)
    assert [e.origin for e in result.evaluations][-1] == "nsga2"
    assert problem.trace(result) != problem.trace(problem.run("nsga2", evaluations=20))
    with pytest.raises(ValueError, match="at least 2"):
        NSGA2(population=1)
