"""Packing: which tokens of a text make a piece. Pure functions of lengths; tokens keep their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np

Packing = Literal["sentences", "stream", "dense"]
"""How pieces are filled.

sentences: whole sentences of one document, until the next would not fit.
stream: so too, but on into the next document, after a separator (RoBERTa's "full sentences").
dense: on into the next document, and sentences are cut where a piece is full.
"""

PACKINGS: tuple[str, ...] = get_args(Packing)


def pack_sentences(lengths: Iterable[int], capacity: int, first: int | None = None) -> list[int]:
    """Where pieces end that are filled with whole sentences, greedily.

    A sentence of more than `capacity` tokens starts a piece of its own and is cut where pieces are full; what follows
    it fills up its last piece.

    Args:
        lengths: Tokens of each sentence.
        capacity: Tokens of a piece, at most.
        first: Tokens of the first piece, at most, unless its first sentence is longer but fits into `capacity`.

    Returns:
        Rising ends, in tokens from the start; the last is the sum of the lengths.
    """
    ends: list[int] = []
    begin = position = 0
    room = first or capacity
    for length in lengths:
        if position > begin and position + length - begin > room:
            ends.append(position)
            begin, room = position, capacity
        position += length
        if position - begin > capacity:
            while position - begin > room:
                begin += room
                ends.append(begin)
                room = capacity
    if position > begin:
        ends.append(position)
    return ends


def pack_dense(total: int, capacity: int, first: int | None = None) -> list[int]:
    """Where pieces end that are all full but the last (and the first, if it is given less room)."""
    if not total:
        return []
    return [*range(min(first or capacity, total), total, capacity), total]


def first_room(rng: np.random.Generator, capacity: int) -> int:
    """Room of the first piece in a further copy of a text, so that all its pieces begin elsewhere."""
    least = max(2, capacity // 4)
    return int(rng.integers(least, capacity)) if least < capacity else capacity
