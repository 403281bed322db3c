"""Klein et al.'s `medium` space: every layer has its own number of heads and of neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Integer


def medium(supernet_or_shape: Any, *, step: int = 32, min_heads: int = 0, min_neurons: int = 0) -> SearchSpace:
    """Per layer, heads 0..H and neurons 0..N: (13 * 3073)^12 settings for BERT-base with `step=1`.

    Zero heads skip a layer's attention half, zero neurons its FFN half.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: Neurons come in multiples of it; 1 is the paper's space.
        min_heads: Fewest heads in every layer; 1 keeps every attention half.
        min_neurons: Fewest neurons in every layer; `step` keeps every FFN half.
    """
    shape = shape_of(supernet_or_shape)
    variables = {}
    for layer in range(shape.layers):
        variables[f"heads_{layer}"] = Integer(min_heads, shape.heads)
        variables[f"neurons_{layer}"] = Integer(min_neurons, shape.neurons, step)
    return SearchSpace("medium", shape, variables)


def decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    """`Rule.decode` of a space with variables `heads_0`, `neurons_0` and so on."""
    shape, layers = space.shape, range(space.shape.layers)
    heads = tuple(values[f"heads_{layer}"] for layer in layers)
    return Subnet(heads, tuple(values[f"neurons_{layer}"] for layer in layers), shape.hidden, shape.head_size)


def encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    """`Rule.encode` of the same; of a sub-network that is narrower otherwise there are no values."""
    if (subnet.hidden, subnet.head_size) != (space.shape.hidden, space.shape.head_size):
        return None
    values = {f"heads_{layer}": units for layer, units in enumerate(subnet.heads)}
    values |= {f"neurons_{layer}": units for layer, units in enumerate(subnet.neurons)}
    return {name: values[name] for name in space.variables}


def _smallest(space: SearchSpace) -> Subnet:
    """One head and one step of neurons in every layer (or the given minimum)."""
    return decode(space, {name: cast(Integer, variable).lowest_kept for name, variable in space.variables.items()})


register("medium", Rule(decode, encode, _smallest))
