"""Expected improvement, in logarithms: of one objective, and of the hypervolume when only the first is uncertain.

Everything is minimised. The logarithms are computed as such (Ament et al. 2023, "Unexpected improvements to expected
improvement"): where improvement is unlikely the plain numbers underflow to zero and say nothing about what is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sublm.search import pareto

Array = NDArray[np.float64]


def log_mean_excess(z: Array) -> Array:
    """Log E[max(0, z - N)] = log(z Φ(z) + φ(z)) of a standard normal N; accurate for every z.

    Args:
        z: Any shape; may hold -inf and inf.
    """
    from scipy.special import erfcx, ndtr

    z = np.asarray(z, dtype=np.float64)
    result = np.full(z.shape, -np.inf)
    high = z > -1
    result[high] = np.log(np.exp(-(z[high] ** 2) / 2) / math.sqrt(2 * math.pi) + z[high] * ndtr(z[high]))
    low = (z <= -1) & (z > -1e6)
    inner = np.log(erfcx(-z[low] / math.sqrt(2)) * -z[low]) + math.log(math.pi / 2) / 2
    result[low] = -(z[low] ** 2) / 2 - math.log(2 * math.pi) / 2 + np.log(-np.expm1(inner))
    # Beyond, the bracket is 1/z² to the last digit.
    far = (z <= -1e6) & (z > -np.inf)
    result[far] = -(z[far] ** 2) / 2 - math.log(2 * math.pi) / 2 - 2 * np.log(-z[far])
    return result


def log_expected_improvement(mean: Array, deviation: Array, best: Array | float) -> Array:
    """Log E[max(0, best - Y)] for Y ~ N(mean, deviation²); shapes as numpy broadcasts them, deviations above zero."""
    return np.log(deviation) + log_mean_excess((best - mean) / deviation)


def uncovered(points: pareto.Points, corners: Array, reference: Sequence[float] | Array) -> Array:
    """The volume between each corner and the reference that no point dominates: what the corner would add.

    Args:
        points: [k, d].
        corners: [n, d].
        reference: [d].

    Returns:
        [n]; 0 for a corner that is not below the reference.
    """
    corners, limit = np.asarray(corners, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    array = np.asarray(points, dtype=np.float64).reshape(-1, corners.shape[1])
    return _uncovered(array[(array < limit).all(axis=1)], corners, limit)


def _uncovered(points: Array, corners: Array, reference: Array) -> Array:
    """Slices along the last objective: between two points the same points cover, in one objective fewer."""
    number, objectives = corners.shape
    if objectives == 0:
        return np.zeros(number) if len(points) else np.ones(number)
    if objectives == 1:
        return np.maximum(0.0, points.min(initial=float(reference[0])) - corners[:, 0])
    points = points[pareto.front(points)]
    points = points[np.argsort(points[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], points[:, -1], reference[-1:]])
    result = np.zeros(number)
    for covering in range(len(points) + 1):
        height = edges[covering + 1] - np.maximum(edges[covering], corners[:, -1])
        reached = height > 0
        if reached.any():
            rest = _uncovered(points[:covering, :-1], corners[reached, :-1], reference[:-1])
            result[reached] += height[reached] * rest
    return result


def log_expected_hypervolume_improvement(
    mean: Array, deviation: Array, costs: Array, points: pareto.Points, reference: Sequence[float] | Array
) -> Array:
    """The exact log expected hypervolume improvement when all objectives but the first are known.

    The volume that a candidate with first objective Y and costs c adds is the integral over t from Y to the reference
    of A(t), the part of the cost axes that c dominates and no point whose first objective is at most t does. A is
    constant between the points' first objectives, so its expectation is a sum, over those intervals, of A times the
    expected part of the interval above Y, which has a closed form.

    Args:
        mean: [n], of the first objective.
        deviation: [n], above zero.
        costs: [n, m - 1], the others.
        points: [k, m], what has been observed.
        reference: [m]; better values than it count.

    Returns:
        [n]; -inf where no improvement is possible.
    """
    limit = np.asarray(reference, dtype=np.float64)
    array = np.asarray(points, dtype=np.float64).reshape(-1, len(limit))
    array = array[(array < limit).all(axis=1)]
    array = array[pareto.front(array)]
    array = array[np.argsort(array[:, 0], kind="stable")]
    edges = np.concatenate([[-np.inf], array[:, 0], limit[:1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        # The expected part of an interval above Y is the difference of the expected excesses of its ends over Y.
        excess = log_mean_excess((edges - mean[:, None]) / deviation[:, None])
        lengths: Any = excess[:, 1:] + np.log(-np.expm1(np.minimum(0.0, excess[:, :-1] - excess[:, 1:])))
        areas = np.stack([_uncovered(array[:k, 1:], costs, limit[1:]) for k in range(len(array) + 1)], axis=1)
        terms = np.where(areas > 0, lengths + np.log(areas), -np.inf)
        terms = np.where(np.isnan(terms), -np.inf, terms)  # an interval without any chance: -inf less -inf
        largest = terms.max(axis=1)
        total = np.exp(terms - np.where(np.isfinite(largest), largest, 0.0)[:, None]).sum(axis=1)
        return np.asarray(np.log(deviation) + largest + np.where(total > 0, np.log(total), 0.0))


def reference_point(points: pareto.Points) -> Array:
    """A reference worse than every observation: per objective the worst, and a tenth of the range beyond it.

    The margin lets the ends of the front count. Where all observations agree it is a tenth of their size, or 1.

    Args:
        points: [n, objectives], n at least 1; rows with NaN are left out.
    """
    array = pareto.as_points(points)
    array = array[~np.isnan(array).any(axis=1)]
    worst, best = array.max(axis=0), array.min(axis=0)
    extent = worst - best
    extent = np.where(extent > 0, extent, np.where(worst != 0, np.abs(worst), 10.0))
    return np.asarray(worst + 0.1 * extent)
