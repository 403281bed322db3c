"""The batches of a training, gathered into windows: those whose gradients make one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from sublm.errors import TrainingError

Batches = Callable[[int], Iterable[dict[str, Tensor]]]
"""Gives the batches of an epoch (from 0): always the same for the same epoch. Each has the model's inputs,
"labels", and "index", the row numbers, [rows]. If it has a method `starting_at(epoch, batch)`, which gives those from
one on, a training that is gone on with does not make the earlier ones again."""


@dataclass(frozen=True)
class Windows:
    """What every step of an epoch is computed on.

    Attributes:
        batches: Gives the batches of an epoch.
        batches_per_epoch: So many.
        accumulation: Batches of a window; the last one of an epoch may have fewer.
    """

    batches: Batches
    batches_per_epoch: int
    accumulation: int

    def __post_init__(self) -> None:
        """Raises TrainingError if an epoch has no batch."""
        if self.batches_per_epoch < 1:
            raise TrainingError(
                f"steps_per_epoch must be at least 1, got {self.batches_per_epoch}: is the training data empty?"
            )

    def __len__(self) -> int:
        """Windows of an epoch."""
        return math.ceil(self.batches_per_epoch / self.accumulation)

    def of_epoch(self, epoch: int, *, skip: int = 0) -> Iterator[list[dict[str, Tensor]]]:
        """The windows of an epoch, without the first `skip`, of which there are fewer than windows.

        Raises:
            TrainingError: If the epoch has fewer batches than was said.
        """
        first = skip * self.accumulation
        starting_at = getattr(self.batches, "starting_at", None)  # batches that can begin anywhere need no replay
        rest = starting_at(epoch, first) if starting_at else islice(iter(self.batches(epoch)), first, None)
        iterator = islice(rest, self.batches_per_epoch - first)
        for number in range(skip, len(self)):
            expected = min(self.accumulation, self.batches_per_epoch - number * self.accumulation)
            window = list(islice(iterator, expected))
            if len(window) < expected:
                given = number * self.accumulation + len(window)
                raise TrainingError(
                    f"batches({epoch}) gave {given} batches, but steps_per_epoch says {self.batches_per_epoch}; "
                    "give the number of batches in an epoch."
                )
            yield window
