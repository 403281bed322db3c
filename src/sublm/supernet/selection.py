"""Which entries of one weight axis are in use, and how a weight is cut to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """The first `keep` of every `size` entries, in each of the first `groups` groups (heads of reduced size)."""

    groups: int
    size: int
    keep: int

    def __len__(self) -> int:
        return self.groups * self.keep


Selection = int | Grid | Tensor | None
"""Entries in use: None all, an int the first ones, a Grid a part of every head, a tensor those indices."""


def take(weight: Tensor, axis: int, selection: Selection) -> Tensor:
    """Cuts one axis of a weight to the entries in use; a prefix is a view, anything else a copy.

    Args:
        weight: Any tensor.
        axis: The axis to cut, counted from the front.
        selection: The entries in use.

    Returns:
        The weight itself if all entries are in use, else its cut.
    """
    if selection is None:
        return weight
    if isinstance(selection, int):
        return weight.narrow(axis, 0, selection)
    if isinstance(selection, Grid):
        grouped = weight.unflatten(axis, (-1, selection.size))
        return grouped.narrow(axis, 0, selection.groups).narrow(axis + 1, 0, selection.keep).flatten(axis, axis + 1)
    return weight.index_select(axis, selection.to(weight.device))


def select(kept: int | tuple[int, ...], total: int) -> Selection:
    """The selection that keeps a count or given indices of an axis with `total` entries."""
    if isinstance(kept, int):
        return None if kept == total else kept
    return torch.from_numpy(_array(kept))


def _array(kept: int | tuple[int, ...]) -> NDArray[np.int64]:
    """Indices as an array: made faster than `torch.tensor` makes a tensor; activation waits for this."""
    return np.arange(kept) if isinstance(kept, int) else np.fromiter(kept, np.int64, len(kept))


def select_heads(
    heads: int | tuple[int, ...], head_size: int | tuple[int, ...], total_heads: int, total_size: int
) -> Selection:
    """The selection on an axis of `total_heads x total_size` entries.

    Covers both published head strategies (AutoTinyBERT, section 3): keep the head size and drop heads, or keep the
    number of heads and shrink every one.
    """
    if head_size == total_size:
        if isinstance(heads, int):
            return None if heads == total_heads else heads * total_size
        return _within(heads, total_size, total_size)
    if isinstance(heads, int) and isinstance(head_size, int):
        return Grid(heads, total_size, head_size)
    return _within(heads, head_size, total_size)


def stack(selection: Selection, times: int, total: int) -> Selection:
    """The selection on an axis on which the same axis of `total` entries lies several times, one behind the other."""
    if selection is None:
        return None
    if isinstance(selection, int):
        return Grid(times, total, selection)
    if isinstance(selection, Grid):
        selection = take(torch.arange(total), 0, selection)
    return torch.cat([selection + number * total for number in range(times)])


def _within(heads: int | tuple[int, ...], dims: int | tuple[int, ...], size: int) -> Tensor:
    """Indices of some dimensions of some heads."""
    return torch.from_numpy((_array(heads)[:, None] * size + _array(dims)).ravel())
