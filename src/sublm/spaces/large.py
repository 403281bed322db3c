"""Klein et al.'s `large` space: every head and every neuron is kept or dropped on its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet, Units, indices
from sublm.spaces.variables import Subset


def large(supernet_or_shape: Any, *, step: int = 32) -> SearchSpace:
    """Any set of heads and neurons: 2^(144 + 36864) settings for BERT-base with `step=1`.

    The units are one subset: first the heads of layer 0, 1, ..., then the neurons. A random draw removes 1 to all but
    one of them, each number equally likely (the paper's sampling).

    Args:
        supernet_or_shape: What sub-networks are cut from.
        step: So many neighbouring neurons are kept or dropped together; 1 is the paper's space.
    """
    shape = shape_of(supernet_or_shape)
    blocks = -(-shape.neurons // step)
    units = shape.layers * (shape.heads + blocks)
    return SearchSpace("large", shape, {"units": Subset(units, fewest_drawn=1)}, {"step": step})


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    shape, step = space.shape, space.options["step"]
    blocks = -(-shape.neurons // step)
    kept = indices(values["units"])
    heads: list[Units] = []
    neurons: list[Units] = []
    first = shape.layers * shape.heads
    for layer in range(shape.layers):
        heads.append(_between(kept, layer * shape.heads, shape.heads))
        chosen = _between(kept, first + layer * blocks, blocks)
        if step > 1:
            # Extending a list is several times faster than a nested generator, and there are tens of thousands.
            units: list[int] = []
            for block in chosen:
                units.extend(range(block * step, min((block + 1) * step, shape.neurons)))
            chosen = tuple(units)
        neurons.append(chosen)
    return Subnet(tuple(heads), tuple(neurons), shape.hidden, shape.head_size)


def _between(kept: tuple[int, ...], start: int, length: int) -> tuple[int, ...]:
    """The kept units from `start` on, counted from `start`."""
    return tuple(unit - start for unit in kept[bisect_left(kept, start) : bisect_left(kept, start + length)])


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    shape, step = space.shape, space.options["step"]
    blocks = -(-shape.neurons // step)
    first = shape.layers * shape.heads
    kept = [layer * shape.heads + head for layer, units in enumerate(subnet.heads) for head in indices(units)]
    for layer, units in enumerate(subnet.neurons):
        kept += [first + layer * blocks + block for block in sorted({neuron // step for neuron in indices(units)})]
    if len(set(kept)) != len(kept) or (kept and max(kept) >= shape.layers * (shape.heads + blocks)):
        return None
    values = space.canonical({"units": tuple(kept)})
    return values if _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    """The first head and the first block of neurons of layer 0."""
    return _decode(space, {"units": (0, space.shape.layers * space.shape.heads)})


register("large", Rule(_decode, _encode, _smallest))
