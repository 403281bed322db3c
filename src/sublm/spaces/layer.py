"""Klein et al.'s `layer` space: any subset of the layers, each kept whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Subset


def layer(supernet_or_shape: Any, *, step: int = 32) -> SearchSpace:
    """Every layer is kept or dropped: 2^L settings, 4096 for BERT-base.

    A random draw keeps 0 to L - 1 layers, each number equally likely (the paper's sampling).

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Has no effect, as widths are kept; every space takes it.
    """
    shape = shape_of(supernet_or_shape)
    return SearchSpace("layer", shape, {"layers": Subset(shape.layers)})


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    return Subnet.uniform(space.shape, layers=values["layers"])


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    values: Values = {"layers": subnet.layers}
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    """No layer at all."""
    return space.lowest


register("layer", Rule(_decode, _encode, _smallest))
