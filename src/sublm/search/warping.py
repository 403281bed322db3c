"""A monotone change of scale under which scores look like a Gaussian process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_KNOTS = 24


@dataclass(frozen=True)
class Warping:
    """A rising, piecewise linear map between targets and the latent scale on which a process is fitted.

    The scores of sub-networks lie on two levels, near the whole network's and near chance, with little between. A
    process fitted to them as they are takes the levels for knowledge and is far too sure of itself in between. The
    latent scale is halfway between the targets' own and that of their ranks, which are normal by construction (the
    Gaussian copula of Salinas et al. 2020); half, because ranks alone blow up the noise on the levels.

    Attributes:
        targets: [k], knots on the targets' scale, ascending; k at least 2.
        latent: [k], the same on the latent scale, ascending.
    """

    targets: Array
    latent: Array

    @classmethod
    def fit(cls, targets: Array) -> Warping:
        """Makes the map for some finite targets."""
        from scipy.special import ndtri

        values, counts = np.unique(targets, return_counts=True)
        spread = float(targets.std())
        if len(values) < 3 or spread <= 1e-12 * float(np.abs(values).max()):
            return cls(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        ranks = ndtri((counts.cumsum() - counts / 2) / len(targets))
        latent = (ranks + (values - targets.mean()) / spread) / 2
        knots = np.unique(np.linspace(0, len(values) - 1, _MOST_KNOTS).round().astype(np.int64))
        # Outside, the map goes on as it runs over the outermost quarter: two neighbours alone would give any slope.
        quarter = max(1, len(knots) // 4)
        ends = []
        for end, inner in ((knots[0], knots[quarter]), (knots[-1], knots[-1 - quarter])):
            ends.append((2 * values[end] - values[inner], 2 * latent[end] - latent[inner]))
        (low, low_latent), (high, high_latent) = ends
        return cls(
            np.concatenate([[low], values[knots], [high]]), np.concatenate([[low_latent], latent[knots], [high_latent]])
        )

    @property
    def first_slope(self) -> float:
        """Targets per latent unit below the first knot."""
        return float((self.targets[1] - self.targets[0]) / (self.latent[1] - self.latent[0]))

    def to_latent(self, targets: Array) -> Array:
        """Targets on the latent scale; linear beyond the knots."""
        return _interpolate(targets, self.targets, self.latent)

    def to_targets(self, latent: Array) -> Array:
        """The inverse of `to_latent`."""
        return _interpolate(latent, self.latent, self.targets)


def _interpolate(at: Array, x: Array, y: Array) -> Array:
    at = np.asarray(at, dtype=np.float64)
    piece = np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2)
    slope = np.diff(y) / np.diff(x)
    return np.asarray(y[piece] + slope[piece] * (at - x[piece]))
