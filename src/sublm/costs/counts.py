"""Many sub-networks as arrays of counts, so that a cost of a million is a few array operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sublm.spaces.subnet import Subnet, count


@dataclass(frozen=True)
class Counts:
    """N sub-networks of one super-network.

    Attributes:
        heads: Heads kept, [N, layers].
        neurons: Neurons kept, [N, layers].
        hidden: Hidden channels kept, [N].
        head_size: Dimensions kept of every head, [N].
    """

    heads: np.ndarray
    neurons: np.ndarray
    hidden: np.ndarray
    head_size: np.ndarray

    @classmethod
    def of(cls, subnets: Iterable[Subnet]) -> Counts:
        """The counts of sub-networks."""
        listed = list(subnets)
        layers = len(listed[0].heads) if listed else 0
        return cls(
            np.array([[count(u) for u in s.heads] for s in listed], dtype=np.int64).reshape(len(listed), layers),
            np.array([[count(u) for u in s.neurons] for s in listed], dtype=np.int64).reshape(len(listed), layers),
            np.array([count(s.hidden) for s in listed], dtype=np.int64),
            np.array([count(s.head_size) for s in listed], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.hidden)

    def take(self, rows: np.ndarray | slice) -> Counts:
        """Some of the sub-networks."""
        return Counts(self.heads[rows], self.neurons[rows], self.hidden[rows], self.head_size[rows])

    def chunks(self, size: int = 100_000) -> Iterator[Counts]:
        """The sub-networks in pieces, so that what is computed of them fits into memory."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))
