"""Any of some things."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.variables.variable import Path


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
