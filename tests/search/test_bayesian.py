"""The model-based samplers: their features, what they know of costs, and that they find more than chance does."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import problem
import pytest

from sublm.architectures.shape import Shape
from sublm.search import pareto, search
from sublm.search.mirror import distributions, from_parameters, to_parameters
from sublm.search.samplers import EHVI, LSBO, RSBO, SAMPLERS, TPE, Observation
from sublm.search.study import Study
from sublm.search.surrogate import MOST_OBSERVATIONS, Surrogate, features
from sublm.spaces import large, layer, medium, small, uniform
from sublm.spaces.subnet import count

SHAPE = Shape(layers=4, hidden=32, heads=4, head_size=8, neurons=128)
SPACES = {
    "small": small(SHAPE, step=1),
    "medium": medium(SHAPE, step=48),
    "layer": layer(SHAPE),
    "uniform": uniform(SHAPE, hidden=[16], stock=False),
    "large": large(SHAPE, step=1),
}
model_based = pytest.mark.parametrize("sampler", [EHVI(), LSBO(), RSBO(), TPE()], ids=lambda sampler: sampler.name)


def macs(subnet):
    return float(sum(1000 * count(u) for u in subnet.heads) + sum(64 * count(u) for u in subnet.neurons))


def depth(subnet):
    return float(len(subnet.layers))


def smooth(subnet):
    """Falls from one level to another when too much is cut, where each layer counts differently."""
    lost = 0.0
    for i, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True)):
        lost += (0.2 + 0.1 * i) * math.exp(-count(heads)) + 0.5 / (i + 1) * math.exp(-count(neurons) / 30)
    return {"score": 0.9 / (1 + math.exp(8 * (lost - 0.6)))}


def problem_of(space, objectives=("score", "macs")):
    return Study(space, {"macs": macs, "depth": depth}, objectives=objectives)._problem


def observed(space, number, score=smooth, objectives=("score", "macs"), seed=0):
    rng = random.Random(seed)
    found = []
    for _ in range(number):
        values = space.sample_values(rng)
        subnet = space.decode(values)
        named = {"score": -score(subnet)["score"], "macs": macs(subnet), "depth": depth(subnet)}
        found.append(Observation(values, tuple(named[name] for name in objectives)))
    return found


@pytest.mark.parametrize("name", SPACES)
def test_features_are_shares_and_tell_settings_apart(name):
    space, rng = SPACES[name], random.Random(1)
    settings = [space.sample_values(rng) for _ in range(30)]
    ends = [{n: v.lowest for n, v in space.variables.items()}, {n: v.highest for n, v in space.variables.items()}]
    array = features(space, settings + ends)
    assert array.shape[0] == 32
    assert array.min() >= 0
    assert array.max() <= 1
    different = {repr(values) for values in settings + ends}
    assert len(np.unique(array, axis=0)) == len(different)
    assert features(space, ends[1:])[0] == pytest.approx(features(space, ends[1:])[0].round())


def test_features_of_each_kind_of_variable():
    assert features(SPACES["layer"], [{"layers": (0, 2)}]).tolist() == [[1, 0, 1, 0]]
    # 4 heads per layer in whole numbers, 2 options of the hidden width one column each.
    array = features(SPACES["uniform"], [{"heads": 1, "neurons": 128, "hidden": 16}])
    assert array.tolist() == [[0, 1, 1, 0]]
    assert features(SPACES["large"], [{"units": 264}])[0] == pytest.approx((np.arange(64) < 32).astype(float))


@pytest.mark.parametrize("name", ["small", "medium", "layer", "uniform"])
def test_optunas_parameters_give_the_values_back(name):
    space, rng = SPACES[name], random.Random(2)
    for _ in range(20):
        values = space.sample_values(rng)
        assert from_parameters(space, to_parameters(space, values)) == values


def test_a_parameter_between_two_values_takes_the_nearer():
    space = medium(SHAPE, step=48)  # neurons: 0, 48, 96, 128, which Optuna counts in single steps
    middle = {name: 47 if "neurons" in name else 2 for name in distributions(space)}
    assert set(from_parameters(space, middle).values()) == {48, 2}
    assert set(from_parameters(space, {n: 127 if "neurons" in n else 2 for n in middle}).values()) == {128, 2}


def test_a_subset_too_large_for_optuna_has_no_values():
    assert from_parameters(large(SHAPE, step=1), {}) is None


def test_costs_are_known_exactly_and_the_score_is_guessed():
    space = SPACES["small"]
    surrogate = Surrogate(problem_of(space), observed(space, 40))
    new = observed(space, 30, seed=9)
    belief = surrogate.believe([seen.values for seen in new])
    truth = np.array([seen.objectives for seen in new])
    assert list(belief.warpings) == [0]
    assert (belief.deviation[:, 1] == 0).all()
    assert belief.mean[:, 1].tolist() == truth[:, 1].tolist()
    assert np.corrcoef(belief.bound(0.0)[:, 0], truth[:, 0])[0, 1] > 0.9
    assert (belief.bound(-1.0)[:, 0] < belief.bound(1.0)[:, 0]).all()


def test_without_known_costs_every_objective_is_guessed():
    space = SPACES["small"]
    blind = dataclasses.replace(problem_of(space), costs={})
    surrogate = Surrogate(blind, observed(space, 40))
    new = observed(space, 30, seed=9)
    belief = surrogate.believe([seen.values for seen in new])
    assert list(belief.warpings) == [0, 1]
    truth = [seen.objectives[1] for seen in new]
    assert np.corrcoef(belief.bound(0.0)[:, 1], truth)[0, 1] > 0.99


@model_based
@pytest.mark.parametrize("objectives", [("score", "macs"), ("macs", "score", "depth"), ("score",)])
def test_nothing_need_be_known_beforehand(sampler, objectives):
    space = SPACES["medium"]
    blind = dataclasses.replace(problem_of(space, objectives), costs={})
    values = sampler.propose(blind, observed(space, 20, objectives=objectives), random.Random(0))
    assert blind.admissible(values)


@model_based
@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_searched(sampler, name):
    problem_ = problem_of(SPACES[name])
    history = observed(SPACES[name], 20)
    values = sampler.propose(problem_, history, random.Random(0))
    assert problem_.admissible(values)
    assert values == sampler.propose(problem_, history, random.Random(0))


@model_based
def test_rows_with_nan_teach_nothing(sampler):
    space = SPACES["medium"]
    problem_, history = problem_of(space), observed(space, 20)
    broken = [Observation(seen.values, (math.nan, 5.0)) for seen in observed(space, 20, seed=5)]
    first, second = (sampler.propose(problem_, h, random.Random(0)) for h in (history, history + broken))
    assert first == second


@model_based
def test_it_does_not_crowd_around_what_is_in_flight(sampler):
    """Proposals made one after another without results differ more than those a sampler makes blind to the others."""
    space = SPACES["small"]
    problem_, history = problem_of(space), observed(space, 20)

    def proposals(*, seen):
        found = []
        for number in range(5):
            flying = [Observation(values, (math.nan, math.nan), pending=True) for values in (found if seen else [])]
            found.append(sampler.propose(problem_, history + flying, random.Random(number)))
        array = features(space, found)
        return np.abs(array[:, None] - array[None]).sum()

    assert proposals(seen=True) > proposals(seen=False)


def test_what_is_in_flight_is_believed():
    space = SPACES["small"]
    history, new = observed(space, 30), observed(space, 3, seed=9)
    flying = [Observation(seen.values, (math.nan, math.nan), pending=True) for seen in new]
    before, after = Surrogate(problem_of(space), history), Surrogate(problem_of(space), history + flying)
    settings = [seen.values for seen in new]
    guessed, believed = before.believe(settings), after.believe(settings)
    assert believed.mean == pytest.approx(guessed.mean)
    assert (believed.deviation[:, 0] < guessed.deviation[:, 0]).all()
    assert after.points[30:] == pytest.approx(guessed.bound(0.0))


@model_based
def test_with_fewer_than_three_observations_it_draws_at_random(sampler):
    space = SPACES["medium"]
    problem_ = problem_of(space)
    broken = [Observation(seen.values, (math.nan, 5.0)) for seen in observed(space, 20)]
    for history in ([], observed(space, 2), broken + observed(space, 2, seed=7)):
        proposed = sampler.propose(problem_, history, random.Random(0))
        assert proposed == SAMPLERS["random"]().propose(problem_, history, random.Random(0))


@model_based
def test_a_constant_score_and_a_constant_cost_are_survived(sampler):
    space = SPACES["medium"]
    costs = {"macs": macs, "constant": lambda subnet: 3.0, "nothing": lambda subnet: 0.0}
    objectives = ("score", "constant", "nothing")
    result = search(space, lambda s: {"score": 0.5}, costs, objectives=objectives, sampler=sampler, evaluations=16)
    assert [e.error for e in result.evaluations] == [""] * 16


@model_based
def test_a_cost_that_is_no_number_is_not_proposed(sampler):
    space = SPACES["medium"]

    def odd(subnet):
        return math.nan if len(subnet.layers) == 4 and count(subnet.heads[0]) % 2 else macs(subnet)

    result = search(space, smooth, {"macs": odd}, sampler=sampler, evaluations=24)
    proposed = [e for e in result.evaluations[12:]]
    assert sum(math.isnan(e.costs["macs"]) for e in proposed) <= (0 if sampler.name != "tpe" else len(proposed))


def test_a_long_history_is_cut_to_the_best_and_a_spread_of_the_rest():
    space = SPACES["medium"]
    history = observed(space, MOST_OBSERVATIONS + 60)
    surrogate = Surrogate(problem_of(space), history)
    assert len(surrogate.points) == len(history)
    kept = [values for values in surrogate._settings]
    assert len(kept) == MOST_OBSERVATIONS
    assert all(history[i].values in kept for i in pareto.front([seen.objectives for seen in history]))


def found_by(sampler, seed, evaluations=40):
    space = medium(SHAPE, step=16)
    result = search(space, smooth, {"macs": macs}, sampler=sampler, evaluations=evaluations, seed=seed)
    return np.array([(-e.score, e.costs["macs"] / macs(space.largest)) for e in result.front])


@pytest.mark.parametrize(("sampler", "seeds", "evaluations"), [("ehvi", 2, 40), ("rsbo", 2, 40), ("tpe", 4, 60)])
def test_models_find_better_fronts_than_chance(sampler, seeds, evaluations):
    def volume(name):
        return sum(pareto.hypervolume(found_by(name, seed, evaluations), (0, 1)) for seed in range(seeds))

    assert volume(sampler) > 1.02 * volume("random")


def test_the_linear_scalarisation_finds_a_better_sum_than_chance():
    """It looks for one point, so a better front is not to be expected of it."""
    sums = [sum(found_by(name, seed).sum(axis=1).min() for seed in (0, 1)) for name in ("lsbo", "random")]
    assert sums[0] < sums[1]


@pytest.mark.parametrize("sampler", ["ehvi", "rsbo", "lsbo", "tpe"])
def test_a_resumed_search_goes_on_as_it_would_have(sampler, tmp_path):
    whole = problem.trace(problem.run(sampler, evaluations=20))
    problem.run(sampler, tmp_path, evaluations=15)
    assert problem.trace(problem.run(sampler, tmp_path, evaluations=20)) == whole


@pytest.mark.parametrize("sampler", ["ehvi", "lsbo"])
def test_one_objective_is_brought_to_its_best(sampler):
    """With the score alone both are plain expected improvement."""

    def peak(subnet):
        if not subnet.layers:
            return {"score": -9.0}
        at = subnet.layers[-1]
        return {"score": -abs(len(subnet.layers) - 3) - abs(subnet.heads[at] - 2) - abs(subnet.neurons[at] - 50) / 32}

    result = search(SPACES["small"], peak, {}, objectives=("score",), sampler=sampler, evaluations=40)
    assert max(e.score for e in result.evaluations) > -0.1
