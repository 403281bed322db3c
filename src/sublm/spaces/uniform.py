"""The space of uniform layers: the kept layers have the same numbers of heads and neurons.

By default its sub-networks are those that a stock configuration can express, so they load as ordinary models: all heads
are kept, and layers and neurons vary. Otherwise every layer is kept, heads and neurons vary, and most sub-networks need
the modelling file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sublm.errors import SubnetError
from sublm.spaces.small import order_of_layers
from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.stock import stock_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Choice, Integer, Variable


def uniform(
    supernet_or_shape: Any,
    *,
    step: int = 32,
    min_heads: int | None = None,
    min_neurons: int | None = None,
    hidden: Sequence[int] = (),
    stock: bool = True,
    min_layers: int | None = None,
    layer_order: Sequence[int] | None = None,
) -> SearchSpace:
    """Layers half of L..L and neurons one step..N, all heads; without `stock` heads 1..H, neurons, and all layers.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Neurons come in multiples of it.
        min_heads: Without `stock`, fewest heads; 1 by default.
        min_neurons: Fewest neurons; one step by default.
        hidden: Without `stock`, hidden widths to choose from besides the whole one; none by default.
        stock: Hold only what a stock configuration expresses, which has one head size: the hidden size over the heads.
        min_layers: With `stock`, fewest layers; half of them by default.
        layer_order: With `stock`, layers, the most important first; as for `small`. Where the stock class needs the
            first layer (ModernBERT), it comes first.

    Raises:
        SubnetError: If a hidden width or a minimum is above what exists, an argument does not go with `stock`, or the
            model itself is not stock.
    """
    shape = shape_of(supernet_or_shape)
    neurons = Integer(min(step, shape.neurons) if min_neurons is None else min_neurons, shape.neurons, step)
    if stock:
        rule = stock_of(supernet_or_shape)
        if min_heads is not None or hidden:
            raise SubnetError(
                "Stock sub-networks keep all heads and channels: give min_heads, hidden with stock=False."
            )
        if not rule.holds(Subnet.full(shape)):
            raise SubnetError(
                f"Stock sub-networks were asked for, and the model itself is none: it has {shape.heads} heads of "
                f"{shape.head_size} and a hidden size of {shape.hidden}. Pass stock=False (--no-stock)."
            )
        order = order_of_layers(shape, layer_order)
        if rule.first_layer:
            order.sort(key=bool)  # layer 0 first, the others as they are
        least = max(1, -(-shape.layers // 2) if min_layers is None else min_layers)
        layers = Integer(least, shape.layers)
        return SearchSpace("uniform", shape, {"layers": layers, "neurons": neurons}, {"layer_order": order})
    if min_layers not in (None, shape.layers) or layer_order is not None:
        raise SubnetError("Without stock the space uniform keeps every layer: leave min_layers and layer_order out.")
    variables: dict[str, Variable] = {"heads": Integer(min_heads or 1, shape.heads), "neurons": neurons}
    if hidden:
        widths = sorted({*hidden, shape.hidden})
        if widths[0] < 1 or widths[-1] > shape.hidden:
            raise SubnetError(f"hidden={list(hidden)}: widths from 1 to {shape.hidden} exist.")
        variables["hidden"] = Choice(tuple(widths))
    return SearchSpace("uniform", shape, variables)


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    kept = dict(values)
    if "layers" in kept:
        kept["layers"] = space.options["layer_order"][: kept["layers"]]
    return Subnet.uniform(space.shape, **kept)


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    if not subnet.layers:
        return None
    first = subnet.layers[0]
    found: Values = {
        "layers": len(subnet.layers),
        "heads": subnet.heads[first],
        "neurons": subnet.neurons[first],
        "hidden": subnet.hidden,
    }
    values = {name: found[name] for name in space.variables}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    return space.lowest


register("uniform", Rule(_decode, _encode, _smallest))
