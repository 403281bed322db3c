"""AutoTinyBERT's evolutionary algorithm (Yin et al., 2021, section 3.3): the best score within a budget."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sublm.errors import TargetError
from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.stratified import StratifiedSampler
from sublm.spaces.subnet import Subnet


@dataclass(frozen=True)
class AutoTinyBERT:
    """Searches just below the limit for the best score.

    The first generation is random, within the band. In each later one, a slot is filled with a fresh random
    sub-network within the band, or with a mutation, within the band too, of a parent chosen by roulette on fitness.
    There is no crossover. The paper's budget of 4 generations is the number of evaluations, 100; with more, there are
    more generations. Seeds count as members of the first generation.

    What there is to be best at follows from the problem:

    - With a constraint, fitness is the score (the first objective where the score is none), and the band is the part
      of the space that uses up the limit: from `band[0]` to `band[1]` of it. The front besides is not searched.
    - Several constraints must all be kept; the one that is closest to its limit must lie in the band.
    - Without one there is no band. A single objective is the fitness; with more, it is the non-dominated rank.
    - Where nothing new in the band is found, because it is empty or has been seen, sub-networks outside it are taken.

    Attributes:
        population: Size of a generation.
        mutation: Weight of mutations when a slot is filled, the paper's p_m.
        exploration: Weight of fresh sub-networks, the paper's p_e.
        rate: Probability that a variable of the parent moves; one at least does.
        reach: How far it may move, as a share of its range.
        elitist: Whether parents are the best so far, as in the authors' code; else they are the previous generation,
            as in the paper.
        band: Least and largest share of the limit. The authors' code allows [0.85, 1.10] of the predicted latency; no
            constraint is broken here.
    """

    population: int = 25
    mutation: float = 0.5
    exploration: float = 0.5
    rate: float = 0.5
    reach: float = 0.1
    elitist: bool = True
    band: tuple[float, float] = (0.85, 1.0)
    name: ClassVar[str] = "autotinybert"

    def __post_init__(self) -> None:
        if self.population < 2:
            raise ValueError(f"population must be at least 2; got {self.population}.")
        if min(self.mutation, self.exploration) < 0 or self.mutation + self.exploration <= 0:
            raise ValueError(
                "mutation and exploration must not be negative, nor both zero; "
                f"got {self.mutation} and {self.exploration}."
            )
        if not 0 <= self.band[0] < self.band[1] <= 1:
            raise ValueError(f"band must be two rising shares of the limit, at most 1; got {self.band}.")

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        used = usage(problem)
        finished = len(history) // self.population * self.population
        explores = rng.random() * (self.mutation + self.exploration) < self.exploration
        if finished and not explores:
            found = self._mutant(problem, history[:finished], used, rng)
            if found is not None:
                return found
        return self._explored(problem, used, len(history), rng)

    def _explored(
        self, problem: Problem, used: Callable[[Subnet], float] | None, number: int, rng: random.Random
    ) -> Values | None:
        """A random setting in the band; outside it if there is no new one."""
        if used is not None:
            low, high = self.band
            try:
                sampler = StratifiedSampler(problem.space, used, bins=1, low=low, high=high)
            except TargetError:
                return fresh(problem, number, rng)
            for _ in range(60):
                values = sampler.sample_values(rng)
                if problem.admissible(values):
                    return values
        return fresh(problem, number, rng)

    def _mutant(
        self,
        problem: Problem,
        history: Sequence[Observation],
        used: Callable[[Subnet], float] | None,
        rng: random.Random,
    ) -> Values | None:
        """A mutated parent in the band; None if none is found."""
        fit = fitness(problem, history)
        parents = [i for i, value in enumerate(fit) if not math.isnan(value)]
        if self.elitist:
            parents = sorted(parents, key=lambda i: -fit[i])[: self.population]
        else:
            parents = [i for i in parents if i >= len(history) - self.population]
        if not parents:
            return None
        weights = _roulette([fit[i] for i in parents])
        low, high = self.band
        for attempt in range(60):
            parent = history[rng.choices(parents, weights)[0]]
            # When everything near has been seen, steps grow.
            values = self._mutate(problem.space, parent.values, min(1.0, self.reach * (1 + attempt / 10)), rng)
            if (used is None or low <= used(problem.space.decode(values)) <= high) and problem.admissible(values):
                return values
        return None

    def _mutate(self, space: SearchSpace, values: Mapping[str, Any], reach: float, rng: random.Random) -> Values:
        """Every variable moves with the probability `rate`."""
        free = [name for name, variable in space.variables.items() if variable.size > 1]
        moved = [name for name in free if rng.random() < self.rate] or ([rng.choice(free)] if free else [])
        return {**values, **{name: space.variables[name].mutate(values[name], rng, reach) for name in moved}}


def usage(problem: Problem) -> Callable[[Subnet], float] | None:
    """How much of its budget a sub-network uses: the largest share of a limit; None where no limit is above zero."""
    limited = [(problem.costs[c.cost], c.limit) for c in problem.constraints if c.limit > 0]
    if not limited:
        return None
    return lambda subnet: max(cost(subnet) / limit for cost, limit in limited)


def fitness(problem: Problem, history: Sequence[Observation]) -> list[float]:
    """What is to be raised, of every observation; NaN where its evaluation failed."""
    points = pareto.as_points([seen.objectives for seen in history])
    if not problem.constraints and points.shape[1] > 1:
        falling = -pareto.ranks(points).astype(np.float64)
        falling[np.isnan(points).any(axis=1)] = math.nan
        return [float(value) for value in falling]
    column = problem.objectives.index("score") if "score" in problem.objectives else 0
    return [-float(value) for value in points[:, column]]


def _roulette(fit: Sequence[float]) -> list[float]:
    """Weights as in the authors' code, fitness above the worst; equal ones where all are equally fit."""
    worst = min(fit)
    weights = [value - worst for value in fit]
    return weights if any(weights) else [1.0] * len(weights)
