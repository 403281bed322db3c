"""A few lengths that stand for the lengths of a task's texts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sublm.errors import LatencyError


def representative_lengths(lengths: Iterable[int], samples: int = 16) -> tuple[int, ...]:
    """Evenly spaced quantiles of a distribution of lengths.

    Their mean is close to the distribution's, long tail included, and so is the mean latency over them.

    Args:
        lengths: Number of tokens of every text.
        samples: How many lengths to keep; fewer texts than that are all kept.

    Returns:
        Ascending lengths.

    Raises:
        LatencyError: If there are no lengths, or one is not positive.
    """
    found = np.sort(np.asarray(list(lengths), dtype=np.int64))
    if not found.size or found[0] < 1:
        raise LatencyError(f"length needs one or more positive numbers of tokens; got {found[:5].tolist()}.")
    if samples < 1:
        raise LatencyError(f"samples must be at least 1; got {samples}.")
    if found.size <= samples:
        return tuple(found.tolist())
    middles = (np.arange(samples) + 0.5) / samples * found.size
    return tuple(found[middles.astype(np.int64)].tolist())
