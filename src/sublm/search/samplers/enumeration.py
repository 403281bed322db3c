"""Walking through combinations of values, from coarse to fine; what `grid` and `exhaustive` share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import floor, log10, prod
from typing import Any

from sublm.search.samplers.base import Observation, Problem
from sublm.spaces.space import Values

Axes = dict[str, Sequence[Any]]
"""Values of every variable that are combined, in order."""


def walk(axes: Axes) -> Iterator[Values]:
    """Every combination once, made one by one.

    Counted through with the last variable moving fastest, they come in the order first, middle, quarters, eighths,
    ... (bit reversal), so whatever is seen of them is spread over all of them.
    """
    number = prod(map(len, axes.values()))
    bits = max(0, number - 1).bit_length()
    for index in range(1 << bits):
        place = _reversed(index, bits)
        if place < number:
            yield _combination(axes, place)


def _reversed(index: int, bits: int) -> int:
    """The number that the bits of `index` give in the opposite order."""
    return int(f"{index:0{bits}b}"[::-1], 2) if bits else 0


def _combination(axes: Axes, place: int) -> Values:
    chosen = []
    for values in reversed(axes.values()):
        place, at = divmod(place, len(values))
        chosen.append(values[at])
    return dict(zip(axes, reversed(chosen), strict=True))


def unseen(problem: Problem, history: Sequence[Observation], settings: Iterator[Values]) -> Iterator[Values]:
    """Those of the settings that the history does not hold.

    It costs a fraction of asking whether they are admissible; other settings may still give a sub-network that the
    history holds.
    """

    def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(values[name] for name in problem.space.variables)

    seen = {key(observation.values) for observation in history}
    return (values for values in settings if key(values) not in seen)


def in_words(number: int) -> str:
    """A count for people; Python refuses to write out the largest."""
    if number < 10**9:
        return f"{number:,}"
    return f"more than 10^{floor((number.bit_length() - 1) * log10(2))}"
