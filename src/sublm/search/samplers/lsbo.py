"""Bayesian optimisation of a fixed weighted sum of the objectives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sublm.search import improvement
from sublm.search.samplers.base import Observation, Problem
from sublm.search.surrogate import Acquisition, Array, Belief, Surrogate, propose_best
from sublm.spaces.space import Values


@dataclass(frozen=True)
class LSBO:
    """Maximises the expected improvement of the mean of the objectives, each scaled to 0..1 over what was observed.

    A fixed sum has one best point, so it finds one end or one bend of the front; it is there for comparison with
    Klein et al. and for searches with one objective. A Gaussian process guesses the score; costs are exact.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        pool: So many candidates are compared for one proposal.
    """

    start: int = 12
    pool: int = 320
    name: ClassVar[str] = "lsbo"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        return propose_best(problem, history, rng, _acquisition, start=self.start, pool=self.pool)


def _acquisition(surrogate: Surrogate) -> Acquisition:
    low = surrogate.points.min(axis=0)
    extent = surrogate.points.max(axis=0) - low
    extent = np.where(extent > 0, extent, 1.0)
    best = ((surrogate.points - low) / extent).sum(axis=1).min()

    def worth(belief: Belief) -> Array:
        scaled = (belief.bound(0.0) - low) / extent
        if not belief.warpings:
            return np.asarray(-scaled.sum(axis=1))
        # Exact in the first unknown objective; further ones count with their medians.
        first, warping = next(iter(belief.warpings.items()))
        wanted = low[first] + extent[first] * (best - np.delete(scaled, first, axis=1).sum(axis=1))
        return improvement.log_expected_improvement(belief.mean[:, first], belief.deviation[:, first], wanted, warping)

    return worth
