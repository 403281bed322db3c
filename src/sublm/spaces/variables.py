"""The variables a search space is made of: what values they take, and how to move between them.

Every variable is immutable, knows its exact number of values, and offers the same moves: `sample`, `neighbours`,
`mutate`, `crossover` and `path` (a monotone way from one value to another, used to reach a wanted cost). A value is
plain data; `encode` and `decode` turn it into JSON and back.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sublm.errors import SubnetError

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


@dataclass(frozen=True)
class Subset:
    """Any subset of `units` things: a count when the first ones are kept, else their sorted indices.

    A random draw is that of Klein et al.: first the number of things removed, uniformly and at least one, then
    which. Drawing each thing by a coin instead would only ever give subsets of one size.

    Attributes:
        units: How many things there are.
        fewest_drawn: A random draw keeps at least so many. It does not bound the values themselves.
    """

    units: int
    fewest_drawn: int = 0

    def __post_init__(self) -> None:
        if self.units < 1 or not 0 <= self.fewest_drawn <= self.units:
            raise SubnetError(f"Subset needs units >= 1 and 0 <= fewest_drawn <= units; got {self}.")

    @property
    def size(self) -> int:
        """Exact number of values: two to the power of `units`."""
        return 1 << self.units

    @property
    def lowest(self) -> int:
        """Nothing is kept."""
        return 0

    @property
    def highest(self) -> int:
        """Everything is kept."""
        return self.units

    def canonical(self, value: Any) -> int | tuple[int, ...]:
        """A count for a prefix, else sorted indices.

        Raises:
            SubnetError: If it is neither, or names something twice or that does not exist.
        """
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= self.units:
                raise SubnetError(f"A subset of {self.units} cannot keep {value}; choose 0 to {self.units}.")
            return value
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise SubnetError(f"A subset is a count or a list of indices, not {value!r}.")
        kept = tuple(sorted(value))
        if len(set(kept)) != len(kept) or (kept and not 0 <= kept[0] <= kept[-1] < self.units):
            raise SubnetError(f"A subset of {self.units} holds different indices from 0 to {self.units - 1}.")
        # Sorted and without repeats: it is a prefix exactly when its last index says so.
        return len(kept) if not kept or kept[-1] == len(kept) - 1 else kept

    def kept(self, value: int | tuple[int, ...]) -> tuple[int, ...]:
        """The indices kept, ascending."""
        return tuple(range(value)) if isinstance(value, int) else value

    def values(self) -> Iterator[int | tuple[int, ...]]:
        """Every subset."""
        return (self.decode(f"0x{mask:x}") for mask in range(self.size))

    def sample(self, rng: random.Random) -> int | tuple[int, ...]:
        """Uniform in the number kept (never all), then in which."""
        number = rng.randint(self.fewest_drawn, max(self.fewest_drawn, self.units - 1))
        return self.canonical(rng.sample(range(self.units), number))

    def neighbours(self, value: int | tuple[int, ...]) -> Iterator[int | tuple[int, ...]]:
        """Every subset with one thing more or one thing less; made one by one."""
        kept = self.kept(value)
        for unit in range(self.units):
            at = bisect_left(kept, unit)
            there = at < len(kept) and kept[at] == unit
            yield self.canonical(kept[:at] + (kept[at + 1 :] if there else (unit, *kept[at:])))

    def mutate(self, value: int | tuple[int, ...], rng: random.Random, reach: float) -> int | tuple[int, ...]:
        """Some things are added, removed or exchanged."""
        kept = set(self.kept(value))
        gone = [unit for unit in range(self.units) if unit not in kept]
        moves = [move for move, possible in (("add", gone), ("remove", kept), ("swap", gone and kept)) if possible]
        move = rng.choice(moves)
        number = rng.randint(1, max(1, round(reach * self.units)))
        # Both draws see the value as it was, so an exchange never takes back what it just gave.
        added = rng.sample(gone, min(number, len(gone))) if move != "remove" else []
        removed = rng.sample(sorted(kept), min(number, len(kept))) if move != "add" else []
        return self.canonical((kept | set(added)) - set(removed))

    def crossover(
        self, first: int | tuple[int, ...], second: int | tuple[int, ...], rng: random.Random
    ) -> int | tuple[int, ...]:
        """What both keep is kept; what only one keeps, by a coin each."""
        a, b = set(self.kept(first)), set(self.kept(second))
        return self.canonical((a & b) | {unit for unit in sorted(a ^ b) if rng.random() < 0.5})

    def path(self, start: int | tuple[int, ...], end: int | tuple[int, ...], rng: random.Random) -> Path:
        """The differing things change over one by one in a random order."""
        a, b = set(self.kept(start)), set(self.kept(end))
        changes = sorted(a ^ b)
        rng.shuffle(changes)
        return lambda t: self.canonical(a ^ set(changes[: round(t * len(changes))]))

    def encode(self, value: int | tuple[int, ...]) -> int | str:
        """A count, or a hexadecimal bit mask whose lowest bit is thing 0 (a quarter of a character per thing)."""
        if isinstance(value, int):
            return value
        mask = bytearray((self.units + 7) // 8)
        for unit in value:
            mask[unit // 8] |= 1 << unit % 8
        return f"0x{int.from_bytes(mask, 'little'):x}"

    def decode(self, data: Any) -> int | tuple[int, ...]:
        """Reads a count, a bit mask, or a list of indices."""
        if not isinstance(data, str):
            return self.canonical(data)
        try:
            mask = int(data, 16)
        except ValueError:
            raise SubnetError(f"A subset is written as a count or a hexadecimal mask; got {data[:40]!r}.") from None
        if mask < 0 or mask >> self.units:
            raise SubnetError(f"The mask holds more than the {self.units} things there are.")
        raw = mask.to_bytes((self.units + 7) // 8, "little")
        return self.canonical([unit for unit in range(self.units) if raw[unit // 8] >> unit % 8 & 1])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": "subset", "units": self.units, "fewest_drawn": self.fewest_drawn}


_KINDS: dict[str, Callable[..., Any]] = {"integer": Integer, "choice": Choice, "subset": Subset}


def variable_from_dict(data: Any) -> Variable:
    """Reads what a variable's `to_dict` wrote.

    Raises:
        SubnetError: If the kind is unknown or a field is missing, unknown or senseless.
    """
    if not isinstance(data, Mapping) or data.get("kind") not in _KINDS:
        found = data.get("kind") if isinstance(data, Mapping) else data
        raise SubnetError(f"A variable is of kind {', '.join(sorted(_KINDS))}; found {found!r}.")
    fields = {name: value for name, value in data.items() if name != "kind"}
    try:
        return _KINDS[data["kind"]](**fields)
    except TypeError as error:
        raise SubnetError(f"A {data['kind']} variable cannot be read from {sorted(fields)}: {error}.") from None
