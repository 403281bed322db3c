"""Local search along the front: an archive of non-dominated sub-networks, improved by small steps."""

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
class LocalSearch:
    """Steps away a little from a member of the front, preferably one with room around it.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        changes: At most so many variables move in one step.
        reach: How far each may move, as a share of its range.
        crossover: Probability that the step starts between two neighbours on the front.
    """

    start: int = 12
    changes: int = 4
    reach: float = 0.3
    crossover: float = 0.8
    name: ClassVar[str] = "local_search"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        objectives = pareto.as_points([seen.objectives for seen in history])
        members = pareto.front(objectives)
        if len(history) < self.start or not len(members):
            return fresh(problem, len(history), rng)
        members = members[np.argsort(objectives[members, -1], kind="stable")]
        room = pareto.crowding(objectives[members])
        for attempt in range(60):
            one, other = rng.randrange(len(members)), rng.randrange(len(members))
            at = one if room[one] >= room[other] else other
            values = dict(history[members[at]].values)
            if len(members) > 1 and rng.random() < self.crossover:
                beside = at + 1 if at == 0 or (at + 1 < len(members) and rng.random() < 0.5) else at - 1
                values = problem.space.crossover(values, history[members[beside]].values, rng)
            # When everything near has been seen, steps grow.
            reach = min(1.0, self.reach * (1 + attempt / 10))
            values = problem.space.mutate(values, rng, most=self.changes, reach=reach)
            if problem.admissible(values):
                return values
        return fresh(problem, len(history), rng)
