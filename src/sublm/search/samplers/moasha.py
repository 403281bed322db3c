"""Multi-objective asynchronous successive halving (Schmucker et al., 2021): random proposals, poor trials end early.

A trial of a standalone search is trained epoch by epoch. At some epochs, the rungs, it is compared with every trial
that came there before it, and goes on only if it is among the best of them. Nobody waits for anybody: the comparison is
with what is there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sublm.search import pareto
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values


def rungs(epochs: int, grace: int = 1, eta: int = 3) -> tuple[int, ...]:
    """The epochs after which trials are compared: `grace`, `grace · eta`, `grace · eta²`, ... below `epochs`.

    Args:
        epochs: Epochs of a whole trial.
        grace: Epochs before the first comparison.
        eta: Of how many trials one goes on.
    """
    found, level = [], grace
    while level < epochs:
        found.append(level)
        level *= eta
    return tuple(found)


def continues(result: Sequence[float], before: Sequence[Sequence[float]], eta: int = 3) -> bool:
    """Whether a trial goes on from a rung: it is among the best 1/eta of those that reached it, or the best of all.

    Trials are ordered by non-dominated rank, within a rank by crowding (more room first), and then the older before the
    newer. The rank is each trial's own, so one that dominates all others always goes on.

    Args:
        result: The trial's objectives at the rung, all minimised.
        before: Those of the trials that reached the rung earlier, whether they went on or not.
        eta: Of how many trials one goes on.

    Returns:
        False too if an objective is NaN. The first trial at a rung goes on.
    """
    if any(math.isnan(value) for value in result):
        return False
    points = [*before, result]
    position = int((pareto.order(points) == len(before)).argmax())
    return position < max(1, len(points) // eta)


@dataclass(frozen=True)
class MOASHA:
    """Random sub-networks spread over the cost axis; a standalone search stops the poor ones at the rungs.

    In a search of a super-network there are no epochs to stop at: there it is random search.

    Attributes:
        grace: Epochs that every trial gets.
        eta: Of how many trials at a rung one goes on; rungs lie `eta` times as far apart each.
    """

    grace: int = 1
    eta: int = 3
    name: ClassVar[str] = "moasha"

    def __post_init__(self) -> None:
        if self.grace < 1 or self.eta < 2:
            raise ValueError(f"grace must be at least 1 and eta at least 2; got {self.grace} and {self.eta}.")

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        return fresh(problem, len(history), rng)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which trials are compared; see `rungs`."""
        return rungs(epochs, self.grace, self.eta)

    def continues(self, result: Sequence[float], before: Sequence[Sequence[float]]) -> bool:
        """Whether a trial goes on; see `continues`."""
        return continues(result, before, self.eta)
