"""An evolutionary algorithm on the archive of non-dominated sub-networks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values


@dataclass(frozen=True)
class ParetoEA:
    """Crosses and steps away from members of the front, those with most room around them first.

    There are no generations: every evaluation may enter the archive at once, so none is spent on a population that
    has been left behind. `local_search` crosses neighbours on the front; here the second parent is any member.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        crossover: Probability that a child takes every variable from either of two members.
        changes: One to so many variables of a child take a step.
        reach: How far a step may go, as a share of the variable's range.
    """

    start: int = 10
    crossover: float = 0.5
    changes: int = 4
    reach: float = 0.2
    name: ClassVar[str] = "pareto_ea"

    def __post_init__(self) -> None:
        if self.start < 1 or self.changes < 1 or not 0 <= self.crossover <= 1 or not 0 < self.reach <= 1:
            raise ValueError(
                "start and changes must be at least 1, crossover a probability and reach a share of the range; "
                f"got {self}."
            )

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        objectives = pareto.as_points([seen.objectives for seen in history])
        archive = pareto.front(objectives)
        if len(history) < self.start or not len(archive):
            return fresh(problem, len(history), rng)
        room = pareto.crowding(objectives[archive])
        for attempt in range(60):
            values = dict(history[_roomier(archive, room, rng)].values)
            if rng.random() < self.crossover:
                mate = history[archive[rng.randrange(len(archive))]]
                values = problem.space.crossover(values, mate.values, rng)
            # When everything near has been seen, steps grow.
            reach = min(1.0, self.reach * (1 + attempt / 10))
            values = problem.space.mutate(values, rng, most=self.changes, reach=reach)
            if problem.admissible(values):
                return values
        return fresh(problem, len(history), rng)


def _roomier(archive: NDArray[np.int64], room: NDArray[np.float64], rng: random.Random) -> int:
    """Of two members drawn, the one with more room around it."""
    one, other = rng.randrange(len(archive)), rng.randrange(len(archive))
    return int(archive[one if room[one] >= room[other] else other])
