"""A whole number in steps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.variables.variable import Path


@dataclass(frozen=True)
class Integer:
    """A whole number: `low`, `high`, and every multiple of `step` between them.

    Both ends stay reachable even off the grid of multiples, so that a step never takes the largest or the smallest
    sub-network out of a space: `Integer(1, 100, 32)` takes 1, 32, 64, 96 and 100.

    Attributes:
        low: Smallest value.
        high: Largest value, included.
        step: Values between the ends are multiples of it.
    """

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise SubnetError(f"Integer: low={self.low} is above high={self.high}; choose low <= {self.high}.")
        if self.step < 1:
            raise SubnetError(f"Integer: step must be at least 1; got {self.step}.")

    @property
    def _inner(self) -> int:
        return max(0, (self.high - 1) // self.step - self.low // self.step)

    @property
    def size(self) -> int:
        """Exact number of values."""
        return 1 if self.low == self.high else self._inner + 2

    @property
    def lowest(self) -> int:
        """The smallest value."""
        return self.low

    @property
    def highest(self) -> int:
        """The largest value."""
        return self.high

    @property
    def lowest_kept(self) -> int:
        """The smallest value above zero: keeping something."""
        return self.low or self.at(1)

    def at(self, position: int) -> int:
        """The value at a position: 0 is `low`, `size - 1` is `high`."""
        if position <= 0:
            return self.low
        return self.high if position > self._inner else (self.low // self.step + position) * self.step

    def position(self, value: int) -> int:
        """The position of a value; of the nearest one below if the variable does not take it."""
        if value >= self.high:
            return self.size - 1
        return max(0, value // self.step - self.low // self.step)

    def canonical(self, value: Any) -> int:
        """The value itself, checked.

        Raises:
            SubnetError: If the variable does not take it; the message names the nearest that it takes.
        """
        if isinstance(value, bool) or not isinstance(value, int):
            raise SubnetError(f"A whole number from {self.low} to {self.high} is needed; got {value!r}.")
        if self.at(self.position(value)) != value:
            below = self.position(value)
            nearest = min((self.at(below), self.at(below + 1)), key=lambda v: abs(v - value))
            raise SubnetError(
                f"{value} is not among {self.low}, multiples of {self.step}, {self.high}; the nearest is {nearest}."
            )
        return value

    def values(self) -> Iterator[int]:
        """Every value, ascending."""
        return (self.at(position) for position in range(self.size))

    def sample(self, rng: random.Random) -> int:
        """Each value is equally likely."""
        return self.at(rng.randrange(self.size))

    def neighbours(self, value: int) -> Iterator[int]:
        """The values next to it."""
        at = self.position(value)
        if at > 0:
            yield self.at(at - 1)
        if at + 1 < self.size:
            yield self.at(at + 1)

    def mutate(self, value: int, rng: random.Random, reach: float) -> int:
        """Another value, at most `reach` of all positions away."""
        if self.size == 1:
            return value
        far = max(1, round(reach * (self.size - 1)))
        at = self.position(value)
        below, above = max(0, at - far), min(self.size - 1, at + far)
        drawn = rng.randrange(below, above)  # one value fewer: the present one is left out
        return self.at(drawn + 1 if drawn >= at else drawn)

    def crossover(self, first: int, second: int, rng: random.Random) -> int:
        """One of the parents' values."""
        return first if rng.random() < 0.5 else second

    def path(self, start: int, end: int, rng: random.Random) -> Path:
        """Evenly through the positions."""
        a, b = self.position(start), self.position(end)
        return lambda t: self.at(round(a + t * (b - a)))

    def encode(self, value: int) -> int:
        """The number."""
        return value

    def decode(self, data: Any) -> int:
        """The number, checked."""
        return self.canonical(data)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": "integer", "low": self.low, "high": self.high, "step": self.step}
