"""The Gaussian process against scikit-learn's, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from sublm.search import gaussian_process
from sublm.search.gaussian_process import GaussianProcess


def data(number=40, features=3, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.random((number, features))
    return inputs, np.sin(5 * inputs[:, 0]) + inputs[:, 1] + 0.01 * rng.normal(size=number)


def test_predictions_equal_scikit_learns_under_equal_hyper_parameters():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    inputs, targets = data()
    process = GaussianProcess.fit(inputs, targets)
    noise = process.noise
    kernel = ConstantKernel(process.signal) * Matern(process.scales, nu=2.5) + WhiteKernel(noise)
    other = GaussianProcessRegressor(kernel, optimizer=None, alpha=0, normalize_y=True).fit(inputs, targets)
    new = np.random.default_rng(1).random((20, 3))
    mean, deviation = process.predict(new)
    wanted, wanted_deviation = other.predict(new, return_std=True)
    assert mean == pytest.approx(wanted, abs=1e-6)
    # scikit-learn's deviation is that of a noisy observation.
    assert deviation**2 + noise * process.unit**2 == pytest.approx(wanted_deviation**2, abs=1e-6)


def test_the_gradient_is_the_functions():
    inputs, targets = data(20)
    middle, width = gaussian_process._priors(3)
    arguments = (inputs, targets, middle, width)
    for shift in (0.0, 0.4):
        error = check_grad(
            lambda point: gaussian_process._negative_log_posterior(point, *arguments)[0],
            lambda point: gaussian_process._negative_log_posterior(point, *arguments)[1],
            middle + shift,
        )
        assert error < 1e-4


def test_what_matters_is_found_and_what_is_unseen_is_uncertain():
    inputs, targets = data(60, features=8)
    process = GaussianProcess.fit(inputs, targets)
    new, truth = data(200, features=8, seed=2)
    mean, deviation = process.predict(new)
    assert np.corrcoef(mean, truth)[0, 1] > 0.95
    assert process.scales[:2].max() < process.scales[2:].min()
    assert process.predict(np.full((1, 8), 3.0))[1] > deviation.max()


@pytest.mark.parametrize("value", [0.0, 0.7, -1e9])
def test_equal_targets_are_predicted_everywhere(value):
    inputs, _ = data(5)
    mean, deviation = GaussianProcess.fit(inputs, np.full(5, value)).predict(inputs + 0.5)
    assert mean == pytest.approx(np.full(5, value))
    assert np.isfinite(deviation).all()
    assert (deviation > 0).all()


def test_repeated_inputs_with_different_targets_are_noise():
    inputs = np.repeat(np.array([[0.0], [1.0]]), 10, axis=0)
    targets = np.concatenate([np.tile([0.0, 0.2], 5), np.tile([1.0, 1.2], 5)])
    mean, _ = GaussianProcess.fit(inputs, targets).predict(np.array([[0.0], [1.0]]))
    assert mean == pytest.approx([0.1, 1.1], abs=0.05)
