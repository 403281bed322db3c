"""Strategies: which sub-networks one training step trains, and what each of them learns from.

The names and definitions are those of Klein et al. (TMLR 2024); the losses of a step are averaged
over its sub-networks by the loop, so the learning rate means the same for every strategy. The
draws of a step depend on nothing but the random generator handed in: the loop seeds one per step,
and a training that was cut off goes on with the same draws.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from sublm.errors import TrainingError
from sublm.spaces.subnet import Subnet

Teach = Literal["labels", "inplace", "teacher", "none"]
"""What a pass learns from: the labels; the first draw of the step, besides the labels; an outside
teacher, besides the labels; or nothing: a forward pass only, for others to learn from."""

Sampler = Callable[[random.Random], Subnet]
"""Draws a sub-network; must depend on the generator alone."""


@dataclass(frozen=True)
class Draw:
    """One pass of a training step.

    Attributes:
        subnet: The sub-network to activate; None leaves the model as it is.
        teach: What it learns from.
    """

    subnet: Subnet | None
    teach: Teach = "labels"


class Strategy(Protocol):
    """Chooses the passes of every training step."""

    def draws(self, step: int, steps: int, rng: random.Random) -> Sequence[Draw]:
        """The passes of step `step` (from 0) of `steps`; those that learn in place learn from the first."""
        ...


class Space(Protocol):
    """What a strategy needs of a search space."""

    @property
    def largest(self) -> Subnet:
        """The sub-network that keeps most."""
        ...

    @property
    def smallest(self) -> Subnet:
        """The sub-network that keeps least."""
        ...

    def sample(self, rng: random.Random) -> Subnet:
        """A random sub-network."""
        ...


def ramp(step: int, steps: int) -> float:
    """Share of steps that train random sub-networks: 0 at the first step, linearly to 1 at the last."""
    return step / (steps - 1) if steps > 1 else 0.0


@dataclass(frozen=True)
class _Drawing:
    """What the strategies share: the ends of the space and how to draw from between them."""

    largest: Subnet
    smallest: Subnet
    sampler: Sampler
    random_nets: int
    teach: Teach

    name: ClassVar[str]

    def __post_init__(self) -> None:
        if self.random_nets < 1:
            raise TrainingError(f"random_nets must be at least 1; got {self.random_nets}.")
        if self.teach not in ("labels", "teacher"):
            raise TrainingError(f'teach must be "labels" or "teacher"; got {self.teach!r}.')

    def _random(self, rng: random.Random, teach: Teach) -> list[Draw]:
        return [Draw(self.sampler(rng), teach) for _ in range(self.random_nets)]

    def describe(self) -> dict[str, Any]:
        """What makes two strategies train alike, as plain data."""
        return {
            "name": self.name,
            "largest": self.largest.key,
            "smallest": self.smallest.key,
            "sampler": getattr(self.sampler, "__qualname__", type(self.sampler).__qualname__),
            "random_nets": self.random_nets,
            "teach": self.teach,
        }


class _Standard(_Drawing):
    name = "standard"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        return [Draw(self.largest, self.teach)]


class _Random(_Drawing):
    name = "random"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        return self._random(rng, self.teach)


class _RandomLinear(_Drawing):
    name = "random_linear"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        if rng.random() < ramp(step, steps):
            return self._random(rng, self.teach)
        return [Draw(self.largest, self.teach)]


class _Sandwich(_Drawing):
    name = "sandwich"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        return [Draw(self.largest, self.teach), Draw(self.smallest, self.teach), *self._random(rng, self.teach)]


class _Guided(_Drawing):
    name = "guided"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        if self.teach != "teacher":
            return [Draw(self.largest, "labels"), Draw(self.smallest, "inplace"), *self._random(rng, "inplace")]
        return [Draw(self.smallest, "teacher"), *self._random(rng, "teacher")]


class _OneShot(_Drawing):
    name = "one_shot"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        return [Draw(self.largest, self.teach), Draw(self.smallest, "inplace"), *self._random(rng, "inplace")]


class _KD(_Drawing):
    name = "kd"

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        if rng.random() < ramp(step, steps):
            return [Draw(self.largest, "none"), *self._random(rng, "inplace")]
        return [Draw(self.largest, self.teach)]


@dataclass(frozen=True)
class _Fixed:
    subnet: Subnet | None
    teach: Teach

    def draws(self, step: int, steps: int, rng: random.Random) -> list[Draw]:
        return [Draw(self.subnet, self.teach)]

    def describe(self) -> dict[str, Any]:
        return {"name": "fixed", "subnet": self.subnet.key if self.subnet else None, "teach": self.teach}


def standard(space: Space, *, teach: Teach = "labels") -> Strategy:
    """Every step trains the largest sub-network: ordinary fine-tuning of the super-network.

    Args:
        space: Where the sub-networks come from.
        teach: "labels", or "teacher" to learn from an outside teacher as well.
    """
    return _Standard(space.largest, space.smallest, space.sample, 1, teach)


def random_subnets(
    space: Space, *, random_nets: int = 1, sampler: Sampler | None = None, teach: Teach = "labels"
) -> Strategy:
    """Every step trains `random_nets` random sub-networks.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: "labels", or "teacher" to learn from an outside teacher as well.
    """
    return _Random(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def random_linear(
    space: Space, *, random_nets: int = 1, sampler: Sampler | None = None, teach: Teach = "labels"
) -> Strategy:
    """Trains the largest sub-network at first and random ones in the end; their share grows linearly from 0 to 1.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step that trains them.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: "labels", or "teacher" to learn from an outside teacher as well.
    """
    return _RandomLinear(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def sandwich(
    space: Space, *, random_nets: int = 2, sampler: Sampler | None = None, teach: Teach = "labels"
) -> Strategy:
    """Every step trains the largest, the smallest and `random_nets` random sub-networks, all alike.

    With `teach="teacher"` and one random sub-network it is EFTNAS's step.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: "labels", or "teacher" to learn from an outside teacher as well.
    """
    return _Sandwich(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def one_shot(
    space: Space, *, random_nets: int = 2, sampler: Sampler | None = None, teach: Teach = "labels"
) -> Strategy:
    """As `sandwich`, but all others learn in place from the largest: from its logits of the same batch.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: What the largest learns from: "labels", or "teacher" for an outside teacher as well.
    """
    return _OneShot(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def guided(space: Space, *, random_nets: int = 2, sampler: Sampler | None = None, teach: Teach = "teacher") -> Strategy:
    """The smallest and `random_nets` random sub-networks learn from an outside teacher; the largest does not train.

    Where the super-network started from the teacher, the largest sub-network is the teacher: training it again costs
    most of a sandwich step and teaches nothing. Without a teacher it is `one_shot`.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: "teacher"; "labels" falls back to `one_shot`.
    """
    return _Guided(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def kd(space: Space, *, random_nets: int = 2, sampler: Sampler | None = None, teach: Teach = "labels") -> Strategy:
    """As `random_linear`, but the random sub-networks learn in place from the largest, which then only looks on.

    Args:
        space: Where the sub-networks come from.
        random_nets: Random sub-networks in a step that trains them.
        sampler: How to draw them; the space's own (uniform per variable) by default.
        teach: What the largest learns from: "labels", or "teacher" for an outside teacher as well.
    """
    return _KD(space.largest, space.smallest, sampler or space.sample, random_nets, teach)


def fixed(subnet: Subnet | None = None, *, teach: Teach = "labels") -> Strategy:
    """Every step trains the same sub-network, or a plain model: fine-tuning and recovery.

    Args:
        subnet: The sub-network; None for a plain model.
        teach: "labels", or "teacher" to learn from an outside teacher as well.
    """
    if teach not in ("labels", "teacher"):
        raise TrainingError(f'teach must be "labels" or "teacher"; got {teach!r}.')
    return _Fixed(subnet, teach)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "full": one_shot,
    "guided": guided,
    "kd": kd,
    "linear_random": random_linear,
    "one_shot": one_shot,
    "random": random_subnets,
    "random_linear": random_linear,
    "sandwich": sandwich,
    "standard": standard,
}
"""Strategies by name; each takes a space and keyword arguments. `full` and `linear_random` are aliases."""
