"""What the model-based samplers share: features, beliefs about objectives, and the search for the best candidate.

Costs are computed, not modelled: a sub-network's MACs are known before it is evaluated. So a Gaussian process guesses
the score alone, with the costs among its features, since most of a score is explained by size.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sublm.search import pareto
from sublm.search.gaussian_process import GaussianProcess
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.search.warping import Warping
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.variables import Choice, Integer, Subset

Array = NDArray[np.float64]

MOST_OBSERVATIONS = 200
"""A process is fitted to at most so many: its cost grows with their cube."""

_MOST_UNITS = 64
"""A subset of more things is described by what share is kept of each of so many runs of them."""

_FEWEST = 3
"""With fewer valid observations nothing can be learnt."""


def features(space: SearchSpace, settings: Sequence[Mapping[str, Any]]) -> Array:
    """Settings as numbers from 0 to 1, [n, d].

    A whole number is its position in its range, a choice one column per option, a subset one column per thing.
    """
    columns = [_columns(variable, [values[name] for values in settings]) for name, variable in space.variables.items()]
    return np.concatenate(columns, axis=1)


def _columns(variable: Any, values: list[Any]) -> Array:
    if isinstance(variable, Integer):
        return np.array([[variable.position(value) / max(1, variable.size - 1)] for value in values])
    if isinstance(variable, Choice):
        return np.array([[float(value == option) for option in variable.options] for value in values])
    assert isinstance(variable, Subset), f"a variable of an unknown kind: {variable!r}"
    edges = np.linspace(0, variable.units, min(_MOST_UNITS, variable.units) + 1).round().astype(np.int64)
    kept = [np.diff(np.searchsorted(np.asarray(variable.kept(value), dtype=np.int64), edges)) for value in values]
    return np.array(kept) / np.diff(edges)


@dataclass(frozen=True)
class Belief:
    """What is believed about the objectives of some candidates.

    Attributes:
        mean: [n, objectives]; columns that are not known on their latent scale.
        deviation: [n, objectives], standard deviations on that scale; 0 in the columns that are known.
        warpings: For each column that is not known, from its latent scale to its own; in most searches the score's.
    """

    mean: Array
    deviation: Array
    warpings: Mapping[int, Warping]

    def rows(self, chosen: NDArray[np.bool_]) -> Belief:
        """The belief about some of the candidates."""
        return Belief(self.mean[chosen], self.deviation[chosen], self.warpings)

    def bound(self, deviations: float) -> Array:
        """The objectives so many standard deviations above their medians, each on its own scale."""
        found = self.mean + deviations * self.deviation
        for column, warping in self.warpings.items():
            found[:, column] = warping.to_targets(found[:, column])
        return found


class Surrogate:
    """Gaussian processes for the objectives that are not known beforehand, fitted to a history."""

    def __init__(self, problem: Problem, history: Sequence[Observation]) -> None:
        """Fits the processes.

        Args:
            problem: What is searched.
            history: At least one observation without NaN; at most `MOST_OBSERVATIONS` of them are looked at: the best
                half in Pareto order, and of the others an even share of early and late ones. Settings in flight are
                believed to give what is guessed of them, so that the next one is looked for elsewhere.
        """
        self._problem = problem
        valid = [seen for seen in history if not np.isnan(seen.objectives).any()]
        self.points = pareto.as_points([seen.objectives for seen in valid])
        chosen = [valid[i] for i in _representative(self.points, MOST_OBSERVATIONS)]
        self._settings = [seen.values for seen in chosen]
        known = self._costs(self._settings[:1])
        targets = pareto.as_points([seen.objectives for seen in chosen])
        unknown = [int(column) for column in np.flatnonzero(np.isnan(known[0]))]
        self._warpings = {column: Warping.fit(targets[:, column]) for column in unknown}
        costs = np.delete(targets, unknown, axis=1)
        self._logarithmic = (costs > 0).all(axis=0)
        self._floor = costs.min(axis=0)
        scaled = self._scale(costs)
        self._low = scaled.min(axis=0)
        extent = scaled.max(axis=0) - self._low
        self._extent = np.where(extent > 0, extent, 1.0)
        inputs = self._inputs(self._settings, costs)
        self._processes = {
            column: GaussianProcess.fit(inputs, warping.to_latent(targets[:, column]))
            for column, warping in self._warpings.items()
        }
        pending = [seen.values for seen in history if seen.pending]
        if pending:
            self._await(pending)

    def _await(self, pending: Sequence[Mapping[str, Any]]) -> None:
        """Takes what is guessed of settings in flight for their results (Ginsbourger et al. 2010, kriging believer)."""
        guessed = self.believe(pending).bound(0.0)
        sound = np.isfinite(guessed).all(axis=1)
        if not sound.any():
            return
        costs = np.delete(guessed, list(self._processes), axis=1)[sound]
        inputs = self._inputs([pending[i] for i in np.flatnonzero(sound).tolist()], costs)
        self._processes = {column: process.believing(inputs) for column, process in self._processes.items()}
        self.points = np.concatenate([self.points, guessed[sound]])

    def believe(self, settings: Sequence[Mapping[str, Any]]) -> Belief:
        """Mean and deviation of every objective of some settings.

        A setting one of whose costs is not a number keeps NaN for what is not known and infinity for that cost.
        """
        mean = self._costs(settings)
        deviation = np.zeros_like(mean)
        costs = np.delete(mean, list(self._processes), axis=1)
        sound = np.isfinite(costs).all(axis=1)
        if self._processes and sound.any():
            inputs = self._inputs([settings[i] for i in np.flatnonzero(sound).tolist()], costs[sound])
            for column, process in self._processes.items():
                mean[sound, column], deviation[sound, column] = process.predict(inputs)
        return Belief(mean, deviation, self._warpings)

    def _costs(self, settings: Sequence[Mapping[str, Any]]) -> Array:
        """What is known of the objectives, [n, objectives]: NaN where nothing is, infinity for a cost that is none."""
        found = np.full((len(settings), self.points.shape[1]), np.nan)
        costs = [(i, self._problem.costs.get(name)) for i, name in enumerate(self._problem.objectives)]
        for row, values in zip(found, settings, strict=True):
            subnet = self._problem.space.decode(values)
            for column, cost in costs:
                if cost is not None:
                    value = float(cost(subnet))
                    row[column] = value if np.isfinite(value) else np.inf
        return found

    def _scale(self, costs: Array) -> Array:
        # Half a size costs about as much score wherever one starts, so sizes are looked at as logarithms.
        floor = np.where(self._logarithmic, self._floor * 1e-3, 1.0)
        return np.where(self._logarithmic, np.log(np.maximum(costs, floor)), costs)

    def _inputs(self, settings: Sequence[Mapping[str, Any]], costs: Array) -> Array:
        scaled = (self._scale(costs) - self._low) / self._extent
        return np.concatenate([features(self._problem.space, settings), scaled], axis=1)


def _representative(points: Array, most: int) -> NDArray[np.int64]:
    """Indices of at most so many points, ascending."""
    order = pareto.order(points)
    if len(order) <= most:
        return np.sort(order)
    best, others = order[: most // 2], np.sort(order[most // 2 :])
    spread = np.linspace(0, len(others) - 1, most - len(best)).round().astype(np.int64)
    return np.sort(np.concatenate([best, others[spread]]))


Acquisition = Callable[[Belief], Array]
"""How much each candidate is worth evaluating, [n]; the most is the best, NaN the worst."""


def propose_best(
    problem: Problem,
    history: Sequence[Observation],
    rng: random.Random,
    acquisition: Callable[[Surrogate], Acquisition],
    *,
    start: int,
    pool: int,
) -> Values | None:
    """Fits a surrogate and looks for the setting with the highest acquisition.

    Candidates are random settings over the whole cost axis and offspring of the front; those that are worth most have
    offspring themselves, twice.

    Args:
        problem: What is searched.
        history: Everything evaluated so far.
        rng: Source of randomness.
        acquisition: Makes the acquisition from the fitted surrogate.
        start: So many settings are random, spread over the cost axis, before the model is asked.
        pool: Number of candidates looked at in all, at least 8.
    """
    from threadpoolctl import threadpool_limits

    valid = [i for i, seen in enumerate(history) if not np.isnan(seen.objectives).any()]
    if len(history) < start or len(valid) < _FEWEST:
        return fresh(problem, len(history), rng)
    # On one thread sums have one order, so the same is proposed however many threads a later process has.
    with threadpool_limits(limits=1, user_api="blas"):
        surrogate = Surrogate(problem, history)
        worth_of = acquisition(surrogate)
        candidates = _Candidates(problem, surrogate, worth_of)
        front = [history[i].values for i in pareto.front([seen.objectives for seen in history])]
        # Under tight constraints a random setting takes as long as a hundred offspring, so there are fewer of them.
        share = pool // 8
        candidates.add(lambda: problem.draw(rng, rng.random()), share)
        candidates.add(lambda: _offspring(problem.space, front, rng), 3 * share)
        for _ in range(2):
            best = candidates.best(6)
            if best:
                candidates.add(lambda parents=best: _offspring(problem.space, parents, rng), 2 * share)  # type: ignore[misc]
    best = candidates.best(1)
    return best[0] if best else fresh(problem, len(history), rng)


def _offspring(space: SearchSpace, parents: Sequence[Mapping[str, Any]], rng: random.Random) -> Values:
    """Near one of the parents or between two; small steps and large ones."""
    values = dict(rng.choice(parents))
    if rng.random() < 0.5:
        values = space.crossover(values, rng.choice(parents), rng)
    return space.mutate(values, rng, most=4, reach=rng.choice((0.02, 0.1, 0.3)))


class _Candidates:
    """Settings with what each is worth; whether one is admissible is looked up when it is about to be taken."""

    def __init__(self, problem: Problem, surrogate: Surrogate, worth_of: Acquisition) -> None:
        self._problem = problem
        self._surrogate = surrogate
        self._worth_of = worth_of
        self._known: set[tuple[Any, ...]] = set()
        self._settings: list[Values] = []
        self._worth: list[float] = []
        self._admissible: dict[int, bool] = {}

    def add(self, make: Callable[[], Values], number: int) -> None:
        """Adds what `make` gives in so many attempts, as far as it is new."""
        found = []
        for values in (make() for _ in range(number)):
            key = tuple(values[name] for name in self._problem.space.variables)
            if key not in self._known:
                self._known.add(key)
                found.append(values)
        if not found:
            return
        belief = self._surrogate.believe(found)
        sound = np.asarray(np.isfinite(belief.mean).all(axis=1), dtype=np.bool_)
        worth = np.full(len(found), -np.inf)
        if sound.any():
            worth[sound] = self._worth_of(belief.rows(sound))
        self._settings += found
        self._worth += np.where(np.isnan(worth), -np.inf, worth).tolist()

    def best(self, number: int) -> list[Values]:
        """The admissible ones worth most, the best first; of equals the first found."""
        found: list[Values] = []
        for i in np.argsort(-np.array(self._worth), kind="stable").tolist():
            if i not in self._admissible:
                self._admissible[i] = self._problem.admissible(self._settings[i])
            if self._admissible[i]:
                found.append(self._settings[i])
                if len(found) == number:
                    break
        return found
