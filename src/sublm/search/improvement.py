"""Expected improvement, in logarithms: of one objective, and of the hypervolume when only the first is uncertain.

Everything is minimised. The logarithms are computed as such (Ament et al. 2023, "Unexpected improvements to expected
improvement"): where improvement is unlikely the plain numbers underflow to zero and say nothing about what is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sublm.search import pareto
from sublm.search.warping import Warping

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


def log_expected_improvement(
    mean: Array, deviation: Array, best: Array | float, warping: Warping | None = None
) -> Array:
    """Log E[max(0, best - Y)] for Y ~ N(mean, deviation²), or for the warping of such a number.

    Args:
        mean: [n].
        deviation: [n], above zero.
        best: [n] or a number, on the scale of Y.
        warping: From the scale of the normal distribution to that of Y; none if they are the same.
    """
    best = np.broadcast_to(np.asarray(best, dtype=np.float64), mean.shape)
    edges = np.empty((1, 0)) if warping is None else warping.targets[None, :]
    # An edge above the best is moved there, so that nothing counts beyond it.
    edges = np.concatenate([np.minimum(edges, best[:, None]), best[:, None]], axis=1)
    return _log_expected_lengths(mean, deviation, edges, np.ones_like(edges), warping)


def _log_expected_lengths(
    mean: Array, deviation: Array, edges: Array, heights: Array, warping: Warping | None
) -> Array:
    """Log of the sum, over intervals, of their height times their expected part above Y.

    Args:
        mean: [n], of Y on the latent scale.
        deviation: [n].
        edges: [n or 1, k], upper ends of the intervals, ascending; the first interval has no lower end. The warping
            is linear within each of them.
        heights: [n, k], at least 0.
        warping: See `log_expected_improvement`.
    """
    latent = edges if warping is None else warping.to_latent(edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        # On the latent scale the expected part is the difference of the expected excesses of the two ends over Y.
        excess = log_mean_excess((latent - mean[:, None]) / deviation[:, None])
        lower = np.concatenate([np.full((len(mean), 1), -np.inf), excess[:, :-1]], axis=1)
        parts = excess + np.log(-np.expm1(np.minimum(0.0, lower - excess)))
        terms = parts + np.log(heights)
        if warping is not None:
            slopes = np.diff(edges, axis=1) / np.diff(latent, axis=1)
            terms += np.log(np.concatenate([np.full((len(edges), 1), warping.first_slope), slopes], axis=1))
        terms = np.where(np.isnan(terms), -np.inf, terms)  # an interval that is empty or has no chance
        largest = terms.max(axis=1)
        total = np.exp(terms - np.where(np.isfinite(largest), largest, 0.0)[:, None]).sum(axis=1)
        return np.asarray(np.log(deviation) + largest + np.where(total > 0, np.log(total), 0.0))


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
    mean: Array,
    deviation: Array,
    costs: Array,
    points: pareto.Points,
    reference: Sequence[float] | Array,
    warping: Warping | None = None,
) -> Array:
    """The exact log expected hypervolume improvement when all objectives but the first are known.

    The volume that a candidate with first objective Y and costs c adds is the integral over t from Y to the reference
    of A(t), the part of the cost axes that c dominates and no point whose first objective is at most t does. A is
    constant between the points' first objectives, so its expectation is a sum, over those intervals, of A times the
    expected part of the interval above Y, which has a closed form, also for a warped normal Y.

    Args:
        mean: [n], of the first objective.
        deviation: [n], above zero.
        costs: [n, m - 1], the others.
        points: [k, m], what has been observed.
        reference: [m]; better values than it count.
        warping: From the scale of mean and deviation to that of the points; none if they are the same.

    Returns:
        [n]; -inf where no improvement is possible.
    """
    limit = np.asarray(reference, dtype=np.float64)
    array = np.asarray(points, dtype=np.float64).reshape(-1, len(limit))
    array = array[(array < limit).all(axis=1)]
    array = array[pareto.front(array)]
    array = array[np.argsort(array[:, 0], kind="stable")]
    areas = np.stack([_uncovered(array[:k, 1:], costs, limit[1:]) for k in range(len(array) + 1)], axis=1)
    bends = np.empty(0) if warping is None else warping.targets
    edges = np.unique(np.concatenate([array[:, 0], bends[bends < limit[0]], limit[:1]]))
    # The points that cover an interval are those at or below its lower end: below its upper end.
    covering = np.searchsorted(array[:, 0], edges, side="left")
    return _log_expected_lengths(mean, deviation, edges[None, :], areas[:, covering], warping)


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
