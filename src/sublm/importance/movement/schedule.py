"""How the threshold and the penalty of movement pruning grow. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sublm.errors import TrainingError

POWER = 3.0
"""The warm-up is cubic: fast first."""


@dataclass(frozen=True)
class MovementOptions:
    """Settings of movement scores; the defaults are EFTNAS's.

    Attributes:
        penalty: Largest weight of the regulariser, which pulls all scores down.
        warmup_start: Share of the steps before threshold and penalty begin to grow; they stop with the training.
        initially_masked: Share of the weights that the first threshold masks.
        final_threshold: The threshold at the end; a score above it says that the block's weights grew in use.
    """

    penalty: float = 0.02
    warmup_start: float = 0.4
    initially_masked: float = 0.001
    final_threshold: float = 0.0

    def __post_init__(self) -> None:
        if not self.penalty >= 0:
            raise TrainingError(f"The penalty of movement scores must not be negative; got {self.penalty}.")
        for name in ("warmup_start", "initially_masked"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{name} is a share, from 0 to below 1; got {getattr(self, name)}.")

    def progress(self, step: int, steps: int) -> float | None:
        """Share of the warm-up that lies behind a step, from 0 to 1 at the last; None before it begins."""
        start = math.floor(self.warmup_start * steps)
        if step < start:
            return None
        return min(1.0, (step - start) / max(1, steps - 1 - start))

    def threshold(self, progress: float, first: float) -> float:
        """The threshold, rising cubically from the first to the final one."""
        return first + cubic(progress) * (self.final_threshold - first)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def cubic(progress: float) -> float:
    """1 - (1 - p)³: from 0 to 1."""
    return 1 - (1 - progress) ** POWER


def initial_threshold(scores: Sequence[Tensor], sizes: Sequence[int], share: float) -> float:
    """The lowest threshold that masks at least a share of all weights.

    Args:
        scores: Scores, any shapes; what is at most the threshold is masked.
        sizes: For each tensor of scores, the weights that one score stands for.
        share: Share of the weights.
    """
    values = torch.cat([score.detach().float().flatten() for score in scores])
    if share == 0:
        return float(values.min().nextafter(torch.tensor(-math.inf)))
    counts = torch.cat([torch.full((score.numel(),), float(n)) for score, n in zip(scores, sizes, strict=True)])
    order = values.argsort()
    masked = counts.to(values.device, torch.float64)[order].cumsum(0)
    first = int(torch.searchsorted(masked, share * masked[-1]))
    return float(values[order[min(first, len(order) - 1)]])


def penalty_gradient(scores: Tensor, size: int, tensors: int, weight: float) -> Tensor:
    """Gradient of the regulariser `weight / tensors · ½ · size · mean(sigmoid(scores))` in the scores.

    Args:
        scores: Scores of one weight or one bias.
        size: Weights that one of them stands for.
        tensors: Linear layers that have scores.
        weight: λ.
    """
    value = torch.sigmoid(scores)
    return value * (1 - value) * (0.5 * weight * size / (tensors * scores.numel()))
