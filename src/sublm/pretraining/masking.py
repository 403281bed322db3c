"""Dynamic masking: other tokens are hidden in every epoch, always the same for the same seed, epoch and row.

The random numbers are a hash of seed, epoch, row and place rather than a generator's stream, so that a row is masked
alike in whatever batch, process or width of padding it comes, and a whole batch costs a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sublm.errors import DataError
from sublm.pretraining.vocabulary import Vocabulary

IGNORED = -100  # label of a token that is not to be predicted

_CHOOSE, _REPLACE, _DRAW = 1, 2, 3  # independent random numbers for one place


@dataclass(frozen=True)
class Masking:
    """How tokens are masked.

    Attributes:
        share: Of the tokens of a row that are not special, at most so many are chosen, rounded down. 0 chooses none.
        whole_words: Choose words, not tokens. A word that would exceed the share is passed over.
        masked: Share of the chosen that become the mask token.
        random: Share of the chosen that become another token, drawn evenly; the rest stay as they are.
    """

    share: float = 0.15
    whole_words: bool = False
    masked: float = 0.8
    random: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise DataError(f"share={self.share} of masked tokens must be at least 0 and below 1; 0.15 is usual.")
        if self.masked < 0 or self.random < 0 or self.masked + self.random > 1:
            raise DataError(f"masked={self.masked} and random={self.random} must be shares that add up to 1 at most.")


@dataclass(frozen=True)
class Masker:
    """Masks batches.

    Attributes:
        masking: How.
        mask: The mask token.
        special: [vocabulary] whether a token is special: never chosen, never drawn.
        ordinary: The tokens that are not.
    """

    masking: Masking
    mask: int
    special: np.ndarray
    ordinary: np.ndarray

    @classmethod
    def of(cls, masking: Masking, vocabulary: Vocabulary) -> Masker:
        """The masker for a vocabulary.

        Raises:
            DataError: If it has no mask token.
        """
        if vocabulary.mask is None:
            raise DataError("The tokenizer has no mask token: this model was not made for masked language modelling.")
        special = np.zeros(vocabulary.size, bool)
        special[list({*vocabulary.special, vocabulary.mask, vocabulary.pad})] = True
        return cls(masking, vocabulary.mask, special, np.flatnonzero(~special))

    def __call__(
        self,
        ids: np.ndarray,
        filled: np.ndarray,
        rows: np.ndarray,
        *,
        seed: int,
        epoch: int,
        continues: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masks a batch.

        Args:
            ids: [rows, width] int64 token numbers.
            filled: [rows, width] whether a place holds a token and no padding.
            rows: [rows] their numbers in the corpus.
            seed: Of the masks.
            epoch: Counted from 0.
            continues: [rows, width] whether a token goes on with the word before it; for whole words.

        Returns:
            The ids with masks, and the labels: the ids at chosen places and -100 elsewhere. Both [rows, width] int64.
        """
        candidates = filled & ~self.special[ids]
        key = row_keys(seed, epoch, rows)
        chances = uniform(key, ids.shape[1], _CHOOSE)
        budget = np.floor(self.masking.share * candidates.sum(1) + 1e-9).astype(np.int64)
        if self.masking.whole_words:
            if continues is None:
                raise DataError("Whole words need to know where words begin: give continues=.")
            chosen = choose_words(candidates, continues, chances, budget)
        else:
            chosen = choose_tokens(candidates, chances, budget)
        fate = uniform(key, ids.shape[1], _REPLACE)
        becomes_mask = chosen & (fate < self.masking.masked)
        becomes_other = chosen & ~becomes_mask & (fate < self.masking.masked + self.masking.random)
        masked = np.where(becomes_mask, self.mask, ids)
        drawn = uniform(key, ids.shape[1], _DRAW)[becomes_other]
        masked[becomes_other] = self.ordinary[(drawn * len(self.ordinary)).astype(np.int64)]
        return masked, np.where(chosen, ids, IGNORED)


def choose_tokens(candidates: np.ndarray, chances: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """The `budget` candidates of each row with the least chances.

    Args:
        candidates: [rows, width] bool.
        chances: [rows, width] in [0, 1).
        budget: [rows] at most the number of candidates, and less than the width.

    Returns:
        [rows, width] bool.
    """
    scores = np.where(candidates, chances, 2.0)
    limits = np.take_along_axis(np.sort(scores, axis=1), budget[:, None], axis=1)
    chosen: np.ndarray = (scores < limits) & candidates
    return chosen


def choose_words(candidates: np.ndarray, continues: np.ndarray, chances: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Whole words of each row in random order, as long as they fit; one that does not is passed over.

    Args:
        candidates: [rows, width] bool.
        continues: [rows, width] whether a token goes on with the word before it.
        chances: [rows, width]; those of words' first tokens count.
        budget: [rows] tokens at most.

    Returns:
        [rows, width] bool.
    """
    height, width = candidates.shape
    if not height or not width:
        return np.zeros_like(candidates)
    begins = candidates.copy()
    begins[:, 1:] &= ~(continues[:, 1:] & candidates[:, :-1])
    word = np.maximum(np.cumsum(begins, axis=1) - 1, 0)  # [rows, width] number of the word in its row
    flat = (word + np.arange(height)[:, None] * width)[candidates]
    sizes = np.bincount(flat, minlength=height * width).reshape(height, width)
    scores = np.full((height, width), 2.0)
    at_row, at_place = np.nonzero(begins)
    scores[at_row, word[at_row, at_place]] = chances[at_row, at_place]
    order = np.argsort(scores, axis=1)
    ordered = np.take_along_axis(sizes, order, axis=1)
    taken = np.zeros((height, width), bool)
    left = budget.copy()
    for place in range(int((sizes > 0).sum(1).max(initial=0))):
        fits = (ordered[:, place] > 0) & (ordered[:, place] <= left)
        left = left - np.where(fits, ordered[:, place], 0)
        taken[:, place] = fits
        if not left.any():
            break
    chosen_words = np.zeros((height, width), bool)
    np.put_along_axis(chosen_words, order, taken, axis=1)
    chosen: np.ndarray = np.take_along_axis(chosen_words, word, axis=1) & candidates
    return chosen


def row_keys(seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """[rows] uint64, one for each row, seed and epoch."""
    key = mix(np.full(1, seed, np.uint64))
    key = mix(key ^ np.uint64(epoch))
    return mix(key ^ mix(np.asarray(rows).astype(np.uint64)))


def uniform(key: np.ndarray, width: int, stream: int) -> np.ndarray:
    """[rows, width] random numbers in [0, 1), each decided by its row's key, its place and the stream."""
    places = mix(np.arange(width, dtype=np.uint64) + np.uint64(stream << 32))
    hashed = mix(key[:, None] ^ places[None, :])
    numbers: np.ndarray = (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def mix(values: np.ndarray) -> np.ndarray:
    """A hash of each number: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014) after its increment."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
