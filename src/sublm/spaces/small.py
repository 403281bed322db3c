"""Klein et al.'s `small` space: how many layers, and one number of heads and of neurons for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError
from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Integer


def small(
    supernet_or_shape: Any,
    *,
    step: int = 32,
    layer_order: Sequence[int] | None = None,
    min_layers: int = 0,
    min_heads: int = 1,
    min_neurons: int | None = None,
) -> SearchSpace:
    """Layers 0..L, heads 1..H, neurons 1..N; 479,232 settings for BERT-base with `step=1`.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Neurons come in multiples of it; 1 is the paper's space.
        layer_order: Layers, the most important first: "l layers" are the first l of it. Default is the paper's rule,
            which drops the top layers. Which layers go matters: below two thirds of them most models collapse.
        min_layers: Fewest layers.
        min_heads: Fewest heads in a kept layer.
        min_neurons: Fewest neurons in a kept layer; one step by default.

    Raises:
        SubnetError: If `layer_order` is not an order of all layers, or a minimum is above what exists.
    """
    shape = shape_of(supernet_or_shape)
    order = order_of_layers(shape, layer_order)
    variables = {
        "layers": Integer(min_layers, shape.layers),
        "heads": Integer(min_heads, shape.heads),
        "neurons": Integer(min(step, shape.neurons) if min_neurons is None else min_neurons, shape.neurons, step),
    }
    return SearchSpace("small", shape, variables, {"layer_order": order})


def order_of_layers(shape: Shape, layer_order: Sequence[int] | None) -> list[int]:
    """The order in which layers are kept; by default from the bottom.

    Raises:
        SubnetError: If it is not an order of all layers.
    """
    order = list(range(shape.layers)) if layer_order is None else [int(layer) for layer in layer_order]
    if sorted(order) != list(range(shape.layers)):
        raise SubnetError(f"layer_order={order} must name each of the {shape.layers} layers (0..) once.")
    return order


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    kept = space.options["layer_order"][: values["layers"]]
    return Subnet.uniform(space.shape, layers=kept, heads=values["heads"], neurons=values["neurons"])


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    kept = subnet.layers
    if not kept:
        # Without a layer the widths mean nothing: the lowest stand for all of them.
        values = {name: variable.lowest for name, variable in space.variables.items()} | {"layers": 0}
    else:
        values = {"layers": len(kept), "heads": subnet.heads[kept[0]], "neurons": subnet.neurons[kept[0]]}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    """One layer with one head and one step of neurons (or the given minimum)."""
    return _decode(space, {name: cast(Integer, variable).lowest_kept for name, variable in space.variables.items()})


register("small", Rule(_decode, _encode, _smallest))
