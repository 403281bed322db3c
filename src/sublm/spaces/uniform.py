"""The space of uniform widths: every layer is kept, and all layers have the same heads and neurons.

By default its sub-networks are those that a stock configuration can express, so they load as ordinary models: the
hidden size follows the heads. Otherwise it stays, and fewer heads need the modelling file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.stock import stock_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Choice, Integer, Variable

LEAST_SHARE = 3
"""Of stock sub-networks, which lose hidden channels with the heads: one in so many heads stays, if not told else."""


def uniform(
    supernet_or_shape: Any,
    *,
    step: int = 32,
    min_heads: int | None = None,
    min_neurons: int | None = None,
    hidden: Sequence[int] = (),
    stock: bool = True,
) -> SearchSpace:
    """Heads up to H and neurons up to N, the same in every layer; all layers are kept.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Neurons come in multiples of it.
        min_heads: Fewest heads; by default a third of them, without `stock` one.
        min_neurons: Fewest neurons; one step by default.
        hidden: Without `stock`, hidden widths to choose from besides the whole one; none by default.
        stock: Hold only what a stock configuration expresses: the hidden size is heads x head size. A family whose
            stock class cannot do with fewer heads (MPNet) varies the neurons alone.

    Raises:
        SubnetError: If a hidden width or a minimum is above what exists, hidden widths are given with `stock`, or the
            model itself is not stock.
    """
    shape = shape_of(supernet_or_shape)
    least = (-(-shape.heads // LEAST_SHARE) if stock else 1) if min_heads is None else min_heads
    neurons = Integer(min(step, shape.neurons) if min_neurons is None else min_neurons, shape.neurons, step)
    variables: dict[str, Variable] = {"heads": Integer(least, shape.heads), "neurons": neurons}
    if stock:
        fitting = stock_of(supernet_or_shape).heads(least)
        if fitting != tuple(variables["heads"].values()):
            variables["heads"] = Choice(fitting)
    if hidden and stock:
        raise SubnetError("Of stock sub-networks the hidden size follows the heads: give hidden with stock=False.")
    if hidden:
        widths = sorted({*hidden, shape.hidden})
        if widths[0] < 1 or widths[-1] > shape.hidden:
            raise SubnetError(f"hidden={list(hidden)}: widths from 1 to {shape.hidden} exist.")
        variables["hidden"] = Choice(tuple(widths))
    return SearchSpace("uniform", shape, variables, {"stock": True} if stock else {})


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    shape, heads = space.shape, values["heads"]
    hidden = heads * shape.head_size if space.options.get("stock") else values.get("hidden", shape.hidden)
    return Subnet.uniform(shape, heads=heads, neurons=values["neurons"], hidden=hidden)


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    values: Values = {"heads": subnet.heads[0], "neurons": subnet.neurons[0], "hidden": subnet.hidden}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    values = {name: values[name] for name in space.variables}
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    return space.lowest


register("uniform", Rule(_decode, _encode, _smallest))
