"""Whether the scores of heads and of neurons can be compared as they are."""

from __future__ import annotations

from typing import Any

REDUCTIONS = ("mean", "max")


def comparable(importance: Any) -> bool:
    """True of means and maxima over a unit's weights; sums grow with the unit and are divided by its cost.

    Args:
        importance: Scores; their `details` may name a `reduction`.
    """
    return getattr(importance, "details", {}).get("reduction") in REDUCTIONS
