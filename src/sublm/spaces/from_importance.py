"""A search space made from importance: nested sub-networks at a few costs, and the union of their widths (EFTNAS).

One threshold on the scores of all units gives a sub-network; several thresholds give nested ones; the widths that
occur in them, layer by layer, span the space. The same scores count the units and sort them, so the first units of a
sorted super-network are those above the threshold.

All units are sorted once, and their costs added up in that order: the threshold of every wanted cost can then be read
off exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError, TargetError
from sublm.spaces.comparable import comparable
from sublm.spaces.medium import decode, encode
from sublm.spaces.space import Rule, SearchSpace, register, shape_of
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Choice, Integer

Per = Literal["unit", "cost"]

NEARLY_EMPTY = 0.02
"""A half-layer with a smaller share of its units left is dropped whole."""

ROUNDING = 1e-4
"""A target nearer to the whole cost than this is the whole: people write 11174M for 11,174,217,216."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """All units in the order in which a falling threshold lets them in, some in blocks.

    Attributes:
        shape: Sizes of the super-network.
        halves: `[rungs]`: which half-layer grows at a rung; 2 x layer is an attention half, 2 x layer + 1 an FFN half.
        scores: `[rungs]`: the threshold just below which a rung is in; never rising.
        costs: `[rungs + 1]`: cost of the first rungs together; rising.
        widths: Per half-layer, its widths after 0, 1, 2... rungs of its own.
    """

    shape: Shape
    halves: np.ndarray
    scores: np.ndarray
    costs: np.ndarray
    widths: tuple[tuple[int, ...], ...]

    def at_most(self, target: float) -> int:
        """The most rungs that cost no more than a target; all of them if the target is the whole cost but for rounding.

        Raises:
            TargetError: If even no rung costs more, or all of them less.
        """
        least, whole = self.costs[0], self.costs[-1]
        if target < least:
            raise TargetError(
                f"A sub-network of {target:,.0f} was asked for; the smallest within reach costs {least:,.0f}. Ask for "
                "that or more, or let half-layers go (depth)."
            )
        if abs(target - whole) <= ROUNDING * whole:
            return len(self.halves)
        if target > whole:
            raise TargetError(
                f"A sub-network of {target:,.0f} was asked for; the whole super-network costs {whole:,.0f}. Ask for "
                "that or less."
            )
        return int(np.searchsorted(self.costs, target, side="right")) - 1

    def subnet(self, rungs: int) -> Subnet:
        """The sub-network of the first rungs."""
        counts = np.bincount(self.halves[:rungs], minlength=len(self.widths)).tolist()
        kept = [widths[count] for widths, count in zip(self.widths, counts, strict=True)]
        return Subnet(tuple(kept[0::2]), tuple(kept[1::2]), self.shape.hidden, self.shape.head_size)

    def threshold(self, rungs: int) -> float:
        """The lowest score that is in; infinite if none is."""
        return float(self.scores[rungs - 1]) if rungs else math.inf


def ladder(
    supernet_or_shape: Any,
    importance: Any,
    cost: Callable[[Subnet], float],
    *,
    align: int = 32,
    depth: bool = True,
    per: Per | None = None,
) -> Ladder:
    """Sorts the units of all layers.

    With `align`, the neurons of a layer come in blocks; a block comes with its middle neuron, so that a threshold
    gives the multiple nearest to the number of neurons above it.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        importance: Anything with `heads` [L, H] and `neurons` [L, N] (tensors, arrays or lists).
        cost: Cost of a sub-network, a sum over half-layers, each linear in its units: MACs or parameters.
        align: Neurons are kept in multiples of this.
        depth: Whether a half-layer may go whole, as one with under 2 % of its units does; else each keeps some.
        per: Whether scores are compared as they are ("unit") or divided by what a unit costs ("cost"). By default as
            the importance says: sums over a unit's weights need the division, means and maxima do not.

    Raises:
        SubnetError: If the scores do not fit the shape or are not finite, or the cost is of another kind.
    """
    shape = shape_of(supernet_or_shape)
    if align < 1:
        raise SubnetError(f"align must be at least 1; got {align}.")
    if per is None:
        per = "unit" if comparable(importance) else "cost"
    heads = sorted_scores(importance.heads, shape.layers, shape.heads, "heads")
    neurons = sorted_scores(importance.neurons, shape.layers, shape.neurons, "neurons")
    prices = _prices(shape, cost)

    halves: list[np.ndarray] = []
    scores, added, places, widths = [], [], [], []
    base = prices.empty
    for half in range(2 * shape.layers):
        units = (neurons if half % 2 else heads)[half // 2]
        full = len(units)
        grid = list(Integer(0, full, align if half % 2 else 1).values())
        first = next(i for i, width in enumerate(grid) if i and width >= NEARLY_EMPTY * full)
        middles = np.array([a + (b - a - 1) // 2 for a, b in pairwise(grid)])
        entry, each = prices.entry[half], prices.each[half]
        level = units[middles][first - 1 :] / (each if per == "cost" and each > 0 else 1.0)
        steps = np.array([grid[first], *(b - a for a, b in pairwise(grid[first:]))])
        price = steps * each
        price[0] += entry
        if depth:
            ladder_widths = [0, *grid[first:]]
        else:
            base += price[0]
            level, steps, price, ladder_widths = level[1:], steps[1:], price[1:], grid[first:]
        widths.append(tuple(ladder_widths))
        halves.append(np.full(len(level), half))
        scores.append(level)
        added.append(price)
        places.append(np.arange(len(level)) / max(1, len(level)))
    level, place = np.concatenate(scores), np.concatenate(places)
    # Equal scores come evenly from all layers; within a layer scores never rise, so prefixes stay prefixes.
    order = np.lexsort((place, -level))
    costs = base + np.concatenate([[0.0], np.cumsum(np.concatenate(added)[order])])
    return Ladder(shape, np.concatenate(halves)[order], level[order], costs, tuple(widths))


def even_targets(least: float, most: float, steps: int = 5) -> list[float]:
    """Costs from the least to the most in even steps; both ends are always there.

    Steps of hundreds of millions are cut to whole millions, as published: 4400, 6093, 7786, 9479 and 11174 million
    for BERT-base.

    Raises:
        TargetError: If the range is empty, or there are fewer than two steps.
    """
    if steps < 2:
        raise TargetError(f"At least 2 steps are needed, the smallest and the largest; got steps={steps}.")
    if not 0 < least < most:
        raise TargetError(f"The range of costs must rise from above zero; got {least:,.0f} to {most:,.0f}.")
    step = (most - least) / (steps - 1)
    if step >= 1e8:
        step -= step % 1e6
    return [*(least + i * step for i in range(steps - 1)), most]


def from_importance(
    supernet_or_shape: Any,
    importance: Any,
    cost: Callable[[Subnet], float],
    targets: Sequence[float],
    *,
    align: int = 32,
    depth: bool = True,
    per: Per | None = None,
) -> SearchSpace:
    """The space of all widths that occur in nested sub-networks of the wanted costs.

    Every sub-network costs at most its target (but for rounding at the top), and less by no more than the next unit or
    block would add. They are the space's `seeds`. Sub-networks keep prefixes: sort the super-network by the same
    importance.

    Args:
        supernet_or_shape: What sub-networks are cut from.
        importance: See `ladder`.
        cost: See `ladder`; the targets are in its unit.
        targets: Wanted costs; see `even_targets`.
        align: Neurons are kept in multiples of this.
        depth: Whether half-layers may go whole.
        per: See `ladder`.

    Raises:
        SubnetError: If the scores do not fit, or there is no target.
        TargetError: If a target is out of reach.
    """
    if not targets:
        raise SubnetError("A space from importance needs at least one target cost.")
    rungs = ladder(supernet_or_shape, importance, cost, align=align, depth=depth, per=per)
    found = sorted({rungs.at_most(target) for target in targets})
    subnets = [rungs.subnet(count) for count in found]
    seeds = [
        {
            "cost": float(rungs.costs[count]),
            "threshold": rungs.threshold(count) if count else None,
            "heads": list(subnet.heads),
            "neurons": list(subnet.neurons),
        }
        for count, subnet in zip(found, subnets, strict=True)
    ]
    options = {
        "importance": str(getattr(importance, "method", "")),
        "align": align,
        "targets": [float(target) for target in sorted(targets)],
        "seeds": seeds,
    }
    return of_widths(rungs.shape, [s.heads for s in subnets], [s.neurons for s in subnets], options)


def of_widths(
    shape: Shape, heads: Sequence[Sequence[Any]], neurons: Sequence[Sequence[Any]], options: Mapping[str, Any]
) -> SearchSpace:
    """The space of the widths that occur, each layer's chosen freely.

    Args:
        shape: Sizes of the super-network.
        heads: Per sub-network, the heads of every layer.
        neurons: Per sub-network, the neurons of every layer.
        options: What to keep with the space.

    Raises:
        SubnetError: If a width is more than there is.
    """
    variables = {}
    for layer in range(shape.layers):
        for name, rows, most in (("heads", heads, shape.heads), ("neurons", neurons, shape.neurons)):
            widths = sorted({row[layer] for row in rows})
            if not 0 <= widths[0] <= widths[-1] <= most:
                raise SubnetError(f"{name} of layer {layer}: {widths} were asked for; the model has 0 to {most}.")
            variables[f"{name}_{layer}"] = Choice(tuple(widths))
    return SearchSpace("importance", shape, variables, dict(options))


@dataclass(frozen=True)
class _Prices:
    """Cost of nothing, and per half-layer that of being there and of each unit."""

    empty: float
    entry: list[float]
    each: list[float]


def _prices(shape: Shape, cost: Callable[[Subnet], float]) -> _Prices:
    def of(widths: list[int]) -> float:
        return float(cost(Subnet(tuple(widths[0::2]), tuple(widths[1::2]), shape.hidden, shape.head_size)))

    full = [shape.heads, shape.neurons] * shape.layers
    empty = of([0] * len(full))
    entry, each = [], []
    for half, units in enumerate(full):
        one, all_ = (of([width if i == half else 0 for i in range(len(full))]) for width in (1, units))
        each.append((all_ - one) / (units - 1) if units > 1 else one - empty)
        entry.append(one - empty - each[-1])
    for widths in (full, [(units + 1) // 2 for units in full]):
        wanted = empty + sum(a + b * units for a, b, units in zip(entry, each, widths, strict=True))
        if not math.isclose(of(widths), wanted, rel_tol=1e-6):
            raise SubnetError("The cost must be a sum over half-layers, each linear in its units: MACs or parameters.")
    return _Prices(empty, entry, each)


def sorted_scores(values: Any, layers: int, units: int, what: str) -> np.ndarray:
    """Scores as `[layers, units]`, falling in every layer.

    Raises:
        SubnetError: If they do not fit, or are not finite.
    """
    rows = values.tolist() if hasattr(values, "tolist") else [list(row) for row in values]
    found = f"{len(rows)} x {len(rows[0]) if rows else 0}"
    if len(rows) != layers or any(len(row) != units for row in rows):
        raise SubnetError(
            f"The importance of {what} is {found}; this model has {layers} x {units}: it was computed for another "
            "model. Score this one."
        )
    scores = np.array(rows, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise SubnetError(
            f"The importance of {what} holds numbers that are not finite; score it again with other batches or in fp32."
        )
    return -np.sort(-scores, axis=1)


def _smallest(space: SearchSpace) -> Subnet:
    return space.lowest


register("importance", Rule(decode, encode, _smallest))
