"""Magnitude: the sum of absolute weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from sublm.importance.reduce import sum_over_units
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


def magnitude(supernet: SuperNet, batches: Iterable[Mapping[str, Tensor]] = ()) -> Importance:
    """Scores a unit by the sum of |weight| over its weights; needs no data.

    Args:
        supernet: The super-network.
        batches: Not used; accepted so that every score is called alike.

    Returns:
        The scores.
    """
    scores = {name: parameter.detach().abs() for name, parameter in supernet.model.named_parameters()}
    return sum_over_units(supernet.layout, scores, "magnitude")
