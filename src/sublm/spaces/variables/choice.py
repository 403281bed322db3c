"""One of a few options."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.variables.variable import Path


@dataclass(frozen=True)
class Choice:
    """One of a few options, without an order between them for the moves.

    Attributes:
        options: Numbers or words; the one that keeps least stands first, the one that keeps most last.
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options or len(set(self.options)) != len(self.options):
            raise SubnetError(f"Choice needs one or more different options; got {list(self.options)}.")

    @property
    def size(self) -> int:
        """Exact number of values."""
        return len(self.options)

    @property
    def lowest(self) -> Any:
        """The first option."""
        return self.options[0]

    @property
    def highest(self) -> Any:
        """The last option."""
        return self.options[-1]

    def canonical(self, value: Any) -> Any:
        """The option itself.

        Raises:
            SubnetError: If it is not among the options.
        """
        if isinstance(value, bool) or value not in self.options:
            raise SubnetError(f"{value!r} is not among the options {list(self.options)}.")
        return value

    def values(self) -> Iterator[Any]:
        """Every option."""
        return iter(self.options)

    def sample(self, rng: random.Random) -> Any:
        """Each option is equally likely."""
        return rng.choice(self.options)

    def neighbours(self, value: Any) -> Iterator[Any]:
        """Every other option."""
        return (option for option in self.options if option != value)

    def mutate(self, value: Any, rng: random.Random, reach: float) -> Any:
        """Another option."""
        others = list(self.neighbours(value))
        return rng.choice(others) if others else value

    def crossover(self, first: Any, second: Any, rng: random.Random) -> Any:
        """One of the parents' options."""
        return first if rng.random() < 0.5 else second

    def path(self, start: Any, end: Any, rng: random.Random) -> Path:
        """Through the options between the two."""
        a, b = self.options.index(start), self.options.index(end)
        return lambda t: self.options[round(a + t * (b - a))]

    def encode(self, value: Any) -> Any:
        """The option."""
        return value

    def decode(self, data: Any) -> Any:
        """The option, checked."""
        return self.canonical(data)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": "choice", "options": list(self.options)}
