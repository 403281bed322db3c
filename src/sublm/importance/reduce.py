"""From one score per weight to one score per unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sublm.architectures import Axis
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.layout import Layout


def sum_over_units(layout: Layout, scores: Mapping[str, Tensor], method: str) -> Importance:
    """Adds up the scores of all weights that leave the network with a unit.

    - head: its rows of query, key and value with their biases, its columns of the attention output;
    - neuron: its row and bias in the up projection, its column in the down projection;
    - query-key dimension: its rows and biases in query and key;
    - value dimension: its row and bias in value, its column in the attention output;
    - layer: every weight in it, LayerNorms included;
    - hidden channel: everything on a hidden axis of the whole network, embeddings and task head included.

    Args:
        layout: Where the super-network's weights are.
        scores: Name of a parameter -> scores of the same shape, in the full network's order. Tied weights stand under
            one of their names, as in `named_parameters()`, and so count once.
        method: Name of the score, kept in the result.

    Returns:
        Scores in float32 on the CPU.
    """
    shape = layout.shape
    dims = {axis: torch.zeros(shape.layers, shape.heads, shape.head_size) for axis in (Axis.QUERY_KEY, Axis.VALUE)}
    neurons = torch.zeros(shape.layers, shape.neurons)
    layers = torch.zeros(shape.layers)
    hidden = torch.zeros(shape.hidden)
    for leaf in layout.leaves:
        for kind, axes in (("weight", (leaf.rows, leaf.columns)), ("bias", (leaf.rows,))):
            score = scores.get(f"{leaf.path}.{kind}")
            if score is None:
                continue
            score = score.detach().float().cpu()
            if leaf.layer is not None:
                layers[leaf.layer] += score.sum()
            for position, axis in enumerate(axes[: score.dim()]):
                if axis is Axis.FIXED:
                    continue
                per_entry = score if score.dim() == 1 else score.sum(1 - position)
                if axis is Axis.HIDDEN:
                    hidden += per_entry
                elif axis is Axis.NEURONS:
                    neurons[leaf.layer] += per_entry
                elif axis in dims:
                    dims[axis][leaf.layer] += per_entry.view(shape.heads, shape.head_size)
    return Importance(
        heads=(dims[Axis.QUERY_KEY] + dims[Axis.VALUE]).sum(-1),
        neurons=neurons,
        layers=layers,
        hidden=hidden,
        qk_dims=dims[Axis.QUERY_KEY],
        v_dims=dims[Axis.VALUE],
        method=method,
    )
