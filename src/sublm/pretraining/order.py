"""The order of an epoch: a shuffle that can be entered anywhere and never holds an index of all rows.

Shards are shuffled, taken in windows of a few, and the rows of a window are shuffled together. So rows that lay near
each other in the text come far apart, and only one window's files are read at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WINDOW = 16  # shards shuffled together
_POOL = 32  # batches whose rows are sorted by length together


class EpochOrder:
    """Which row stands at each position of an epoch. Every row stands at one.

    Args:
        first: [shards] number of the first row of each shard.
        count: [shards] rows of each.
        seed: Of the shuffle.
        epoch: Counted from 0; every epoch has another order.
        shuffle: Without it, rows keep their order.
        batch: Rows that are used together; batches are made of rows of similar length, and shuffled. 0 does not look
            at lengths.
        lengths: Gives the lengths of a shard's rows; needed for batches by length.
        window: Shards shuffled together.
    """

    def __init__(
        self,
        first: np.ndarray,
        count: np.ndarray,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        batch: int = 0,
        lengths: Callable[[int], np.ndarray] | None = None,
        window: int = WINDOW,
    ) -> None:
        self._first, self._count, self._window = first, count, window
        self._seed, self._epoch, self._shuffle = seed, epoch, shuffle
        self._batch, self._lengths = batch, lengths
        self._shards = self._rng(0).permutation(len(count)) if shuffle else np.arange(len(count))
        per_window = [count[self._shards[at : at + window]].sum() for at in range(0, len(count), window)]
        self._starts = np.append(0, np.cumsum(per_window)).astype(np.int64)  # positions at which windows begin
        self._made: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The rows at these positions, [stop - start] int64; takes time for the windows they lie in and no others."""
        found = []
        at = start
        while at < stop:
            number = int(np.searchsorted(self._starts, at, side="right")) - 1
            begin, end = int(self._starts[number]), min(stop, int(self._starts[number + 1]))
            found.append(self._order(number)[at - begin : end - begin])
            at = end
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _order(self, number: int) -> np.ndarray:
        if self._made is None or self._made[0] != number:
            self._made = (number, self._make(number))
        return self._made[1]

    def _make(self, number: int) -> np.ndarray:
        shards = self._shards[number * self._window : (number + 1) * self._window]
        rows = np.concatenate([np.arange(self._first[s], self._first[s] + self._count[s]) for s in shards])
        if not self._shuffle:
            return rows
        rng = self._rng(number + 1)
        order = rng.permutation(len(rows))
        if self._batch and self._lengths is not None:
            lengths = np.concatenate([self._lengths(int(s)) for s in shards])
            order = by_length(order, lengths, self._batch, -int(self._starts[number]) % self._batch, rng)
        return np.asarray(rows[order])

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, stream, len(self._count)])


def by_length(order: np.ndarray, lengths: np.ndarray, batch: int, before: int, rng: np.random.Generator) -> np.ndarray:
    """Puts rows of similar length together, batch by batch, and the batches in random order.

    Args:
        order: Shuffled rows.
        lengths: Of all rows, by number.
        batch: Rows per batch.
        before: Rows at the start that belong to a batch begun earlier.
        rng: Shuffles the batches.

    Returns:
        The same rows. Those before the first and after the last whole batch stay where they are.
    """
    order = order.copy()
    for start in range(before, len(order), batch * _POOL):
        stop = min(start + batch * _POOL, len(order))
        stop -= (stop - start) % batch
        pool = order[start:stop]
        batches = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch)
        order[start:stop] = batches[rng.permutation(len(batches))].reshape(-1)
    return order
