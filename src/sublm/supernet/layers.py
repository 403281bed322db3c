"""Elastic leaf layers and skippable blocks: ordinary modules that compute with a part of their weights.

A loaded model's modules change their class in place, so parameters, tied weights, names in the state dict and
transformers' own forward stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from sublm.supernet.selection import Selection, take


class ElasticLinear(nn.Linear):
    """A linear layer that uses chosen rows (outputs) and columns (inputs) of its weight."""

    rows: Selection = None
    columns: Selection = None

    def forward(self, input: Tensor) -> Tensor:
        """Maps `[..., columns in use]` to `[..., rows in use]`."""
        weight = take(take(self.weight, 0, self.rows), 1, self.columns)
        bias = self.bias if self.bias is None else take(self.bias, 0, self.rows)
        return F.linear(input, weight, bias)


class ElasticEmbedding(nn.Embedding):
    """An embedding that uses chosen columns (channels) of its table."""

    rows: Selection = None
    columns: Selection = None

    def forward(self, input: Tensor) -> Tensor:
        """Maps indices `[...]` to `[..., columns in use]`; the cut follows the look-up, whose result is small."""
        return take(super().forward(input), input.dim(), self.columns)


class ElasticLayerNorm(nn.LayerNorm):
    """A LayerNorm over the channels in use only."""

    rows: Selection = None
    columns: Selection = None

    def forward(self, input: Tensor) -> Tensor:
        """Normalises `[..., rows in use]` over its last axis."""
        weight = take(self.weight, 0, self.rows)
        bias = self.bias if self.bias is None else take(self.bias, 0, self.rows)
        return F.layer_norm(input, weight.shape, weight, bias, self.eps)


ELASTIC: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: ElasticLinear,
    nn.Embedding: ElasticEmbedding,
    nn.LayerNorm: ElasticLayerNorm,
}


@functools.cache
def skippable_attention(block: type[nn.Module]) -> type[nn.Module]:
    """The class of an attention block that can pass its input through, norm included.

    Args:
        block: A class whose forward maps `(hidden, ...)` to `(hidden, attention weights)`.
    """

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.skipped:
            return hidden_states, None
        return block.forward(self, hidden_states, *args, **kwargs)

    return _subclass(block, forward, skippable_attention)


@functools.cache
def skippable_ffn_input(block: type[nn.Module]) -> type[nn.Module]:
    """The class of the first FFN block that can leave its input alone."""

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        return hidden_states if self.skipped else block.forward(self, hidden_states)

    return _subclass(block, forward, skippable_ffn_input)


@functools.cache
def skippable_ffn_output(block: type[nn.Module]) -> type[nn.Module]:
    """The class of the second FFN block that can return the residual, norm skipped."""

    def forward(self: Any, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        return input_tensor if self.skipped else block.forward(self, hidden_states, input_tensor)

    return _subclass(block, forward, skippable_ffn_output)


def _subclass(block: type[nn.Module], forward: Callable[..., Any], factory: Any) -> type[nn.Module]:
    """A class made at run time; its objects can be pickled, for another process makes the class again."""

    def reduce(self: nn.Module, protocol: int) -> Any:
        return _rebuild, (factory, block), self.__dict__

    body = {"forward": forward, "skipped": False, "__reduce_ex__": reduce}
    return type(f"Elastic{block.__name__}", (block,), body)


def _rebuild(factory: Any, block: type[nn.Module]) -> nn.Module:
    kind = factory(block)
    return kind.__new__(kind)
