"""MO-REA: regularised evolution (Real et al., 2019) for several objectives, as in Klein et al. (2024)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values


@dataclass(frozen=True)
class MOREA:
    """Mutates the winner of a tournament among the youngest; the oldest leave, however good they are.

    Forgetting the old keeps a lucky evaluation from ruling the search; nothing is lost, as the study remembers
    everything. The winner is the best by non-dominated rank, then by crowding, both within the population.

    Attributes:
        population: So many of the youngest evaluations are parents; the first ones are random, spread over the cost
            axis (seeds count among them).
        tournament: So many parents are drawn, with replacement; the best of them is mutated.
    """

    population: int = 10
    tournament: int = 5
    name: ClassVar[str] = "morea"

    def __post_init__(self) -> None:
        if self.population < 2 or self.tournament < 1:
            raise ValueError(
                "population must be at least 2 and tournament at least 1; "
                f"got population={self.population}, tournament={self.tournament}."
            )

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        if len(history) < self.population:
            return fresh(problem, len(history), rng)
        young = history[-self.population :]
        # place[i]: how many of the population come before its i-th.
        place = np.argsort(pareto.order([seen.objectives for seen in young]))
        for _ in range(60):
            drawn = [rng.randrange(len(young)) for _ in range(self.tournament)]
            winner = young[min(drawn, key=lambda i: place[i])]
            # One variable, anywhere in its range.
            values = problem.space.mutate(winner.values, rng, most=1, reach=1.0)
            if problem.admissible(values):
                return values
        return fresh(problem, len(history), rng)
