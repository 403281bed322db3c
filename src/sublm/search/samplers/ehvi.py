"""Expected hypervolume improvement: Bayesian optimisation of the whole front."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from sublm.search import improvement
from sublm.search.samplers.base import Observation, Problem
from sublm.search.surrogate import Acquisition, Array, Belief, Surrogate, propose_best
from sublm.spaces.space import Values

_DRAWS = 16
"""Draws of the other unknown objectives, where more than the score is unknown."""


@dataclass(frozen=True)
class EHVI:
    """Evaluates what is expected to enlarge the front's hypervolume most (Emmerich et al. 2006).

    A Gaussian process guesses the score, costs are exact; under that the expectation has a closed form for any number
    of costs. It is computed and compared in logarithms (Ament et al. 2023). The reference point is worse than every
    observation: per objective the worst one, and a tenth of the range beyond.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        pool: So many candidates are compared for one proposal.
    """

    start: int = 12
    pool: int = 320
    name: ClassVar[str] = "ehvi"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        return propose_best(problem, history, rng, _acquisition, start=self.start, pool=self.pool)


def _acquisition(surrogate: Surrogate) -> Acquisition:
    points = surrogate.points
    reference = improvement.reference_point(points)

    def worth(belief: Belief) -> Array:
        if not belief.warpings:
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(improvement.uncovered(points, belief.mean, reference)))
        # The expectation is exact in the first unknown objective; of further ones it is a mean over draws.
        first, *others = belief.warpings
        order = [first, *(column for column in range(points.shape[1]) if column != first)]
        draws = []
        for draw in range(_DRAWS if others else 1):
            rest = belief.bound(0.0)
            for axis, column in enumerate(others):
                rest[:, column] = belief.bound(_normal(draw, axis))[:, column]
            draws.append(
                improvement.log_expected_hypervolume_improvement(
                    belief.mean[:, first],
                    belief.deviation[:, first],
                    rest[:, order[1:]],
                    points[:, order],
                    reference[order],
                    belief.warpings[first],
                )
            )
        return np.asarray(np.logaddexp.reduce(draws, axis=0))

    return worth


def _normal(draw: int, axis: int) -> float:
    """Even quantiles of the normal distribution, in another order on every axis (a Latin hypercube)."""
    shuffled = random.Random(axis).sample(range(_DRAWS), _DRAWS)
    return NormalDist().inv_cdf((shuffled[draw] + 0.5) / _DRAWS)
