"""One family of nested sub-networks: per-layer widths that follow from one global threshold.

Heads and blocks of neurons of all layers are put in one order, by importance per cost (the greedy knapsack rule), and
the first k are kept. Each member contains all smaller ones, so the whole space has one variable, and for every wanted
cost there is one sub-network: a strong seed for a search in `medium`, and a line to train along.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sublm.errors import SubnetError, TargetError
from sublm.spaces.comparable import comparable
from sublm.spaces.space import Rule, SearchSpace, Values, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Integer


def nested(
    supernet_or_shape: Any,
    importance: Any,
    cost: Callable[[Subnet], float],
    *,
    step: int = 32,
    min_heads: int = 1,
    min_neurons: int | None = None,
    least: float = 0.0,
) -> SearchSpace:
    """The space of one variable, `units`: how many heads and blocks of neurons are kept beyond the minimum.

    Sub-networks keep prefixes, so the super-network must have been reordered by the same importance.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        importance: Anything with `heads` [L, H] and `neurons` [L, N] (tensors, arrays or lists).
        cost: Cost that scores are divided by, such as MACs; scores that are means or maxima are not, as they do not
            grow with the size of a unit.
        step: Neurons are kept in blocks of so many.
        min_heads: Heads that every layer keeps; 0 lets attention halves go.
        min_neurons: Neurons that every layer keeps; one step by default, 0 lets FFN halves go.
        least: No member costs less.

    Raises:
        SubnetError: If the scores do not fit the shape, or one is not a number; if `least` is more than everything.
    """
    shape = shape_of(supernet_or_shape)
    heads = _scores(importance.heads, shape.layers, shape.heads, "heads")
    neurons = _scores(importance.neurons, shape.layers, shape.neurons, "neurons")
    floor = min(step if min_neurons is None else min_neurons, shape.neurons)
    if not 0 <= min_heads <= shape.heads or floor < 0:
        raise SubnetError(
            f"min_heads={min_heads} and min_neurons={floor}: 0 to {shape.heads} and {shape.neurons} exist."
        )
    options = {"step": step, "min_heads": min_heads, "min_neurons": floor}
    lowest = Subnet((min_heads,) * shape.layers, (floor,) * shape.layers, shape.hidden, shape.head_size)

    # Prices are differences of the cost, taken where nothing is dropped whole, as a half-layer's first unit also pays
    # for the half-layer itself.
    full = Subnet.full(shape)
    whole = cost(full)
    plain = comparable(importance)
    ranked: list[tuple[float, int]] = []
    for layer in range(shape.layers):
        fewer_heads = full.replace(heads=_with(full.heads, layer, max(1, shape.heads - 1)))
        head_price = 1.0 if plain else _price(whole - cost(fewer_heads), min(1, shape.heads - 1))
        fewer_neurons = full.replace(neurons=_with(full.neurons, layer, max(1, shape.neurons - step)))
        neuron_price = 1.0 if plain else _price(whole - cost(fewer_neurons), min(step, shape.neurons - 1))
        ranked += [(score / head_price, 2 * layer) for score in heads[layer][min_heads:]]
        for start, end in _blocks(floor, shape.neurons, step):
            ranked.append((sum(neurons[layer][start:end]) / (end - start) / neuron_price, 2 * layer + 1))
    # Scores fall within a layer, so keeping any number of the first ones keeps prefixes; the sort is stable.
    ranked.sort(key=lambda entry: -entry[0])
    order = [half for _, half in ranked]
    if not order:
        raise SubnetError(f"Nothing is left to vary: the minimum {lowest.heads}, {lowest.neurons} is everything.")
    space = SearchSpace("nested", shape, {"units": Integer(0, len(order))}, options | {"order": order})
    if cost(space.lowest) >= least:
        return space
    if whole <= least:
        raise SubnetError(f"least={least:g} is more than the whole super-network costs ({whole:g}).")
    first = bisect_left(range(len(order)), least, key=lambda units: cost(space.decode({"units": units})))
    return SearchSpace("nested", shape, {"units": Integer(first, len(order))}, options | {"order": order})


def nested_subnets(
    supernet_or_shape: Any,
    importance: Any,
    cost: Callable[[Subnet], float],
    targets: Sequence[float],
    **options: Any,
) -> list[Subnet]:
    """For every wanted cost the dearest member of the nested family that does not cost more.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        importance: See `nested`.
        cost: See `nested`; the targets are in its unit.
        targets: Wanted costs.
        options: `step`, `min_heads`, `min_neurons` of `nested`.

    Raises:
        TargetError: If a target is below the family's smallest member.
    """
    space = nested(supernet_or_shape, importance, cost, **options)
    return [_at_most(space, cost, target) for target in targets]


def _at_most(space: SearchSpace, cost: Callable[[Subnet], float], target: float) -> Subnet:
    least = cost(space.lowest)
    if least > target:
        raise TargetError(
            f"A cost of {target:g} was asked for; the smallest nested sub-network costs {least:g}: "
            "ask for that, or lower min_heads and min_neurons."
        )
    fits, breaks = 0, space.size
    while breaks - fits > 1:
        middle = (fits + breaks) // 2
        if cost(space.decode({"units": middle})) <= target:
            fits = middle
        else:
            breaks = middle
    return space.decode({"units": fits})


def _scores(values: Any, layers: int, units: int, what: str) -> list[list[float]]:
    """Scores per layer, falling."""
    rows = values.tolist() if hasattr(values, "tolist") else [list(row) for row in values]
    if len(rows) != layers or any(len(row) != units for row in rows):
        raise SubnetError(f"The importance of {what} must be {layers} x {units} numbers; score this super-network.")
    if any(score != score for row in rows for score in row):
        raise SubnetError(f"The importance of {what} holds NaN; score it again with another batch or in fp32.")
    return [sorted((float(score) for score in row), reverse=True) for row in rows]


def _price(difference: float, units: int) -> float:
    """Cost of one unit; 1 where the cost does not tell (one head only, or a cost that ignores it)."""
    return difference / units if units and difference > 0 else 1.0


def _with(widths: tuple[Any, ...], layer: int, width: int) -> tuple[Any, ...]:
    return (*widths[:layer], width, *widths[layer + 1 :])


def _blocks(floor: int, neurons: int, step: int) -> list[tuple[int, int]]:
    """Steps from the minimum up: to each multiple of `step` and to the end."""
    grid = Integer(floor, neurons, step)
    return list(pairwise(grid.values()))


def _decode(space: SearchSpace, values: Mapping[str, Any]) -> Subnet:
    shape, options = space.shape, space.options
    grid = Integer(options["min_neurons"], shape.neurons, options["step"])
    heads, blocks = [options["min_heads"]] * shape.layers, [0] * shape.layers
    for half in options["order"][: values["units"]]:
        if half % 2:
            blocks[half // 2] += 1
        else:
            heads[half // 2] += 1
    return Subnet(tuple(heads), tuple(grid.at(block) for block in blocks), shape.hidden, shape.head_size)


def _encode(space: SearchSpace, subnet: Subnet) -> Values | None:
    heads = [units for units in subnet.heads if isinstance(units, int)]
    neurons = [units for units in subnet.neurons if isinstance(units, int)]
    if len(heads) + len(neurons) < 2 * space.shape.layers:
        return None
    grid = Integer(space.options["min_neurons"], space.shape.neurons, space.options["step"])
    kept = sum(heads) - space.options["min_heads"] * space.shape.layers
    values = {"units": kept + sum(grid.position(units) for units in neurons)}
    units = space.variables["units"]
    inside = units.lowest <= values["units"] <= units.highest
    return values if inside and _decode(space, values) == subnet else None


def _smallest(space: SearchSpace) -> Subnet:
    return space.lowest


register("nested", Rule(_decode, _encode, _smallest))
