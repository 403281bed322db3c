"""A latency model that is additive in the halves and units of a sub-network.

The time of attention and FFN blocks adds up closely, so a few non-negative coefficients and tens of measurements do
what published predictors use a large network and thousands of measurements for (AutoTinyBERT, section 3.4; HAT,
section 3.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublm.costs.counts import Counts
from sublm.errors import LatencyError

FORMS = ("plain", "bent", "cached")
"""From the fewest coefficients to the most; see `features`."""

_KNOTS = (0.125, 0.375)  # shares of the widest half at which its price per unit may change
_FILLS = (0.1, 0.2, 0.4, 0.6, 0.8)  # shares of the most weights at which the price per weight may change
_FOLDS = 5
_ROUNDS = 8  # of re-weighting


def feature_names(form: str) -> tuple[str, ...]:
    """Names of the features of a form, in order."""
    names: tuple[str, ...] = (
        "constant",
        "hidden",
        "attention halves",
        "attention halves x hidden",
        "heads",
        "heads x head size",
        "heads x head size x hidden",
        "ffn halves",
        "ffn halves x hidden",
        "neurons",
        "neurons x hidden",
    )
    if form == "bent":
        for what in ("heads", "neurons"):
            names += tuple(f"{what} x hidden, part {part}" for part in range(1, len(_KNOTS) + 2))
    if form == "cached":
        names += tuple(f"weights, part {part}" for part in range(1, len(_FILLS) + 2))
    return names


def features(counts: Counts, form: str, widest: Mapping[str, int]) -> np.ndarray:
    """What the latency is a non-negative combination of, [N, features].

    The plain form sums, over the layers, a price per half, per head and per neuron, each by itself and by the hidden
    size. The bent form lets the price of a unit depend on how many a half has: narrow matrices use the processor
    worse than wide ones, so a half's time is a rising, piecewise linear function of its width. The cached form lets the
    price of a weight depend on how many there are in all, which decides the cache they are read from.

    Args:
        counts: N sub-networks.
        form: One of `FORMS`.
        widest: Most "heads" and "neurons" of a half, and most "weights" of all halves, which place the bends.
    """
    h = counts.hidden.astype(np.float64)
    heads, neurons = counts.heads.astype(np.float64), counts.neurons.astype(np.float64)
    width = heads.sum(axis=1) * counts.head_size
    attention, ffn = (heads > 0).sum(axis=1), (neurons > 0).sum(axis=1)
    columns = [
        np.ones_like(h),
        h,
        attention,
        attention * h,
        heads.sum(axis=1),
        width,
        width * h,
        ffn,
        ffn * h,
        neurons.sum(axis=1),
        neurons.sum(axis=1) * h,
    ]
    if form == "bent":
        for units, most in ((heads, widest["heads"]), (neurons, widest["neurons"])):
            columns += [part.sum(axis=1) * h for part in _parts(units, _KNOTS, most)]
    if form == "cached":
        columns += _parts(weights_of(counts), _FILLS, widest["weights"])
    return np.stack(columns, axis=1).astype(np.float64)


def _parts(amounts: np.ndarray, shares: Sequence[float], most: float) -> list[np.ndarray]:
    """Amounts cut at shares of the most there can be; the parts add up to the amounts."""
    ends = [0.0, *(share * most for share in shares), np.inf]
    return [np.clip(amounts - low, 0, high - low) for low, high in itertools.pairwise(ends)]


def weights_of(counts: Counts) -> np.ndarray:
    """Weights of the halves' matrices, [N]."""
    width = counts.heads.sum(axis=1) * counts.head_size
    return np.asarray((4 * width + 2 * counts.neurons.sum(axis=1)) * counts.hidden)


@dataclass(frozen=True)
class AdditiveModel:
    """Milliseconds as a non-negative combination of features.

    Attributes:
        form: One of `FORMS`.
        coefficients: Milliseconds per unit of every feature, none negative.
        widest: See `features`.
    """

    form: str
    coefficients: tuple[float, ...]
    widest: Mapping[str, int]

    kind = "additive"

    def predict(self, counts: Counts) -> np.ndarray:
        """Milliseconds, [N]."""
        prices = np.array(self.coefficients)
        parts = [features(part, self.form, self.widest) @ prices for part in counts.chunks()]
        return np.concatenate([np.zeros(0), *parts])  # of nothing, nothing

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        named = dict(zip(feature_names(self.form), self.coefficients, strict=True))
        return {"kind": self.kind, "form": self.form, "coefficients": named, "widest": dict(self.widest)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AdditiveModel:
        """Reads what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        names = feature_names(data["form"]) if data["form"] in FORMS else ()
        if set(data["coefficients"]) != set(names):
            raise ValueError(f"the form {data['form']!r} has exactly the coefficients {list(names)}")
        widest = {name: int(data["widest"][name]) for name in ("heads", "neurons", "weights")}
        return cls(data["form"], tuple(float(data["coefficients"][name]) for name in names), widest)


def fit_additive(counts: Counts, times: np.ndarray, seed: int = 0) -> AdditiveModel:
    """Fits every form and keeps the one that predicts best what it has not seen; the simpler one if they are close.

    Args:
        counts: N measured sub-networks.
        times: Their latencies in milliseconds, [N].
        seed: Of the folds.
    """
    widest = {
        "heads": int(counts.heads.max()),
        "neurons": int(counts.neurons.max()),
        "weights": int(weights_of(counts).max()),
    }
    order = np.random.default_rng(seed).permutation(len(times))
    best, least = FORMS[0], np.inf
    for form in FORMS:
        rows = features(counts, form, widest)
        if form != FORMS[0] and rows.shape[1] > len(times) / 2:
            continue
        missed = np.empty(len(times))
        for fold in range(_FOLDS):
            test, train = order[fold::_FOLDS], np.delete(order, np.s_[fold::_FOLDS])
            missed[test] = np.abs(rows[test] @ solve(rows[train], times[train]) / times[test] - 1)
        # the median: a few disturbed measurements must not decide
        found = float(np.median(missed))
        if found < 0.97 * least:
            best, least = form, found
    return AdditiveModel(best, tuple(solve(features(counts, best, widest), times).tolist()), widest)


def solve(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Non-negative coefficients of least relative error, disturbed measurements counting less.

    Non-negative least squares, re-weighted after Huber: latencies err upwards, some of them far.

    Args:
        rows: Features, [N, features].
        times: Milliseconds, [N].

    Returns:
        Coefficients, [features].

    Raises:
        LatencyError: If no coefficients are found.
    """
    from scipy.optimize import nnls

    scale = rows.max(axis=0)  # features differ by orders of magnitude
    scale[scale == 0] = 1.0
    relative = rows / scale / times[:, None]
    weights = np.ones(len(times))
    for _ in range(_ROUNDS):
        try:
            found, _ = nnls(relative * weights[:, None], weights)
        except RuntimeError as error:  # its iterations are spent
            raise LatencyError(
                f"No latency model could be fitted to {len(times)} measurements: {str(error).rstrip('.')}. "
                "Measure more sub-networks, or the same ones in more rounds."
            ) from error
        missed = np.abs(relative @ found - 1)
        usual = 1.4826 * float(np.median(missed))
        if usual < 1e-6:
            break
        weights = np.sqrt(np.minimum(1.0, 1.5 * usual / np.maximum(missed, 1e-12)))
    return np.asarray(found / scale)
