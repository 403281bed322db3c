"""Pareto arithmetic: dominance, ranks, crowding and hypervolume, exact and safe against NaN.

Every objective is minimised. A point with a NaN in it is worse than every other point and harms none: it comes last
in the ranks, is on no front, and adds no volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64] | Sequence[Sequence[float]]


def as_points(points: Points) -> NDArray[np.float64]:
    """Points as an array [n, objectives]; also where there are none."""
    array = np.asarray(points, dtype=np.float64) + 0.0  # -0 and 0 are one value
    return array.reshape(len(array), -1) if array.size else np.empty((len(array), 0))


def ranks(points: Points) -> NDArray[np.int64]:
    """Non-dominated sorting.

    Args:
        points: [n, objectives].

    Returns:
        The rank of every point: 0 for the front, 1 for the front once those are taken away, and so on. Equal points
        have equal ranks; points with NaN come after all others.
    """
    array = as_points(points)
    result = np.full(len(array), -1, dtype=np.int64)
    left = np.flatnonzero(~np.isnan(array).any(axis=1))
    rank = 0
    while len(left):
        first = _undominated(array[left])
        result[left[first]] = rank
        left = left[~first]
        rank += 1
    result[result < 0] = rank
    return result


def front(points: Points) -> NDArray[np.int64]:
    """Indices of the points that no other dominates, ascending; of equal points the first only."""
    array = as_points(points)
    valid = np.flatnonzero(~np.isnan(array).any(axis=1))
    if not len(valid):
        return valid
    kept = valid[_undominated(array[valid])]
    _, first = np.unique(array[kept], axis=0, return_index=True)
    return np.sort(kept[first])


def _undominated(array: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows no other row dominates; there is no NaN.

    Rows are visited in lexicographic order, in which no row can dominate an earlier one unequal to it, so each needs
    to be compared with the front found so far only.
    """
    result = np.zeros(len(array), dtype=bool)
    order = np.lexsort(array.T[::-1])
    found = np.empty_like(array)
    size = 0
    for row in order:
        known = found[:size]
        worse = (known <= array[row]).all(axis=1) & (known < array[row]).any(axis=1)
        if not worse.any():
            result[row] = True
            found[size] = array[row]
            size += 1
    return result


def crowding(points: Points) -> NDArray[np.float64]:
    """How much room each point has: NSGA-II's crowding distance among the given points.

    Returns:
        For every point the sum, over the objectives, of the distance between its two neighbours as a share of the
        whole range; infinite for a point at an end of an objective, 0 for points with NaN.
    """
    array = as_points(points)
    result = np.zeros(len(array))
    valid = np.flatnonzero(np.isfinite(array).all(axis=1))
    for column in array.T:
        order = valid[np.argsort(column[valid], kind="stable")]
        values = column[order]
        if len(order) == 0 or values[0] == values[-1]:
            continue
        gaps = np.full(len(order), np.inf)
        gaps[1:-1] = (values[2:] - values[:-2]) / (values[-1] - values[0])
        result[order] += gaps
    return result


def order(points: Points) -> NDArray[np.int64]:
    """Indices from best to worst: by rank, then by crowding within the rank (more room first), then by index."""
    rank = ranks(points)
    array = as_points(points)
    room = np.zeros(len(array))
    for level in np.unique(rank):
        members = rank == level
        room[members] = crowding(array[members])
    return np.lexsort((np.arange(len(array)), -room, rank))


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Exact volume between the points and a reference point that they should dominate.

    Points that are not better than the reference in every objective, and points with NaN, add nothing.

    Args:
        points: [n, objectives].
        reference: [objectives]; choose it once and state it, as volumes compare only under the same reference.
    """
    corner = np.asarray(reference, dtype=np.float64)
    array = as_points(points)
    if not len(array):
        return 0.0
    if array.shape[1] != len(corner):
        raise ValueError(f"The points have {array.shape[1]} objectives, the reference {len(corner)}.")
    array = array[(array < corner).all(axis=1)]  # false for NaN
    return _volume(array, corner)


def _volume(array: NDArray[np.float64], corner: NDArray[Any]) -> float:
    """Slices along the last objective; the volume of a slice has one objective fewer."""
    if not len(array):
        return 0.0
    if array.shape[1] == 1:
        return float(corner[0] - array.min())
    array = array[front(array)]
    array = array[np.argsort(array[:, -1], kind="stable")]
    if array.shape[1] == 2:
        # Along the front the first objective falls as the second grows.
        widths = corner[0] - array[:, 0]
        heights = np.append(array[1:, 1], corner[1]) - array[:, 1]
        return float(widths @ heights)
    ends = np.append(array[1:, -1], corner[-1])
    return sum(
        _volume(array[: i + 1, :-1], corner[:-1]) * float(end - array[i, -1])
        for i, end in enumerate(ends)
        if end > array[i, -1]
    )
