"""Latency predictors: fitted on tens of measured sub-networks, with what they promise to miss by."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sublm.costs.additive import AdditiveModel, fit_additive
from sublm.costs.counts import Counts
from sublm.costs.latency import Candidate, Latency, measure_latency
from sublm.costs.measured import measure_subnets
from sublm.costs.mlp import MLPModel, fit_mlp
from sublm.errors import LatencyError
from sublm.machine import describe_machine, device_differences
from sublm.spaces.subnet import Subnet

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

LEAST_POINTS = 14
"""Fewer measurements say nothing about a predictor's error."""

_FOLDS = 5
_CONDITIONS = ("runtime", "precision", "threads", "length", "batch", "device")


@dataclass(frozen=True)
class LatencyPredictor:
    """Predicts the latency of sub-networks; call it with one, or `predict` many.

    Attributes:
        model: What predicts.
        error: Mean absolute error on held-out sub-networks (cross-validation), as a share of their latency.
        tau: Kendall's rank correlation on them.
        ratios: Their measured by their predicted latency, ascending; what intervals are made of.
        points: Number of sub-networks measured.
        statistic: What of the measured latencies is predicted: "minimum" or "median".
        conditions: Runtime, precision, threads, length, batch and device of the measurements, and the model: its type
            and sizes, as `model_of` gives them.
        machine: What they were made on.
        largest: Milliseconds that the largest sub-network took, by which later sessions tell whether they are slower.
        reference: Milliseconds that another model took which was measured in its place; None without one.
    """

    model: AdditiveModel | MLPModel
    error: float
    tau: float
    ratios: tuple[float, ...]
    points: int
    statistic: str
    conditions: Mapping[str, Any]
    machine: Mapping[str, Any]
    largest: float | None = None
    reference: float | None = None

    def __call__(self, subnet: Subnet) -> float:
        """Milliseconds of one forward pass."""
        return float(self.model.predict(Counts.of([subnet]))[0])

    def predict(self, subnets: Iterable[Subnet] | Counts) -> np.ndarray:
        """Milliseconds of many, [N]; of a million, given as `Counts`, in seconds."""
        return self.model.predict(subnets if isinstance(subnets, Counts) else Counts.of(subnets))

    def interval(self, subnets: Iterable[Subnet] | Counts, level: float = 0.9) -> np.ndarray:
        """Between what a measurement is to be expected, [N, 2] milliseconds.

        The ends are quantiles of measured by predicted latencies of held-out sub-networks, which hold for others if
        they come from where the measured ones came from (split conformal prediction, with residuals of all folds). Few
        measurements cannot tell of rare ones: beyond `widest_level`, the interval is the one of that level.

        Args:
            subnets: What to predict.
            level: Share of the measurements that fall between the ends, if it is not above `widest_level`.

        Raises:
            LatencyError: If the level is no share.
        """
        if not 0 < level < 1:
            raise LatencyError(f"level is a share between 0 and 1; got {level}.")
        return self.predict(subnets)[:, None] * np.array(self.factors(level))

    @property
    def widest_level(self) -> float:
        """Share of the measurements between the smallest and the largest ratio, beyond which no interval reaches."""
        return (self.points - 1) / (self.points + 1)

    def factors(self, level: float) -> tuple[float, float]:
        """What a prediction is multiplied by for the ends of its interval; above `widest_level` as at that level."""
        low = math.floor((self.points + 1) * (1 - level) / 2)  # the n+1 makes up for the finite number of residuals
        high = math.ceil((self.points + 1) * (1 + level) / 2)
        return self.ratios[max(0, low - 1)], self.ratios[min(self.points, high) - 1]

    def summary(self) -> dict[str, Any]:
        """How good it is, as plain data: held-out error, rank correlation, intervals as factors of a prediction.

        Intervals of a level above "widest_level" hold that share only.
        """
        return {
            "error": self.error,
            "tau": self.tau,
            "intervals": {str(level): list(self.factors(level)) for level in (0.5, 0.9, 0.95)},
            "widest_level": self.widest_level,
            "points": self.points,
            "kind": self.model.kind,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.summary(),
            "model": self.model.to_dict(),
            "ratios": list(self.ratios),
            "statistic": self.statistic,
            "conditions": dict(self.conditions),
            "machine": dict(self.machine),
            "largest": self.largest,
            "reference": self.reference,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyPredictor:
        """Reads what `to_dict` wrote.

        Raises:
            LatencyError: If it is something else; it says what is wrong.
        """
        try:
            if missing := [name for name in cls.__dataclass_fields__ if name not in data and name != "reference"]:
                raise ValueError(f"it has no {' and no '.join(missing)}")
            kinds: dict[str, Any] = {AdditiveModel.kind: AdditiveModel, MLPModel.kind: MLPModel}
            model = kinds[data["model"]["kind"]].from_dict(data["model"])
            rest: dict[str, Any] = {name: data.get(name) for name in cls.__dataclass_fields__ if name != "model"}
            _check(rest)
            rest["ratios"] = tuple(float(ratio) for ratio in rest["ratios"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise LatencyError(f"This is not a latency predictor: {error}. Fit it again with fit_latency.") from None
        return cls(model=model, **rest)

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

    @classmethod
    def load(cls, path: str | Path, *, force: bool = False) -> LatencyPredictor:
        """Reads a file that holds one, if it was fitted on this device.

        Raises:
            LatencyError: If the file cannot be read, or belongs to another device and `force` is not given.
        """
        try:
            predictor = cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise LatencyError(f"The latency predictor {path} cannot be read: {error}.") from None
        except LatencyError as error:
            raise LatencyError(f"{path}: {error}") from None
        predictor.check_device(str(path), force=force)
        return predictor

    def differences(self) -> list[str]:
        """In what this device differs from the one it was fitted on; empty if it is the same."""
        return device_differences(self.machine, describe_machine(), str(self.conditions.get("runtime", "torch")))

    def check_device(self, where: str, *, force: bool = False) -> None:
        """Refuses a predictor that was fitted elsewhere.

        Raises:
            LatencyError: If this is another device and `force` is not given.
        """
        differing = self.differences()
        if differing and not force:
            raise LatencyError(
                f"The latency predictor {where} was fitted on another device: {'; '.join(differing)}. "
                "Fit it again on this one, or use it all the same with --force."
            )


def _check(fields: Mapping[str, Any]) -> None:
    """Refuses what a predictor could not work with.

    Raises:
        ValueError: If a field is not what it has to be; it is named.
    """
    for name in ("conditions", "machine"):
        if not isinstance(fields[name], Mapping):
            raise ValueError(f"{name} must be a table of names and values; found {fields[name]!r}")
    for name in ("error", "tau"):
        if not _is_number(fields[name]):
            raise ValueError(f"{name} must be a number; found {fields[name]!r}")
    for name in ("largest", "reference"):
        if fields[name] is not None and not (_is_number(fields[name]) and fields[name] > 0):
            raise ValueError(f"{name} must be milliseconds or null; found {fields[name]!r}")
    if fields["statistic"] not in ("minimum", "median"):
        raise ValueError(f"statistic must be 'minimum' or 'median'; found {fields['statistic']!r}")
    ratios, points = fields["ratios"], fields["points"]
    if not isinstance(ratios, (list, tuple)) or not all(_is_number(ratio) and ratio > 0 for ratio in ratios):
        raise ValueError("ratios must be a list of positive numbers")
    if isinstance(points, bool) or not isinstance(points, int) or points < 1 or len(ratios) != points:
        raise ValueError(
            f"a ratio is needed for every point, and a point at least; found {points!r} points, {len(ratios)} ratios"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def fit_latency(
    supernet: SuperNet,
    subnets: Sequence[Subnet],
    *,
    model: Literal["additive", "mlp"] = "additive",
    reference: SuperNet | None = None,
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
        model: "additive", or "mlp" as published (for comparison: it wants thousands of measurements).
        reference: See `measure_subnets`.
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
    if len(chosen) < LEAST_POINTS:
        raise LatencyError(
            f"{len(chosen)} different sub-networks are too few to fit a latency model; "
            f"give at least {LEAST_POINTS - 1} besides the largest, better 30."
        )
    times, sample = measure_subnets(
        supernet,
        chosen,
        reference=reference,
        prepare=prepare,
        measure=measure,
        statistic=statistic,
        seed=seed,
        **options,
    )
    conditions = {name: value for name, value in sample.to_dict().items() if name in _CONDITIONS}
    conditions["model"] = model_of(supernet)
    found = fit_times(Counts.of(chosen), times, conditions, model=model, statistic=statistic, seed=seed)
    first = float(getattr(sample, statistic))
    if reference is None:
        return replace(found, largest=first)
    return replace(found, largest=float(times[0]), reference=first)


def model_of(supernet: SuperNet) -> dict[str, Any]:
    """What a predictor is bound to: the type and the sizes of the model, as plain data."""
    return {"type": supernet.layout.architecture.model_type, **asdict(supernet.shape)}


def fit_times(
    counts: Counts,
    times: np.ndarray,
    conditions: Mapping[str, Any],
    *,
    model: Literal["additive", "mlp"] = "additive",
    statistic: str = "minimum",
    seed: int = 0,
) -> LatencyPredictor:
    """Fits a predictor to latencies that were measured on this machine.

    Args:
        counts: N sub-networks.
        times: Their latencies in milliseconds, [N].
        conditions: Of the measurements.
        model: "additive" or "mlp".
        statistic: What of the measurements the times are.
        seed: Of the folds and the weights.

    Raises:
        LatencyError: If there is no such model.
    """
    from scipy.stats import kendalltau

    fits: dict[str, Callable[..., Any]] = {"additive": fit_additive, "mlp": fit_mlp}
    if model not in fits:
        raise LatencyError(f"model must be one of {', '.join(fits)}; got {model!r}.")
    fit = fits[model]
    order = np.random.default_rng(seed).permutation(len(times))
    predicted = np.empty(len(times))
    for fold in range(_FOLDS):  # everything that is decided by the data is decided anew without the fold
        test, train = order[fold::_FOLDS], np.delete(order, np.s_[fold::_FOLDS])
        predicted[test] = fit(counts.take(train), times[train], seed).predict(counts.take(test))
    predicted = np.maximum(predicted, 1e-9)
    tau = float(kendalltau(predicted, times).statistic)
    return LatencyPredictor(
        model=fit(counts, times, seed),
        error=float(np.mean(np.abs(predicted / times - 1))),
        tau=0.0 if math.isnan(tau) else tau,
        ratios=tuple(np.sort(times / predicted).tolist()),
        points=len(times),
        statistic=statistic,
        conditions=conditions,
        machine=describe_machine(),
    )
