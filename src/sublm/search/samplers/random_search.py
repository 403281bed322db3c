"""Random search, spread evenly over the cost axis."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values


@dataclass(frozen=True)
class RandomSearch:
    """Proposes random sub-networks; every cost gets its share, so the front has no holes."""

    name: ClassVar[str] = "random"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        return fresh(problem, len(history), rng)
