"""What every variable of a search space offers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Protocol

Path = Callable[[float], Any]
"""A way between two values: 0 gives the first, 1 the second, in between nothing overshoots."""


class Variable(Protocol):
    """What every variable offers."""

    @property
    def size(self) -> int:
        """Exact number of values."""

    @property
    def lowest(self) -> Any:
        """The value that keeps least."""

    @property
    def highest(self) -> Any:
        """The value that keeps most."""

    def canonical(self, value: Any) -> Any:
        """The one way to write `value`.

        Raises:
            SubnetError: If the variable cannot take the value.
        """

    def values(self) -> Iterator[Any]:
        """Every value, the least first; made one by one."""

    def sample(self, rng: random.Random) -> Any:
        """A random value."""

    def neighbours(self, value: Any) -> Iterator[Any]:
        """Every value one smallest move away."""

    def mutate(self, value: Any, rng: random.Random, reach: float) -> Any:
        """Another value at most the share `reach` of the whole range away (but at least one move)."""

    def crossover(self, first: Any, second: Any, rng: random.Random) -> Any:
        """A value inherited from two parents."""

    def path(self, start: Any, end: Any, rng: random.Random) -> Path:
        """A way from `start` to `end`."""

    def encode(self, value: Any) -> Any:
        """Compact plain data for JSON."""

    def decode(self, data: Any) -> Any:
        """Reads what `encode` wrote."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that describes the variable itself."""
