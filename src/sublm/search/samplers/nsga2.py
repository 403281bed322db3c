"""NSGA-II (Deb et al., 2002) over the variables of a search space."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values


@dataclass(frozen=True)
class NSGA2:
    """Crosses and mutates the best of the finished generations.

    The parents of a generation are the best of everything evaluated before it began, by rank and crowding. As the
    best are never lost, that equals selecting from parents and children, and it needs no state but the history.

    Attributes:
        population: Size of a generation; the first one is random, spread over the cost axis.
        crossover: Probability that a child has two parents.
        changes: At most so many variables of a child mutate.
        reach: How far each may move, as a share of its range.
    """

    population: int = 20
    crossover: float = 0.9
    changes: int = 4
    reach: float = 0.3
    name: ClassVar[str] = "nsga2"

    def __post_init__(self) -> None:
        if self.population < 2:
            raise ValueError(f"population must be at least 2; got {self.population}.")

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        finished = len(history) // self.population * self.population
        if not finished:
            return fresh(problem, len(history), rng)
        best = pareto.order([seen.objectives for seen in history[:finished]])[: self.population]
        parents = [history[i].values for i in best]
        for attempt in range(60):
            # Parents stand from best to worst, so the lower of two positions wins the tournament.
            first, second = (parents[min(rng.randrange(len(parents)), rng.randrange(len(parents)))] for _ in range(2))
            child = problem.space.crossover(first, second, rng) if rng.random() < self.crossover else dict(first)
            # When everything near has been seen, children go further.
            reach = min(1.0, self.reach * (1 + attempt / 10))
            child = problem.space.mutate(child, rng, most=self.changes, reach=reach)
            if problem.admissible(child):
                return child
        return fresh(problem, len(history), rng)
