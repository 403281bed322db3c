"""What a sampler is: a rule that proposes the next sub-network from what has been evaluated so far.

A sampler keeps no state between proposals. All it knows is the history and an `rng` made from the search's seed and
the proposal's number, so a search that was killed goes on exactly as it would have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sublm.search.constraints import Constraint, Costs
from sublm.spaces.space import SearchSpace, Values


class Draw(Protocol):
    """A source of random settings that keep the constraints (as far as it can)."""

    def __call__(self, rng: random.Random, at: float | None = None) -> Values:
        """Random values; `at` from 0 to 1 says where on the cost axis, anywhere by default."""


@dataclass(frozen=True)
class Problem:
    """What is searched.

    Attributes:
        space: The search space.
        admissible: Whether values may be proposed: they keep every constraint and give a sub-network that has not
            been evaluated yet.
        draw: Random settings spread over the cost axis.
        objectives: Names of what an observation's objectives are: "score" (negated) and costs.
        constraints: Limits on costs; `admissible` knows them already, this is for samplers that aim at one.
        costs: Every cost by name.
    """

    space: SearchSpace
    admissible: Callable[[Mapping[str, Any]], bool]
    draw: Draw
    objectives: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    costs: Costs = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """An evaluated setting, or one in flight.

    Attributes:
        values: Values of the space's variables.
        objectives: All minimised; NaN where the evaluation failed or is not finished.
        pending: Whether another worker is evaluating it.
    """

    values: Mapping[str, Any]
    objectives: tuple[float, ...]
    pending: bool = False


class Sampler(Protocol):
    """Proposes settings to evaluate."""

    @property
    def name(self) -> str:
        """Name in the registry and in the records."""

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting.

        Args:
            problem: What is searched.
            history: Every trial before this one, in order, so that its length is this trial's number.
            rng: Source of randomness; a function of the seed and of the number of the proposal.

        Returns:
            Admissible values, or None when none was found.
        """


def check_sampler(sampler: Sampler, space: SearchSpace) -> None:
    """Lets a sampler refuse a space before work starts: one that has a method `check(space)` is asked.

    Raises:
        RunError: If the sampler cannot search the space.
    """
    check: Callable[[SearchSpace], None] | None = getattr(sampler, "check", None)
    if check is not None:
        check(space)


def fresh(problem: Problem, number: int, rng: random.Random, tries: int = 50) -> Values | None:
    """A new random setting; the numbers 0, 1, 2, ... fill the cost axis ever more finely.

    Args:
        problem: What is searched.
        number: How many settings have been evaluated.
        rng: Source of randomness.
        tries: Attempts; the second half of them look anywhere on the axis.
    """
    for attempt in range(tries):
        values = problem.draw(rng, _halving(number) if 2 * attempt < tries else None)
        if problem.admissible(values):
            return values
    return None


def _halving(number: int) -> float:
    """The van der Corput sequence: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    result, part = 0.0, 0.5
    while number:
        result += part * (number & 1)
        number >>= 1
        part /= 2
    return result
