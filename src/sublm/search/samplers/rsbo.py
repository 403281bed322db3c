"""Bayesian optimisation of random scalarisations."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem
from sublm.search.surrogate import Acquisition, Array, Belief, Surrogate, propose_best
from sublm.spaces.space import Values

_SLOPE = 0.05
"""Share of the plain sum in the augmented Chebyshev scalarisation: it keeps weakly dominated points from winning."""


@dataclass(frozen=True)
class RSBO:
    """Minimises a new random scalarisation of optimistic guesses at every proposal (Paria et al. 2019).

    The guesses are lower confidence bounds of a Gaussian process for the score, and the exact costs. The scalarisation
    is Chebyshev's, which reaches every point of a front, not only of its convex part: the largest weighted objective,
    plus a twentieth of their weighted sum. Objectives are scaled to 0..1 over the front; weights are drawn uniformly
    from those that sum to 1.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        pool: So many candidates are compared for one proposal.
    """

    start: int = 12
    pool: int = 320
    name: ClassVar[str] = "rsbo"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""

        def acquisition(surrogate: Surrogate) -> Acquisition:
            lots = np.array([rng.expovariate(1.0) for _ in range(surrogate.points.shape[1])])
            return _acquisition(surrogate, lots / lots.sum())

        return propose_best(problem, history, rng, acquisition, start=self.start, pool=self.pool)


def _acquisition(surrogate: Surrogate, weights: Array) -> Acquisition:
    front = surrogate.points[pareto.front(surrogate.points)]
    low = front.min(axis=0)
    extent = front.max(axis=0) - low
    extent = np.where(extent > 0, extent, 1.0)
    # Paria et al.'s β for the t-th proposal, section 5.
    optimism = math.sqrt(0.125 * math.log(2 * len(surrogate.points) + 1))

    def worth(belief: Belief) -> Array:
        weighted = weights * (belief.bound(-optimism) - low) / extent
        return np.asarray(-(weighted.max(axis=1) + _SLOPE * weighted.sum(axis=1)))

    return worth
