"""Copying a sub-network out of the super-network as an ordinary model."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import initialization

from sublm.architectures import Axis
from sublm.spaces.subnet import Subnet, count, indices
from sublm.supernet import modeling_sublm
from sublm.supernet.rewired import BIAS_COLUMNS
from sublm.supernet.selection import select_heads, take

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


def is_stock(supernet: SuperNet, subnet: Subnet) -> bool:
    """Whether a stock transformers configuration can express a sub-network.

    Args:
        supernet: The super-network; its `stock` says what its family's configuration can express.
        subnet: A sub-network that fits it.
    """
    return supernet.stock.holds(subnet)


def extract(supernet: SuperNet, subnet: Subnet) -> Any:
    """Builds the ordinary model of a sub-network and copies its weights.

    Args:
        supernet: The super-network.
        subnet: A sub-network that fits it.

    Returns:
        A stock model if `is_stock`, else one of `modeling_sublm`'s classes.
    """
    source = supernet.model
    stock = is_stock(supernet, subnet)
    if stock:
        kind, config = type(source), copy.deepcopy(source.config)
    else:
        kind = modeling_sublm.class_for(type(source))
        config = kind.config_class(**{k: v for k, v in source.config.to_dict().items() if k != "model_type"})
        config._attn_implementation = source.config._attn_implementation
    changes = _sizes(supernet, subnet) | (_alike if stock else _each)(supernet, subnet)
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]), initialization.no_init_weights():
        model = kind(config)
    if getattr(source.base_model, "pooler", model) is None:  # built with add_pooling_layer=False
        model.base_model.pooler = None
    model.load_state_dict(sliced_state_dict(supernet, subnet))
    model.tie_weights()
    model.to(dtype=source.dtype, device=source.device)
    return model.train(source.training)


def kept_layers(supernet: SuperNet, subnet: Subnet) -> tuple[int, ...]:
    """Layers of the super-network that an extracted model has; an empty one where its class fails without any."""
    return subnet.layers or ((0,) if supernet.layout.architecture.needs_a_layer else ())


def _sizes(supernet: SuperNet, subnet: Subnet) -> dict[str, Any]:
    """What changes in every configuration."""
    table, config = supernet.layout.architecture, supernet.model.config
    layers = kept_layers(supernet, subnet)
    changes: dict[str, Any] = {table.sizes["layers"]: len(layers), table.sizes["hidden"]: count(subnet.hidden)}
    for name in table.follow_hidden:
        if getattr(config, name, None) == supernet.shape.hidden:
            changes[name] = count(subnet.hidden)
    for name in table.per_layer:
        changes[name] = [getattr(config, name)[i] for i in layers]
    if hasattr(config, "attention_head_size"):
        changes["attention_head_size"] = count(subnet.head_size)
    return changes


def _alike(supernet: SuperNet, subnet: Subnet) -> dict[str, Any]:
    """What changes besides in a stock configuration."""
    if not subnet.layers:
        return {}
    sizes, first = supernet.layout.architecture.sizes, subnet.layers[0]
    return {sizes["heads"]: count(subnet.heads[first]), sizes["neurons"]: count(subnet.neurons[first])}


def _each(supernet: SuperNet, subnet: Subnet) -> dict[str, Any]:
    """What changes besides in a configuration whose layers differ."""
    layout, layers = supernet.layout, kept_layers(supernet, subnet)
    changes: dict[str, Any] = {
        "layer_heads": [count(subnet.heads[i]) for i in layers],
        "layer_neurons": [count(subnet.neurons[i]) for i in layers],
        "head_size": count(subnet.head_size),
    }
    if layout.projected:
        changes["project_embeddings"] = True
    if layout.architecture.shared_head_bias:
        columns = [_bias_columns(supernet, i) for i in layers]
        changes["layer_bias_columns"] = [
            [of_layer[head] for head in indices(subnet.heads[i])] for i, of_layer in zip(layers, columns, strict=True)
        ]
    if layout.architecture.rotary:
        changes["head_dim"] = count(subnet.head_size)
    if layout.architecture.first_norm:
        changes["first_norm"] = bool(layers) and layers[0] != 0
    return changes


def _bias_columns(supernet: SuperNet, layer: int) -> tuple[int, ...]:
    """For every head of a layer its column in the table of position biases that all layers share."""
    attention: Any = supernet.layout.blocks[layer].self_attention
    return attention.bias_columns or tuple(range(supernet.shape.heads))


def sliced_state_dict(supernet: SuperNet, subnet: Subnet) -> dict[str, Tensor]:
    """The weights of a sub-network under the names of its extracted model."""
    chosen = supernet.selections(subnet)
    if supernet.layout.architecture.shared_head_bias and is_stock(supernet, subnet):
        shape = supernet.shape  # a stock model's heads stand in the order of the table that its layers share
        for layer in subnet.layers:
            columns = _bias_columns(supernet, layer)
            heads = tuple(columns.index(column) for column in range(shape.heads))
            order = select_heads(heads, subnet.head_size, shape.heads, shape.head_size)
            chosen[Axis.QUERY_KEY, layer] = chosen[Axis.VALUE, layer] = order
    leaves = {leaf.path: leaf for leaf in supernet.layout.leaves}
    new_index = {old: new for new, old in enumerate(kept_layers(supernet, subnet))}
    pattern = re.compile(rf"^{re.escape(supernet.layout.layers_path)}\.(\d+)\.")
    state: dict[str, Tensor] = {}
    for name, tensor in supernet.model.state_dict().items():
        path, _, kind = name.rpartition(".")
        if kind == BIAS_COLUMNS:
            continue
        leaf = leaves.get(path)
        if leaf is not None:
            if leaf.half == "attention" and not count(subnet.heads[leaf.layer]):  # type: ignore[index]
                continue
            if leaf.half == "ffn" and not count(subnet.neurons[leaf.layer]):  # type: ignore[index]
                continue
            tensor = take(tensor, 0, chosen[leaf.rows, leaf.layer])
            if kind == "weight" and tensor.dim() == 2:
                tensor = take(tensor, 1, chosen[leaf.columns, leaf.layer])
        match = pattern.match(name)
        if match:
            old = int(match.group(1))
            if old not in new_index:
                continue
            name = f"{supernet.layout.layers_path}.{new_index[old]}.{name[match.end() :]}"
        state[name] = tensor
    return state
