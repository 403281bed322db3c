"""Pareto arithmetic: dominance, ranks, crowding and hypervolume, exact and safe against NaN.

Every objective is minimised. A point with a NaN in it is worse than every other point and harms none: it comes last
in the ranks, is on no front, and adds no volume.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sublm.errors import RunError

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
    valid = ~np.isnan(array).any(axis=1)
    if valid.any():
        # Equal points have equal ranks, so each is looked at once; `unique` sorts lexicographically.
        different, which = np.unique(array[valid], axis=0, return_inverse=True)
        result[valid] = _sorted_ranks(different)[which.reshape(-1)]
    result[~valid] = result.max(initial=-1) + 1
    return result


def _sorted_ranks(array: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks of different rows in lexicographic order, in which no row dominates an earlier one.

    What a member of one front dominates, so does a member of every earlier front: the first front with no such member
    is found by bisection (Zhang et al., 2015, "ENS-BS"). With two objectives the front's last member answers for all.
    """
    if array.shape[1] == 1:
        return np.arange(len(array))
    result = np.empty(len(array), dtype=np.int64)
    if array.shape[1] == 2:
        lasts: list[float] = []
        for i, second in enumerate(array[:, 1].tolist()):
            result[i] = rank = bisect_right(lasts, second)
            lasts[rank : rank + 1] = [second]
        return result
    fronts: list[_Rows] = []
    for i, row in enumerate(array):
        result[i] = rank = bisect_left(fronts, True, key=lambda front: front.free_of(row))
        if rank == len(fronts):
            fronts.append(_Rows(array.shape[1]))
        fronts[rank].add(row)
    return result


def front(points: Points) -> NDArray[np.int64]:
    """Indices of the points that no other dominates, ascending; of equal points the first only."""
    array = as_points(points)
    valid = np.flatnonzero(~np.isnan(array).any(axis=1))
    if not len(valid):
        return valid
    different, first = np.unique(array[valid], axis=0, return_index=True)
    return np.sort(valid[first[_undominated(different)]])


def _undominated(array: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of different rows in lexicographic order no other dominates; there is no NaN.

    No row dominates an earlier one, so each needs to be compared with the front found so far only.
    """
    if array.shape[1] == 1:
        return np.arange(len(array)) == 0
    if array.shape[1] == 2:
        least = np.minimum.accumulate(array[:, 1])
        return np.append(True, array[1:, 1] < least[:-1])
    result = np.zeros(len(array), dtype=bool)
    found = _Rows(array.shape[1])
    for i, row in enumerate(array):
        if found.free_of(row):
            found.add(row)
            result[i] = True
    return result


class _Rows:
    """A growing array of rows that do not dominate each other."""

    def __init__(self, objectives: int) -> None:
        self._array = np.empty((8, objectives))
        self._size = 0

    def add(self, row: NDArray[np.float64]) -> None:
        if self._size == len(self._array):
            self._array = np.concatenate([self._array, np.empty_like(self._array)])
        self._array[self._size] = row
        self._size += 1

    def free_of(self, row: NDArray[np.float64]) -> bool:
        """Whether none of them dominates a row that is unequal to all of them."""
        return not (self._array[: self._size] <= row).all(axis=1).any()


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


def reference_point(objectives: Sequence[str], largest: Mapping[str, float]) -> tuple[float, ...]:
    """The reference point of every hypervolume that is reported: a score of 0 at the cost of the largest sub-network.

    It follows from the space alone, not from what a search found, so volumes compare between samplers, budgets and
    seeds. A sub-network that costs as much as the largest, or scores 0 or less, adds nothing.

    Args:
        objectives: As in a search: "score" and names of costs.
        largest: Costs of the largest sub-network.

    Raises:
        RunError: If a cost is missing.
    """
    missing = [name for name in objectives if name != "score" and name not in largest]
    if missing:
        raise RunError(
            f"The hypervolume over {', '.join(objectives)} needs the largest sub-network's {', '.join(missing)}; "
            f"largest= has {', '.join(sorted(largest)) or 'nothing'}."
        )
    return tuple(0.0 if name == "score" else float(largest[name]) for name in objectives)


def volume_share(points: Points, objectives: Sequence[str], largest: Mapping[str, float]) -> float:
    """The hypervolume as a share, 0 to 1, of the best there could be: a score of 1 at no cost.

    Args:
        points: [n, objectives], raw and minimised: the score negated, costs in their units.
        objectives: Names of the columns.
        largest: Costs of the largest sub-network; see `reference_point`.
    """
    corner = reference_point(objectives, largest)
    best = math.prod(1.0 if name == "score" else size for name, size in zip(objectives, corner, strict=True))
    return hypervolume(points, corner) / best


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Exact volume between the points and a reference point that they should dominate.

    Points that are not better than the reference in every objective, and points with NaN, add nothing. With up to
    three objectives the time grows with n log n; each further one multiplies it by the size of the front.

    Args:
        points: [n, objectives].
        reference: [objectives]; choose it once and state it, as volumes compare only under the same reference. See
            `reference_point` for the one that this project states.
    """
    corner = np.asarray(reference, dtype=np.float64)
    array = as_points(points)
    if not len(array):
        return 0.0
    if array.shape[1] != len(corner):
        raise ValueError(f"The points have {array.shape[1]} objectives, the reference {len(corner)}.")
    array = array[(array < corner).all(axis=1)]  # false for NaN
    if len(array) and not (np.isfinite(array).all() and np.isfinite(corner).all()):
        return math.inf
    array = array[front(array)]
    return _volume(array[np.argsort(array[:, -1], kind="stable")], corner)


def _volume(array: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    """Volume of points better than the corner, sorted by the last objective."""
    if not len(array):
        return 0.0
    objectives = array.shape[1]
    if objectives == 1:
        return float(corner[0] - array[0, 0])
    if objectives == 2:
        # What a point adds to those with a smaller second objective: up to the best first objective among them.
        before = np.minimum.accumulate(np.append(corner[0], array[:-1, 0]))
        return float(np.maximum(before - array[:, 0], 0.0) @ (corner[1] - array[:, 1]))
    # Slices along the last objective, as thick as the way to the next point; each has one objective fewer.
    thick = np.append(array[1:, -1], corner[-1]) - array[:, -1]
    if objectives == 3:
        stairs = _Stairs(float(corner[0]), float(corner[1]))
        return sum(stairs.add(x, y) * t for (x, y), t in zip(array[:, :2].tolist(), thick.tolist(), strict=True))
    total = 0.0
    for i in np.flatnonzero(thick > 0).tolist():
        slice_ = array[: i + 1, :-1]
        total += _volume(slice_[np.argsort(slice_[:, -1], kind="stable")], corner[:-1]) * float(thick[i])
    return total


class _Stairs:
    """The area between a growing set of points in the plane and a corner."""

    def __init__(self, right: float, top: float) -> None:
        # From left to right; every step is lower than the one before it. The ends are the corner's.
        self._x = [-math.inf, right]
        self._y = [top, -math.inf]
        self._area = 0.0

    def add(self, x: float, y: float) -> float:
        """Adds a point; gives the area then."""
        first = bisect_left(self._x, x)  # steps from here on are not left of the point
        height = self._y[first - 1]
        if y >= height:
            return self._area
        last, left = first, x
        # Right of the point down to it, each step that is higher gives way.
        while True:
            self._area += (self._x[last] - left) * (height - y)
            if self._y[last] < y:
                break
            left, height = self._x[last], self._y[last]
            last += 1
        self._x[first:last] = [x]
        self._y[first:last] = [y]
        return self._area
