"""Whether a cheaper precision ranks sub-networks as fp32 does, tried on a few of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

MATTERS = 1e-3
"""Sub-networks whose fp32 scores are nearer than this, or than two rows, have no order worth keeping."""
LARGEST = 0.01
"""Largest change of a score that is put up with, if two rows do not weigh more."""


@dataclass(frozen=True)
class PrecisionCheck:
    """How the scores of a few sub-networks in a cheaper precision compare with those in fp32.

    Attributes:
        tau: Kendall's tau over the pairs whose fp32 scores are far enough apart to matter; 1 if there is no such pair.
        largest: Largest difference of a score.
        kept: Whether the cheaper precision may be used: no such pair changes its order, and no score moves far.
        number: Sub-networks compared.
    """

    tau: float
    largest: float
    kept: bool
    number: int

    def in_words(self, precision: str) -> str:
        """The check as one sentence."""
        seen = f"tau {self.tau:.2f} and a largest difference of {self.largest:.4f} over {self.number} sub-networks"
        if self.kept:
            return f"{precision} ranks sub-networks as fp32 does ({seen})."
        return f"{precision} ranks sub-networks otherwise than fp32 ({seen}): the search evaluates in fp32."


def compare_precisions(cheap: Sequence[float], exact: Sequence[float], rows: int) -> PrecisionCheck:
    """Compares scores of the same sub-networks, in a cheaper precision and in fp32.

    A score that is a number in one precision only keeps the cheaper one from being used.

    Args:
        cheap: Scores in the cheaper precision.
        exact: Scores in fp32.
        rows: Rows they were taken on; what one row may change is no difference.
    """
    both = list(zip(cheap, exact, strict=True))
    finite = [(a, b) for a, b in both if math.isfinite(a) and math.isfinite(b)]
    torn = any(math.isfinite(a) != math.isfinite(b) for a, b in both)
    pairs = [(a - c, b - d) for (a, b), (c, d) in combinations(finite, 2) if abs(b - d) >= max(MATTERS, 2 / rows)]
    agree = sum((one > 0) == (other > 0) and one != 0 for one, other in pairs)
    against = sum((one > 0) != (other > 0) and one != 0 for one, other in pairs)
    tau = (agree - against) / len(pairs) if pairs else 1.0
    largest = max((abs(a - b) for a, b in finite), default=0.0)
    return PrecisionCheck(tau, largest, not torn and against == 0 and largest <= max(LARGEST, 2 / rows), len(both))
