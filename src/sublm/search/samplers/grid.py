"""Grid search: evenly spread levels of every variable, ever finer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from math import prod
from typing import Any, ClassVar

from sublm.errors import RunError
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.search.samplers.enumeration import Axes, in_words, unseen, walk
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.variables import Variable


@dataclass(frozen=True)
class Grid:
    """Combines evenly spread levels of every variable, both ends among them; the seed does not matter.

    When a grid is done and evaluations are left, the gaps are halved: 2 levels become 3, 5, 9, ... Each grid holds
    the ones before it, so the number of evaluations need not be known, and can be raised later. A variable with fewer
    values than levels takes all it has; a subset takes evenly spread numbers of things, always the same ones.

    Attributes:
        levels: Levels per variable of the first grid.
        most: Spaces whose first grid has more settings are refused, as hardly any of it would be seen. Constraints
            can leave a grid almost empty: after so many settings that break them, a random one is proposed instead.
    """

    levels: int = 2
    most: int = 20_000
    name: ClassVar[str] = "grid"

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise ValueError(f"levels must be at least 2, the ends of each variable; got {self.levels}.")

    def check(self, space: SearchSpace) -> None:
        """Refuses a space whose first grid is too large.

        Raises:
            RunError: If it has more than `most` settings.
        """
        size = prod(map(len, axes(space, self.levels).values()))
        if size > self.most:
            raise RunError(
                f"The sampler 'grid' begins with {self.levels} levels of each of the {len(space.variables)} variables "
                f"of {space.name!r}: {in_words(size)} settings, where {self.most:,} are allowed. Choose a space with "
                "fewer variables, such as small or uniform, or the sampler pareto_ea."
            )

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        new = unseen(problem, history, self._settings(problem.space))
        found = next(filter(problem.admissible, islice(new, self.most)), None)
        return fresh(problem, len(history), rng) if found is None else found

    def _settings(self, space: SearchSpace) -> Iterator[Values]:
        """One grid after the other, as long as they become finer; made one by one."""
        levels, before = self.levels, 0
        while True:
            grid = axes(space, levels)
            size = prod(map(len, grid.values()))
            if size == before:
                return
            yield from walk(grid)
            levels, before = 2 * levels - 1, size


def axes(space: SearchSpace, levels: int) -> Axes:
    """The levels of every variable, from the lowest to the highest value."""
    return {name: _spread(variable, levels) for name, variable in space.variables.items()}


def _spread(variable: Variable, levels: int) -> list[Any]:
    way = variable.path(variable.lowest, variable.highest, random.Random(0))
    return [value for value, _ in groupby(way(i / (levels - 1)) for i in range(levels))]
