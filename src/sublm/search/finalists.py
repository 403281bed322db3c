"""Holding a promise on a predicted cost: what is chosen is measured, and measured again until it fits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sublm.search.evaluation import Evaluation

MARGIN = 1.01
"""What a measurement of the same model may differ by a moment later."""

_NEAREST = 3


@dataclass(frozen=True)
class Finalists:
    """What measuring the chosen evaluations found.

    Attributes:
        chosen: Evaluations that are measured and keep the limit.
        measured: Key of the sub-network -> measured cost, of all that were measured.
        ratio: Measured by predicted cost near the limit; 1 if nothing was measured.
        broken: Keys of those that were predicted to keep the limit and do not.
    """

    chosen: list[Evaluation]
    measured: dict[str, float] = field(default_factory=dict)
    ratio: float = 1.0
    broken: tuple[str, ...] = ()


def keep_promise(
    evaluations: Sequence[Evaluation],
    cost: str,
    limit: float,
    pick: Callable[[list[Evaluation]], list[Evaluation]],
    measure: Callable[[list[Evaluation]], Mapping[str, float]],
    *,
    known: Finalists | None = None,
    rounds: int = 6,
) -> Finalists:
    """Picks evaluations whose measured cost keeps a limit.

    What is picked is measured. What breaks the limit is dropped, and what is not measured yet is from then on believed
    to cost its prediction times the ratio seen so far; then is picked again, until everything picked is measured and
    fits.

    Args:
        evaluations: To pick from, with finite scores.
        cost: The predicted cost.
        limit: Most that it may be.
        pick: Chooses among those believed to fit.
        measure: Measured costs by the sub-network's key.
        known: What earlier measurements found.
        rounds: Most measurements; after that, only what was measured to fit is kept.
    """
    measured = dict(known.measured) if known else {}
    ratio = known.ratio if known else 1.0
    predicted = {e.subnet.key: e.costs[cost] for e in evaluations}
    picked: list[Evaluation] = []
    for _ in range(rounds):
        expected = {e.subnet.key: believed(e, cost, measured, ratio) for e in evaluations}
        fitting = [e for e in evaluations if expected[e.subnet.key] * MARGIN <= limit]
        fitting = fitting or [e for e in evaluations if expected[e.subnet.key] <= limit]
        picked = pick(fitting) if fitting else []
        new = [e for e in picked if e.subnet.key not in measured]
        if not new:
            break
        measured |= measure(new)
        ratio = ratio_near(limit, [(predicted[key], value) for key, value in measured.items() if key in predicted])
    chosen = [e for e in picked if measured.get(e.subnet.key, math.inf) <= limit]
    broken = tuple(key for key, value in measured.items() if predicted.get(key, limit) <= limit < value)
    return Finalists(chosen, measured, ratio, broken)


def believed(evaluation: Evaluation, cost: str, measured: Mapping[str, float], ratio: float) -> float:
    """What an evaluation costs: as measured, else its prediction set right by the ratio seen on others."""
    return measured.get(evaluation.subnet.key, evaluation.costs[cost] * ratio)


def ratio_near(limit: float, pairs: Sequence[tuple[float, float]]) -> float:
    """Measured by predicted cost of the few predictions that are nearest to a limit: their median.

    Args:
        limit: Where the ratio is wanted; it may differ between small and large models.
        pairs: Predicted and measured costs.
    """
    near = sorted(pairs, key=lambda pair: abs(math.log(pair[0] / limit)))[:_NEAREST]
    return statistics.median([value / guess for guess, value in near]) if near else 1.0
