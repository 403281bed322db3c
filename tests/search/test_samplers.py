"""What distinguishes the samplers; what all have in common is in test_sampler_contract.py."""

from __future__ import annotations

import itertools
import math
import random

import problem
import pytest

from sublm.architectures.shape import Shape
from sublm.errors import RunError
from sublm.search import Constraint, Study, pareto, search
from sublm.search.samplers import MOREA, NSGA2, AutoTinyBERT, Grid, Observation, ParetoEA, Problem
from sublm.search.samplers.enumeration import in_words, walk
from sublm.spaces import layer, medium, small
from sublm.spaces.subnet import count

BERT_BASE = Shape(layers=12, hidden=768, heads=12, head_size=64, neurons=3072)
SPACE = problem.SPACE


def anything_goes(space=SPACE, objectives=("score", "macs"), constraints=()):
    """A problem in which nothing is forbidden."""
    draw = lambda rng, at=None: space.sample_values(rng)  # noqa: E731
    return Problem(space, lambda values: True, draw, objectives, constraints, problem.COSTS)


def observed(points, space=SPACE, seed=0):
    rng = random.Random(seed)
    return [Observation(space.sample_values(rng), tuple(map(float, point))) for point in points]


def proposals(sampler, setting, history, number=40):
    return [sampler.propose(setting, history, random.Random(i)) for i in range(number)]


def changed(values, parent):
    return {name for name in values if values[name] != parent[name]}


def smooth(subnet):
    value = 1.0
    for depth, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True)):
        value -= 0.1 * (depth + 1) * math.exp(-2 * count(heads)) + 0.3 / (depth + 1) * math.exp(-count(neurons) / 9)
    return {"score": value}


def volume(name):
    found = [problem.run(name, evaluations=150, seed=seed, evaluate=smooth) for seed in range(4)]
    largest = {"macs": problem.macs(SPACE.largest)}
    points = [[(-e.score, e.costs["macs"]) for e in r.front] for r in found]
    return sum(pareto.volume_share(p, ("score", "macs"), largest) for p in points)


@pytest.fixture(scope="module")
def chance():
    return volume("random")


@pytest.mark.parametrize("sampler", ["local_search", "nsga2", "pareto_ea"])
def test_learning_beats_chance(sampler, chance):
    assert volume(sampler) > chance


