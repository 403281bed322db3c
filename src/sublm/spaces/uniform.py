"""The space of uniform widths: every layer is kept, and all layers have the same heads and neurons.

Its sub-networks are those a stock configuration can express, so they load as ordinary models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Choice, Integer, Variable


def uniform(
    supernet_or_shape: Any,
    *,
    step: int = 32,
    min_heads: int = 1,
    min_neurons: int | None = None,
    hidden: Sequence[int] = (),
) -> SearchSpace:
    """Heads 1..H and neurons one step..N, the same in every layer; all layers are kept.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Neurons come in multiples of it.
        min_heads: Fewest heads.
        min_neurons: Fewest neurons; one step by default.
        hidden: Hidden widths to choose from besides the whole one; none by default.

    Raises:
        SubnetError: If a hidden width or a minimum is above what exists.
    """
    shape = shape_of(supernet_or_shape)
    variables: dict[str, Variable] = {
        "heads": Integer(min_heads, shape.heads),
        "neurons": Integer(min(step, shape.neurons) if min_neurons is None else min_neurons, shape.neurons, step),
    }
    if hidden:
        widths = sorted({*hidden, shape.hidden})
        if widths[0] < 1 or widths[-1] > shape.hidden:
            raise SubnetError(f"hidden={list(hidden)}: widths from 1 to {shape.hidden} exist.")
        variables["hidden"] = Choice(tuple(widths))
    return SearchSpace("uniform", shape, variables)


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    hidden = values.get("hidden", space.shape.hidden)
    return Subnet.uniform(space.shape, heads=values["heads"], neurons=values["neurons"], hidden=hidden)


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    values: Values = {"heads": subnet.heads[0], "neurons": subnet.neurons[0], "hidden": subnet.hidden}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    values = {name: values[name] for name in space.variables}
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    return space.lowest


register("uniform", Rule(_decode, _encode, _smallest))
