"""A Gaussian process: a smooth function guessed from a few noisy values, with how sure the guess is.

Written here rather than taken from scikit-learn because a search refits it at every proposal: the gradient of the
evidence is computed without the [n, n, d] array of differences, which makes a fit some tens of times faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 40
"""Steps of the optimiser; the posterior is flat long before in every case tried."""

_JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcess:
    """A process fitted to data: Matérn 5/2 kernel with a length scale per feature, plus noise.

    Attributes:
        inputs: [n, d], what it was fitted to.
        scales: [d], length scales.
        signal: Variance of the function, in units of the targets' variance.
        noise: Variance of an observation around it, in the same units.
        centre: Mean of the targets.
        unit: Standard deviation of the targets (1 if they are all equal).
        standard: [n], the standardised targets.
        cholesky: [n, n], lower factor of the covariance of the targets.
        weights: [n], the inverse covariance times the standardised targets.
    """

    inputs: Array
    scales: Array
    signal: float
    noise: float
    centre: float
    unit: float
    standard: Array
    cholesky: Array
    weights: Array

    @classmethod
    def fit(cls, inputs: Array, targets: Array) -> GaussianProcess:
        """Finds the most probable hyper-parameters.

        The priors are those of Hvarfner et al. (2024, "Vanilla Bayesian optimization performs great in high
        dimensions"): length scales grow with the square root of the number of features, so that tens of features and
        tens of observations do not fit noise.

        Args:
            inputs: [n, d], about 0 to 1; n at least 1.
            targets: [n], finite.
        """
        from scipy.optimize import minimize

        inputs = np.ascontiguousarray(inputs, dtype=np.float64)
        centre = float(targets.mean())
        spread = float(targets.std())
        # Equal numbers have a spread of a few last digits; dividing by it would make a function of rounding.
        unit = spread if spread > 1e-12 * max(1.0, abs(centre)) else 1.0
        standard = (targets - centre) / unit if unit == spread else np.zeros(len(targets))
        middle, width = _priors(inputs.shape[1])
        found = minimize(
            lambda point: _negative_log_posterior(point, inputs, standard, middle, width),
            middle,
            jac=True,
            method="L-BFGS-B",
            bounds=[(m - 4 * w, m + 4 * w) for m, w in zip(middle, width, strict=True)],
            options={"maxiter": _STEPS},
        )
        signal, noise, scales = _unpack(found.x)
        return cls._given(inputs, scales, signal, noise + _JITTER, centre, unit, standard)

    @classmethod
    def _given(
        cls, inputs: Array, scales: Array, signal: float, noise: float, centre: float, unit: float, standard: Array
    ) -> GaussianProcess:
        """The process under given hyper-parameters; `standard` are the standardised targets."""
        from scipy.linalg import cho_solve

        covariance = signal * _matern(_squares(inputs, inputs, scales))[0]
        cholesky = np.asarray(np.linalg.cholesky(covariance + noise * np.eye(len(inputs))), dtype=np.float64)
        weights = cho_solve((cholesky, True), standard)
        return cls(inputs, scales, signal, noise, centre, unit, standard, cholesky, weights)

    def believing(self, inputs: Array) -> GaussianProcess:
        """The process once it has seen its own means come true at some inputs, [m, d].

        Nowhere does its mean change, but near these inputs it is surer of it.
        """
        seen = (self.predict(inputs)[0] - self.centre) / self.unit
        everything, standard = np.concatenate([self.inputs, inputs]), np.concatenate([self.standard, seen])
        return self._given(everything, self.scales, self.signal, self.noise, self.centre, self.unit, standard)

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, without the noise of an observation.

        Args:
            inputs: [m, d].

        Returns:
            [m] and [m], in the targets' units.
        """
        from scipy.linalg import solve_triangular

        covariance = self.signal * _matern(_squares(inputs, self.inputs, self.scales))[0]
        known = solve_triangular(self.cholesky, covariance.T, lower=True)
        variance = np.maximum(self.signal - (known**2).sum(axis=0), 1e-12 * self.signal)
        return self.centre + self.unit * (covariance @ self.weights), self.unit * np.sqrt(variance)


def _priors(features: int) -> tuple[Array, Array]:
    """Means and standard deviations of the normal priors on the logarithms of signal, noise and length scales."""
    middle = np.full(2 + features, math.sqrt(2) - 3 + math.log(max(1, features)) / 2)
    width = np.full(2 + features, math.sqrt(3))
    middle[:2] = 0.0, -4.0
    width[:2] = 1.0, 1.5
    return middle, width


def _unpack(point: Array) -> tuple[float, float, Array]:
    signal, noise = np.exp(point[:2])
    return float(signal), float(noise), np.exp(point[2:])


def _squares(first: Array, second: Array, scales: Array) -> Array:
    """Squared scaled distances, [n, m]."""
    a, b = first / scales, second / scales
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))


def _matern(squares: Array) -> tuple[Array, Array]:
    """The kernel of unit variance at squared distances, and minus twice its derivative by them."""
    root = np.sqrt(5 * squares)
    decay = np.exp(-root)
    return (1 + root + 5 * squares / 3) * decay, 5 / 3 * (1 + root) * decay


def _negative_log_posterior(
    point: Array, inputs: Array, targets: Array, middle: Array, width: Array
) -> tuple[float, Array]:
    """Minus the logarithm of evidence times prior (constants left out), and its gradient."""
    from scipy.linalg import cho_solve, lapack

    signal, noise, scales = _unpack(point)
    kernel, slope = _matern(_squares(inputs, inputs, scales))
    covariance = signal * kernel
    covariance[np.diag_indices_from(covariance)] += noise + _JITTER
    cholesky = np.linalg.cholesky(covariance)
    weights = cho_solve((cholesky, True), targets)
    inverse: Any = lapack.dpotri(cholesky, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    distance = (point - middle) / width
    value = targets @ weights / 2 + np.log(np.diag(cholesky)).sum() + distance @ distance / 2
    # d value / d t = trace(rest · dK/dt) / 2 (Rasmussen and Williams 2006, equation 5.9).
    rest = inverse - np.outer(weights, weights)
    gradient = distance / width
    gradient[0] += signal * (rest * kernel).sum() / 2
    gradient[1] += noise * np.trace(rest) / 2
    # dK_ij / d log l = signal · slope_ij · (x_i - x_j)² / l²: summed over i and j by expanding the square.
    moved = signal * rest * slope
    squares = 2 * (moved.sum(axis=1) @ inputs**2 - ((moved @ inputs) * inputs).sum(axis=0))
    gradient[2:] += squares / scales**2 / 2
    return float(value), gradient
