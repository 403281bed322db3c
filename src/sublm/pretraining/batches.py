"""Batches of a corpus: shuffled, masked, sharded by rank; any batch of any epoch can be made at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import DataError
from sublm.files import plain
from sublm.pretraining.corpus import Corpus
from sublm.pretraining.masking import IGNORED, Masker, Masking
from sublm.pretraining.order import EpochOrder

if TYPE_CHECKING:
    from torch import Tensor


class PieceBatches:
    """Gives the batches of an epoch, as `sublm.training.train` takes them.

    A batch depends on the arguments and its number alone, so a training that goes on at any step sees what it would
    have seen. All processes get equally many batches of disjoint rows. The last batches of an epoch may be smaller;
    fewer rows than processes are left out at its end.

    Args:
        corpus: The pieces.
        batch_size: Rows of a batch on one process. Or:
        tokens: Tokens of a batch on one process, padding included, at most; so many rows of the corpus's length.
        masking: How tokens are masked; None masks none, and all labels are -100.
        seed: Of order and masks.
        shuffle: Whether every epoch has its own order, with rows of similar length together.
        rank: Number of this process, if each shall get its own rows. (`train` itself shares out whole batches.)
        world: Number of processes.

    Raises:
        DataError: If an argument does not fit.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        batch_size: int | None = None,
        tokens: int | None = None,
        masking: Masking | None = None,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.batch_size = _rows(batch_size, tokens, corpus.length)
        if not 0 <= rank < world:
            raise DataError(f"rank={rank} must be at least 0 and below world={world}.")
        if seed < 0:
            raise DataError(f"seed={seed} must be at least 0.")
        if len(corpus) < world:
            raise DataError(f"A corpus of {len(corpus)} rows is too small for {world} processes.")
        self.corpus, self.masking, self.seed, self.shuffle = corpus, masking, seed, shuffle
        self.rank, self.world = rank, world
        self._vocabulary = corpus.vocabulary
        self._masker = Masker.of(masking, self._vocabulary) if masking is not None and masking.share else None
        self._order: tuple[int, EpochOrder] | None = None

    def __len__(self) -> int:
        """Batches per epoch, the same on every process."""
        whole, rest = divmod(len(self.corpus), self.batch_size * self.world)
        return whole + (rest >= self.world)

    def __call__(self, epoch: int) -> Iterator[dict[str, Tensor]]:
        """The batches of an epoch."""
        return self.starting_at(epoch, 0)

    def starting_at(self, epoch: int, batch: int) -> Iterator[dict[str, Tensor]]:
        """The batches of an epoch from one on; those before are not made."""
        return (self.batch(epoch, number) for number in range(batch, len(self)))

    def batch(self, epoch: int, number: int) -> dict[str, Tensor]:
        """One batch.

        Returns:
            "input_ids", "attention_mask" and "labels" (-100 where nothing is to be predicted), [rows, longest row],
            and "index", the rows' numbers in the corpus, [rows]; all int64.

        Raises:
            IndexError: If the epoch has no such batch.
        """
        import torch

        arrays = self._arrays(epoch, self.rows(epoch, number))
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def rows(self, epoch: int, number: int) -> np.ndarray:
        """The rows of a batch, by their numbers in the corpus."""
        if not 0 <= number < len(self):
            raise IndexError(f"Batch {number} of {len(self)}.")
        start = number * self.batch_size * self.world
        left = len(self.corpus) - start
        size, over = (self.batch_size, 0) if left >= self.batch_size * self.world else divmod(left, self.world)
        low = start + self.rank * size + min(self.rank, over)
        return self._epoch(epoch).rows(low, low + size + (self.rank < over))

    def identity(self) -> dict[str, Any]:
        """What decides the batches, for `train(identity=)`; the process's rank does not."""
        return {
            "corpus": self.corpus.fingerprint,
            "batch_size": self.batch_size,
            "masking": plain(self.masking),
            "seed": self.seed,
            "shuffle": self.shuffle,
        }

    def _arrays(self, epoch: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        pieces = self.corpus.rows(rows)
        lengths = np.array([len(piece) for piece in pieces])
        width = int(lengths.max())
        filled = np.arange(width) < lengths[:, None]
        ids = np.full((len(rows), width), self._vocabulary.pad, np.int64)
        ids[filled] = np.concatenate(pieces)
        labels = np.full_like(ids, IGNORED)
        if self._masker is not None:
            continues = None
            if self._masker.masking.whole_words:
                continues = np.zeros(ids.shape, bool)
                continues[filled] = np.concatenate(self.corpus.continues(rows))
            ids, labels = self._masker(ids, filled, rows, seed=self.seed, epoch=epoch, continues=continues)
        return {"input_ids": ids, "attention_mask": filled.astype(np.int64), "labels": labels, "index": rows}

    def _epoch(self, epoch: int) -> EpochOrder:
        if self._order is None or self._order[0] != epoch:
            first, count = self.corpus.segments()

            def lengths(segment: int) -> np.ndarray:
                return self.corpus.lengths(int(first[segment]), int(first[segment] + count[segment]))

            order = EpochOrder(
                first,
                count,
                seed=self.seed,
                epoch=epoch,
                shuffle=self.shuffle,
                batch=self.batch_size * self.world,
                lengths=lengths,
            )
            self._order = (epoch, order)
        return self._order[1]


def _rows(batch_size: int | None, tokens: int | None, length: int) -> int:
    if (batch_size is None) == (tokens is None):
        raise DataError("Give either batch_size or tokens.")
    if batch_size is not None:
        if batch_size < 1:
            raise DataError(f"batch_size={batch_size} must be at least 1.")
        return batch_size
    assert tokens is not None
    if tokens < length:
        raise DataError(f"tokens={tokens} of a batch hold no row of {length}; give at least {length}.")
    return tokens // length