def test_a_sampler_with_its_own_settings():
    result = problem.run(NSGA2(population=4), evaluations=20)
    assert [e.origin for e in result.evaluations][-1] == "nsga2"
    assert problem.trace(result) != problem.trace(problem.run("nsga2", evaluations=20))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NSGA2(population=1), "at least 2"),
        (lambda: MOREA(tournament=0), "at least 1"),
        (lambda: ParetoEA(reach=0), "share of the range"),
        (lambda: AutoTinyBERT(population=1), "at least 2"),
        (lambda: AutoTinyBERT(mutation=0, exploration=0), "nor both zero"),
        (lambda: AutoTinyBERT(band=(0.9, 1.1)), "at most 1"),
        (lambda: Grid(levels=1), "at least 2"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# morea


def test_morea_mutates_one_variable_of_a_young_one():
    history = observed([(0, 0)] * 5 + [(i, 10 - i) for i in range(1, 11)])  # the best five are too old
    for values in proposals(MOREA(), anything_goes(), history):
        assert min(len(changed(values, seen.values)) for seen in history[5:]) == 1
        assert min(len(changed(values, seen.values)) for seen in history[:5]) > 1


def test_morea_prefers_by_non_dominated_rank():
    """The one that dominates all others wins every tournament it is drawn for, wherever it stands."""
    for best in range(4):
        points = [(5 + i, 5 + i) for i in range(4)]
        points[best] = (1, 1)
        history = observed(points)
        found = proposals(MOREA(population=4, tournament=40), anything_goes(), history)
        assert all(len(changed(values, history[best].values)) == 1 for values in found)


def test_morea_moves_anywhere_in_the_range():
    history = observed([(1, 1)] * 10)
    moves = [
        abs(values[name] - seen.values[name])
        for values in proposals(MOREA(), anything_goes(), history, 200)
        for seen in history
        for name in changed(values, seen.values)
        if len(changed(values, seen.values)) == 1 and name.startswith("neurons")
    ]
    assert max(moves) > 0.7 * problem.SHAPE.neurons


# pareto_ea


def test_pareto_ea_works_from_the_front_alone():
    """The dominated ones share no value with the front, and give none to the children."""
    low, high = ({n: at(v) for n, v in SPACE.variables.items()} for at in (lambda v: v.lowest, lambda v: v.highest))
    history = [Observation(high, (1.0, 1.0))] * 12 + [Observation(low, (0.0, 0.0))]
    for values in proposals(ParetoEA(), anything_goes(), history):
        assert 1 <= len(changed(values, low)) <= 4
        for name in changed(values, low):
            variable = SPACE.variables[name]
            assert abs(variable.position(values[name])) <= max(1, round(0.2 * (variable.size - 1)))


def test_pareto_ea_crosses_half_of_the_children():
    low, high = ({n: at(v) for n, v in SPACE.variables.items()} for at in (lambda v: v.lowest, lambda v: v.highest))
    history = [Observation(low, (1.0, 0.0)), Observation(high, (0.0, 1.0))] * 5
    found = proposals(ParetoEA(changes=1), anything_goes(), history, 300)
    crossed = [values for values in found if min(len(changed(values, parent)) for parent in (low, high)) > 1]
    assert 45 < len(crossed) < 105  # a half of them cross, and half of those with another than themselves


def test_pareto_ea_steps_where_there_is_room():
    """One of 12 members stands alone in the middle of the front: it is the parent more often than by chance."""
    points = [(i, 100 - i) for i in [*range(6), 50, *range(95, 101)]]
    history = observed(points)
    found = proposals(ParetoEA(crossover=0), anything_goes(), history, 400)
    alone = sum(len(changed(values, history[6].values)) <= 4 for values in found)
    assert alone > 1.3 * len(found) / len(points)


# autotinybert


def share(subnet, limits):
    return max(problem.COSTS[cost](subnet) / limit for cost, limit in limits.items())


@pytest.mark.parametrize("limits", [{"macs": 20_000.0}, {"macs": 20_000.0, "depth": 3.0}])
def test_autotinybert_stays_in_the_band_below_the_limit(limits):
    result = problem.run(
        "autotinybert",
        evaluations=100,
        constraints=[Constraint(*limit) for limit in limits.items()],
        objectives=("score",),
    )
    own = [e for e in result.evaluations if e.origin != "seed"]
    assert len(own) > 90
    assert all(0.85 <= share(e.subnet, limits) <= 1 for e in own)


def test_autotinybert_finds_better_ones_in_its_later_generations():
    """Means, as the best of a hundred is a matter of luck."""
    means = [0.0] * 4
    for seed in range(4):
        result = problem.run("autotinybert", evaluations=100, seed=seed, evaluate=smooth, objectives=("score",))
        for generation in range(4):
            means[generation] += sum(e.score for e in result.evaluations[25 * generation : 25 * generation + 25]) / 100
    assert max(means[2:]) > means[0]


@pytest.mark.parametrize("limit", [Constraint("macs", 10 * problem.macs(SPACE.largest)), Constraint("depth", 2.4)])
def test_autotinybert_leaves_an_empty_band(limit):
    """Not even the largest reaches 85 % of the first limit, and no depth lies in 2.04 to 2.4."""
    result = problem.run("autotinybert", evaluations=60, constraints=[limit])
    assert len(result.evaluations) == 60
    assert all(e.costs[limit.cost] <= limit.limit for e in result.evaluations)


def parents_of(found, history, most):
    """For every proposal the place in the history of what it was mutated from."""
    near = [[i for i, seen in enumerate(history) if 0 < len(changed(v, seen.values)) <= most] for v in found]
    return {places[0] for places in near if len(places) == 1}


def test_autotinybert_takes_parents_by_fitness_and_generation():
    own = {"population": 4, "exploration": 0.0, "rate": 0.0}  # one variable moves
    history = observed([(-0.9, 1), (-0.5, 1), (math.nan, 1), (-0.4, 1), (-0.8, 1), (-0.7, 1), (-0.6, 1), (-0.1, 1)])
    limited = anything_goes(constraints=(Constraint("depth", 0.0),))  # a limit without a band
    best = parents_of(proposals(AutoTinyBERT(**own), limited, history, 200), history, 1)
    assert best == {0, 4, 5}  # of the best four, the fourth has no weight
    paper = parents_of(proposals(AutoTinyBERT(**own, elitist=False), limited, history, 200), history, 1)
    assert paper == {4, 5, 6}


def test_autotinybert_without_constraints_goes_by_rank():
    own = {"population": 4, "exploration": 0.0, "rate": 0.0}
    history = observed([(-0.9, 9), (-0.1, 1), (-0.1, 9), (-0.1, 9)])  # two on the front, two behind
    assert parents_of(proposals(AutoTinyBERT(**own), anything_goes(), history, 100), history, 1) == {0, 1}


def test_autotinybert_takes_all_when_all_are_equally_fit():
    history = observed([(-0.5, 1)] * 4)
    own = AutoTinyBERT(population=4, exploration=0.0, rate=0.0)
    found = proposals(own, anything_goes(objectives=("score",)), history, 100)
    assert parents_of(found, history, 1) == {0, 1, 2, 3}


# exhaustive and grid


def test_exhaustive_sees_everything_from_coarse_to_fine():
    space = problem.SPACES["nested"]
    result = search(space, lambda s: {"score": 1.0}, problem.COSTS, sampler="exhaustive", evaluations=10_000)
    own = [e.values["units"] for e in result.evaluations if e.origin == "exhaustive"]
    assert len(result.evaluations) == space.size
    first = sorted([*own[:7], 0, space.size - 1])
    assert max(b - a for a, b in itertools.pairwise(first)) <= space.size / 4
    assert {e.origin for e in result.evaluations} == {"seed", "exhaustive"}


@pytest.mark.parametrize("sizes", [[1], [3, 1, 4], [2, 2, 2], [7]])
def test_a_walk_meets_every_combination_once(sizes):
    axes = {str(i): range(size) for i, size in enumerate(sizes)}
    walked = [tuple(values.values()) for values in walk(axes)]
    assert sorted(walked) == list(itertools.product(*map(range, sizes)))
    assert walked[0] == (0,) * len(sizes)


@pytest.mark.parametrize(
    ("sampler", "space", "message"),
    [
        ("exhaustive", small(BERT_BASE, step=1), r"up to 20,000 settings; 'small' has 479,232.*pareto_ea"),
        ("exhaustive", medium(BERT_BASE), r"more than 10\^37"),
        ("grid", medium(BERT_BASE), r"2 levels of each of the 24 variables of 'medium': 16,777,216 settings"),
    ],
)
def test_spaces_too_large_are_refused_before_any_evaluation(sampler, space, message):
    with pytest.raises(RunError, match=message):
        Study(space, problem.COSTS, sampler=sampler)


def test_counts_of_any_length_can_be_said():
    assert in_words(1_234_567) == "1,234,567"
    assert in_words(10**30) == "more than 10^29"
    assert in_words(2**37_008) == "more than 10^11140"


def test_a_grid_has_evenly_spread_levels_and_is_refined():
    space = small(BERT_BASE, step=1, min_layers=1)
    result = search(space, lambda s: {"score": 1.0}, problem.COSTS, sampler=Grid(levels=3), evaluations=125)
    layers, heads, neurons = ([e.values[name] for e in result.evaluations] for name in space.variables)
    first = set(zip(layers[:27], heads[:27], neurons[:27], strict=True))
    assert first == set(itertools.product([1, 7, 12], [1, 7, 12], [1, 1537, 3072]))
    assert set(layers) == set(heads) == {1, 4, 7, 9, 12}
    assert set(neurons) == {1, 769, 1537, 2304, 3072}


def test_a_grid_of_subsets_spreads_their_sizes():
    result = search(
        layer(Shape(layers=8, hidden=16, heads=2, head_size=8, neurons=32)),
        lambda s: {"score": 1.0},
        problem.COSTS,
        sampler="grid",
        evaluations=9,
    )
    assert sorted(e.costs["depth"] for e in result.evaluations) == list(range(9))
