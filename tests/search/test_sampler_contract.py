"""The contract of every sampler, whatever is registered."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import random
import subprocess
import sys

import numpy as np
import problem
import pytest

from sublm.architectures.shape import Shape
from sublm.search import SAMPLERS, Constraint, pareto, search
from sublm.search.samplers import Sampler, check_sampler
from sublm.spaces import layer, medium, small
from sublm.spaces.subnet import count

every_sampler = pytest.mark.parametrize("sampler", sorted(SAMPLERS))
every_space = pytest.mark.parametrize("space", sorted(problem.SPACES))
UNSEEDED = {"exhaustive", "grid"}
TINY = Shape(layers=3, hidden=16, heads=2, head_size=8, neurons=32)
NUMBER = 30
"""Evaluations: more than any sampler's random start, or its first generation."""


def units(subnet):
    return float(sum(count(u) for u in subnet.heads) * 10 + sum(count(u) for u in subnet.neurons))


@dataclasses.dataclass(frozen=True)
class Watched:
    """A sampler whose proposals are looked at before the study can mend them."""

    inner: Sampler
    name: str

    def check(self, space):
        check_sampler(self.inner, space)

    def propose(self, problem, history, rng):
        before = random.getstate(), np.random.get_state()[1].tobytes()
        values = self.inner.propose(problem, tuple(history), rng)
        # The generators that everybody shares are left alone.
        assert (random.getstate(), np.random.get_state()[1].tobytes()) == before
        assert values is None or problem.admissible(values)
        assert values is None or problem.space.canonical(values) == values
        return values


@functools.cache
def whole(sampler, space="medium", evaluations=NUMBER):
    watched = Watched(SAMPLERS[sampler](), sampler)
    return problem.run(watched, space=problem.SPACES[space], evaluations=evaluations)


@pytest.fixture(scope="module")
def elsewhere():
    """The trace of every sampler in another process, in which sets and dictionaries of text are ordered otherwise."""
    code = (
        "import json, problem; from sublm.search import SAMPLERS; space = problem.SPACES['medium']\n"
        f"runs = {{name: problem.run(name, space=space, evaluations={NUMBER}) for name in SAMPLERS}}\n"
        "print(json.dumps({name: repr(problem.trace(run)) for name, run in runs.items()}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@every_sampler
def test_another_process_finds_the_same(sampler, elsewhere):
    assert elsewhere[sampler] == repr(problem.trace(whole(sampler)))


@pytest.mark.parametrize("sampler", sorted({*SAMPLERS} - UNSEEDED))
def test_another_seed_finds_something_else(sampler):
    other = problem.run(sampler, seed=4, space=problem.SPACES["medium"], evaluations=12)
    assert problem.trace(other)[:12] != problem.trace(whole(sampler))[:12]


@every_sampler
def test_closed_and_opened_again_it_proposes_the_same(sampler, tmp_path):
    space = problem.SPACES["medium"]
    problem.run(sampler, tmp_path, space=space, evaluations=NUMBER - 3)
    again = problem.run(sampler, tmp_path, space=space, evaluations=NUMBER)
    assert problem.trace(again) == problem.trace(whole(sampler))


@every_sampler
@every_space
def test_every_space_is_searched_without_repeats_and_within_the_budget(sampler, space):
    result, held = whole(sampler, space), problem.SPACES[space]
    asked = [e.subnet for e in result.evaluations]
    limit = problem.budget(held)[0].limit
    assert len(set(asked)) == len(asked)
    assert all(held.contains(subnet) and problem.macs(subnet) <= limit for subnet in asked)
    assert max(map(problem.macs, asked)) > 0.9 * limit  # the budget is used
    if result.exhausted:
        affordable = {s for s in map(held.decode, held.settings()) if problem.macs(s) <= limit}
        assert set(asked) == affordable
    else:
        assert len(asked) == NUMBER
    assert {e.origin for e in result.evaluations} == {"seed", sampler}


@every_sampler
def test_tiny_spaces_are_looked_through_and_end(sampler):
    space = small(TINY, step=16)
    distinct = {space.decode(values) for values in space.settings()}
    watched = Watched(SAMPLERS[sampler](), sampler)
    result = search(space, lambda s: {"score": units(s) % 7}, {"macs": units}, sampler=watched, evaluations=500)
    assert {e.subnet for e in result.evaluations} == distinct
    assert len(result.evaluations) == len(distinct)
    assert result.exhausted


@every_sampler
def test_a_constraint_that_leaves_few_ends_too(sampler):
    space = small(TINY, step=16)
    limit = units(space.smallest)
    watched = Watched(SAMPLERS[sampler](), sampler)
    result = search(
        space, lambda s: {"score": 1.0}, {"macs": units}, constraints=[Constraint("macs", limit)], sampler=watched
    )
    wanted = {s for s in map(space.decode, space.settings()) if units(s) <= limit}
    assert {e.subnet for e in result.evaluations} == wanted
    assert result.exhausted


@every_sampler
@pytest.mark.parametrize("space", [layer(Shape(layers=6, hidden=16, heads=2, head_size=8, neurons=32)), medium(TINY)])
def test_scores_that_are_never_a_number_are_survived(sampler, space):
    """Each evaluation fails, in one of three ways."""

    def broken(subnet):
        return [lambda: {"score": math.nan}, lambda: 1 / 0, dict][int(subnet.key, 16) % 3]()

    watched = Watched(SAMPLERS[sampler](), sampler)
    result = search(space, broken, {"macs": units}, sampler=watched, evaluations=NUMBER)
    assert len(result.evaluations) == NUMBER
    assert result.front == []


@every_sampler
def test_some_nan_scores_harm_no_others(sampler):
    """Every second sub-network gives NaN: the others make the front they make alone."""

    def evaluate(subnet):
        return {"score": math.nan if int(subnet.key, 16) % 2 else units(subnet) + random.Random(subnet.key).random()}

    watched = Watched(SAMPLERS[sampler](), sampler)
    result = search(medium(TINY, step=8), evaluate, {"macs": units}, sampler=watched, evaluations=NUMBER)
    valid = [e for e in result.evaluations if not math.isnan(e.score)]
    assert NUMBER / 6 < len(valid) < 5 * NUMBER / 6
    alone = [valid[i].number for i in pareto.front([(-e.score, e.costs["macs"]) for e in valid])]
    assert sorted(e.number for e in result.front) == alone


@every_sampler
@pytest.mark.parametrize(
    ("objectives", "limits"),
    [
        (("score",), {}),
        (("score",), {"macs": 100.0}),
        (("score", "macs", "depth"), {}),
        (("score", "macs", "depth"), {"macs": 100.0, "depth": 2.0}),
        (("macs", "depth"), {}),
    ],
)
def test_any_number_of_objectives_and_constraints(sampler, objectives, limits):
    costs = {"macs": units, "depth": problem.depth}
    constraints = [Constraint(cost, limit) for cost, limit in limits.items()]
    watched = Watched(SAMPLERS[sampler](), sampler)
    result = search(
        medium(TINY, step=8),
        lambda subnet: {"score": -units(subnet)},
        costs,
        objectives=objectives,
        constraints=constraints,
        sampler=watched,
        evaluations=NUMBER - 3,
    )
    assert len(result.evaluations) == NUMBER - 3
    assert result.front
    assert all(e.costs[cost] <= limit for e in result.evaluations for cost, limit in limits.items())


@every_sampler
def test_samplers_hold_no_state(sampler):
    made = SAMPLERS[sampler]()
    assert made.name == sampler
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.anything = 1
