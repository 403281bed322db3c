"""A latency model that is additive in the halves and units of a sub-network, fitted on measured ones.

The time of attention and FFN blocks adds up closely, so a handful of non-negative coefficients and tens of
measurements do what published predictors use a large network and thousands of measurements for (AutoTinyBERT,
section 3.4; HAT, section 3.2).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sublm.costs.closed_form import cost_model
from sublm.costs.latency import Candidate, Latency, measure_latency
from sublm.errors import LatencyError
from sublm.machine import describe_machine
from sublm.spaces.subnet import Subnet, count

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

FEATURES = (
    "constant",
    "hidden",
    "attention halves x hidden",
    "heads x head size x hidden",
    "heads x head size",
    "ffn halves x hidden",
    "neurons x hidden",
)
"""What the latency is a non-negative combination of; "heads x head size" and "neurons" are summed over the layers."""

_FOLDS = 5
_PARAMETERS_AT_ONCE = 500_000_000  # extracted models kept in memory together


def features(subnet: Subnet) -> tuple[float, ...]:
    """The features of a sub-network, in the order of `FEATURES`."""
    hidden, head_size = count(subnet.hidden), count(subnet.head_size)
    heads, neurons = [count(u) for u in subnet.heads], [count(u) for u in subnet.neurons]
    width = sum(heads) * head_size
    attention, ffn = sum(h > 0 for h in heads), sum(n > 0 for n in neurons)
    return (1.0, hidden, attention * hidden, width * hidden, width, ffn * hidden, sum(neurons) * hidden)


@dataclass(frozen=True)
class LatencyPredictor:
    """Predicts the latency of a sub-network; call it with one.

    Attributes:
        coefficients: Milliseconds per unit of every feature, none negative.
        error: Mean absolute error on held-out sub-networks (cross-validation), as a share of their latency.
        tau: Kendall's rank correlation on them.
        points: Number of sub-networks measured.
        statistic: What of the measured latencies is predicted: "minimum" or "median".
        conditions: Runtime, precision, threads, length, batch and device of the measurements.
        machine: What they were made on.
    """

    coefficients: tuple[float, ...]
    error: float
    tau: float
    points: int
    statistic: str
    conditions: Mapping[str, Any]
    machine: Mapping[str, Any]

    def __call__(self, subnet: Subnet) -> float:
        """Milliseconds of one forward pass."""
        return sum(c * f for c, f in zip(self.coefficients, features(subnet), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "coefficients": dict(zip(FEATURES, self.coefficients, strict=True)),
            "error": self.error,
            "tau": self.tau,
            "points": self.points,
            "statistic": self.statistic,
            "conditions": dict(self.conditions),
            "machine": dict(self.machine),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyPredictor:
        """Reads what `to_dict` wrote.

        Raises:
            LatencyError: If it is something else.
        """
        try:
            found = {name: float(data["coefficients"][name]) for name in FEATURES}
            if set(data["coefficients"]) != set(FEATURES):
                raise KeyError(f"exactly the coefficients {list(FEATURES)} are needed")
            rest = {name: data[name] for name in cls.__dataclass_fields__ if name != "coefficients"}
        except (KeyError, TypeError, ValueError) as error:
            raise LatencyError(f"This is not a latency predictor: {error}. Fit it again with fit_latency.") from None
        return cls(coefficients=tuple(found.values()), **rest)

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> LatencyPredictor:
        """Reads what `to_json` wrote."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise LatencyError(f"A latency predictor must be JSON: {error}.") from None


def fit_latency(
    supernet: SuperNet,
    subnets: Sequence[Subnet],
    *,
    prepare: Callable[[Any], Candidate] | None = None,
    statistic: Literal["minimum", "median"] = "minimum",
    measure: Callable[..., Mapping[str, Latency]] = measure_latency,
    seed: int = 0,
    **options: Any,
) -> LatencyPredictor:
    """Measures extracted sub-networks and fits a predictor of their latency.

    The largest sub-network is measured too. What search then chooses is measured again by the caller.

    Args:
        supernet: The super-network.
        subnets: Some tens of sub-networks, spread over the sizes that will be asked for.
        prepare: Turns an extracted model into what is measured, such as the path of its ONNX file.
        statistic: What is predicted; the minimum is the steadier one on a busy machine.
        measure: `measure_latency`, or a function like it.
        seed: Of the measurement and of the folds.
        **options: Passed on to `measure`: runtime, precision, threads, length, batch, rounds, ...

    Returns:
        The predictor, with its held-out error.

    Raises:
        LatencyError: If there are too few sub-networks, or one cannot be measured.
    """
    chosen = list(dict.fromkeys([supernet.largest, *subnets]))
    if len(chosen) < 2 * len(FEATURES):
        raise LatencyError(
            f"{len(chosen)} different sub-networks are too few to fit a latency model; "
            f"give at least {2 * len(FEATURES) - 1} besides the largest, better 30."
        )
    # the groups are measured one after the other, so which group a size falls into must be chance
    order = np.random.default_rng(seed).permutation(len(chosen))
    latencies: dict[str, Latency] = {}
    for group in _groups(supernet, [chosen[i] for i in order]):
        models: dict[str, Any] = {subnet.key: supernet.extract(subnet) for subnet in group}
        if prepare is not None:
            models = {name: prepare(model) for name, model in models.items()}
        latencies |= measure(models, seed=seed, **options)
        del models
    rows = np.array([features(subnet) for subnet in chosen])
    times = np.array([getattr(latencies[subnet.key], statistic) for subnet in chosen])
    error, tau = _held_out(rows, times, seed)
    sample = latencies[supernet.largest.key].to_dict()
    return LatencyPredictor(
        coefficients=tuple(_fit(rows, times).tolist()),
        error=error,
        tau=tau,
        points=len(chosen),
        statistic=statistic,
        conditions={k: sample[k] for k in ("runtime", "precision", "threads", "length", "batch", "device")},
        machine=describe_machine(),
    )


def _groups(supernet: SuperNet, subnets: Sequence[Subnet]) -> Iterator[list[Subnet]]:
    """Groups of sub-networks that are held in memory and measured against each other."""
    group: list[Subnet] = []
    held = 0
    for subnet in subnets:
        size = cost_model(supernet).parameters(subnet)
        if group and held + size > _PARAMETERS_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(subnet)
        held += size
    yield group


def _fit(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Non-negative coefficients of least relative error: `[points, features]`, `[points]` -> `[features]`."""
    from scipy.optimize import nnls

    scale = rows.max(axis=0)  # features differ by orders of magnitude
    found, _ = nnls(rows / scale / times[:, None], np.ones(len(times)))
    return found / scale


def _held_out(rows: np.ndarray, times: np.ndarray, seed: int) -> tuple[float, float]:
    """Mean absolute error, as a share of the time, and Kendall's tau of predictions for points the fit has not seen."""
    from scipy.stats import kendalltau

    order = np.random.default_rng(seed).permutation(len(times))
    predicted = np.empty(len(times))
    for fold in range(_FOLDS):
        test = order[fold::_FOLDS]
        train = np.setdiff1d(order, test)
        predicted[test] = rows[test] @ _fit(rows[train], times[train])
    tau = float(kendalltau(predicted, times).statistic)
    error = float(np.mean(np.abs(predicted / times - 1)))
    return error, 0.0 if math.isnan(tau) else tau
