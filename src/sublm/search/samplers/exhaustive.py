"""Every setting of a small space, in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sublm.errors import RunError
from sublm.search.samplers.base import Observation, Problem
from sublm.search.samplers.enumeration import in_words, unseen, walk
from sublm.spaces.space import SearchSpace, Values


@dataclass(frozen=True)
class Exhaustive:
    """Enumerates the space; the seed does not matter.

    The order goes from coarse to fine through the settings: the first, the one in the middle, those at the quarters,
    ... A search that ends before everything has been seen has therefore seen some of everything; in `nested`, where
    the settings are a line, evenly spread points of it.

    Attributes:
        most: Spaces with more settings are refused.
    """

    most: int = 20_000
    name: ClassVar[str] = "exhaustive"

    def check(self, space: SearchSpace) -> None:
        """Refuses a space that is too large.

        Raises:
            RunError: If it has more than `most` settings.
        """
        if space.size > self.most:
            raise RunError(
                f"The sampler 'exhaustive' looks through spaces of up to {self.most:,} settings; {space.name!r} has "
                f"{in_words(space.size)}. Choose a larger `step`, a smaller space such as nested, or the sampler "
                "pareto_ea."
            )

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        settings = walk({name: list(variable.values()) for name, variable in problem.space.variables.items()})
        return next(filter(problem.admissible, unseen(problem, history, settings)), None)
