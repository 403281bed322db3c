"""A second, naive definition of a sub-network: the original model with masks; shares no code with the package."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn

from sublm.spaces.subnet import Subnet, count, indices


class MaskedLayerNorm(nn.Module):
    """Normalises over the kept channels only; the others become zero."""

    def __init__(self, norm: nn.LayerNorm, mask: Tensor) -> None:
        super().__init__()
        self.norm, self.mask = norm, mask

    def forward(self, x: Tensor) -> Tensor:
        kept = self.mask.sum()
        mean = (x * self.mask).sum(-1, keepdim=True) / kept
        variance = ((x - mean).square() * self.mask).sum(-1, keepdim=True) / kept
        return ((x - mean) / (variance + self.norm.eps).sqrt() * self.norm.weight + self.norm.bias) * self.mask


def _mask(units: Any, total: int) -> Tensor:
    mask = torch.zeros(total)
    mask[list(indices(units))] = 1
    return mask


def masked_model(model: Any, subnet: Subnet) -> Any:
    """A copy of a stock model of full size that computes what the sub-network should."""
    model = copy.deepcopy(model)
    config = model.config
    width, heads = config.hidden_size, config.num_attention_heads
    size = width // heads
    hidden, dims = _mask(subnet.hidden, width), _mask(subnet.head_size, size)
    for name, module in list(model.named_modules()):
        in_attention = re.search(r"attention\.self\.(query|key|value)$", name)
        if isinstance(module, nn.LayerNorm) and module.normalized_shape == (width,):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, MaskedLayerNorm(module, hidden))
        elif isinstance(module, nn.Linear) and module.out_features == width and not in_attention:
            module.register_forward_hook(lambda m, i, out: out * hidden)
    for name, layer in model.named_modules():
        found = re.search(r"encoder\.layer\.(\d+)$", name)
        if not found:
            continue
        number = int(found.group(1))
        kept, neurons = subnet.heads[number], subnet.neurons[number]
        attention = layer.attention.self
        attention.scaling = count(subnet.head_size) ** -0.5
        with torch.no_grad():
            rows = (_mask(kept, heads)[:, None] * dims).flatten()
            for linear in (attention.query, attention.key, attention.value):
                linear.weight.mul_(rows[:, None])
                linear.bias.mul_(rows)
            layer.output.dense.weight.mul_(_mask(neurons, config.intermediate_size))
        if not count(kept):
            layer.attention.forward = lambda states, *args, **kwargs: (states, None)
        if not count(neurons):
            layer.intermediate.forward = lambda states: states
            layer.output.forward = lambda states, residual: residual
    return model
