"""The sizes of a super-network that sub-networks are cut from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer encoder whose layers are all alike.

    Attributes:
        layers: Number of transformer layers.
        hidden: Width of the residual stream (hidden channels).
        heads: Attention heads in each layer.
        head_size: Width of one attention head.
        neurons: Neurons (intermediate units) in the FFN of each layer.
    """

    layers: int
    hidden: int
    heads: int
    head_size: int
    neurons: int
