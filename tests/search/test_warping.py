"""The change of scale is one to one, rising, and made for scores on two levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.search.warping import Warping

targets = st.lists(st.integers(-1000, 1000).map(lambda n: n / 100), min_size=1, max_size=60)


@given(targets, st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_there_and_back(seen, new):
    warping = Warping.fit(np.array(seen))
    values = np.array([*seen, *new])
    assert warping.to_targets(warping.to_latent(values)) == pytest.approx(values, abs=1e-6)


@given(targets)
def test_it_rises(seen):
    warping = Warping.fit(np.array(seen))
    latent = warping.to_latent(np.linspace(-20, 20, 100))
    assert (np.diff(latent) > 0).all()
    assert warping.first_slope > 0


def test_two_levels_are_pulled_apart():
    rng = np.random.default_rng(0)
    levels = np.concatenate([rng.normal(0, 0.01, 50), rng.normal(1, 0.01, 50)])
    latent = Warping.fit(levels).to_latent(levels)

    def within(values):
        return values[:50].std() / (values[50:].mean() - values[:50].mean())

    assert within(latent) > 5 * within(levels)
    assert latent.std() == pytest.approx(1, abs=0.1)
