"""What the stock configuration of a model can say: which sub-networks are saved without a modelling file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sublm.architectures.shape import Shape
from sublm.spaces.subnet import Subnet, count


@dataclass(frozen=True)
class Stock:
    """The sub-networks of a model that a configuration of transformers' own can express.

    In every family kept layers must be alike, with both halves, and heads x head size must be the hidden size: stock
    classes compute the head size from the other two. The attributes are what some families ask for besides.

    Attributes:
        shape: Sizes of the super-network.
        all_heads: All heads must be kept, as where layers share a table of position biases: it has one set of columns.
        first_layer: The first layer must be kept, as where it alone has no norm.
        a_layer: Some layer must be kept, where the class fails without any.
        not_hidden: The one hidden size that cannot be: that of narrower embeddings, which would not be projected then.
    """

    shape: Shape
    all_heads: bool = False
    first_layer: bool = False
    a_layer: bool = False
    not_hidden: int | None = None

    def holds(self, subnet: Subnet) -> bool:
        """Whether a stock configuration expresses a sub-network."""
        hidden, layers = count(subnet.hidden), subnet.layers
        if hidden == self.not_hidden:
            return False
        if not layers:
            return not self.a_layer and hidden % self.shape.heads == 0
        heads = {count(subnet.heads[i]) for i in layers}
        neurons = {count(subnet.neurons[i]) for i in layers}
        if len(heads) > 1 or len(neurons) > 1 or 0 in heads | neurons:
            return False
        if (self.first_layer and layers[0] != 0) or (self.all_heads and heads != {self.shape.heads}):
            return False
        return heads.pop() * count(subnet.head_size) == hidden


def stock_of(supernet_or_shape: Any) -> Stock:
    """The rule of a super-network; of a shape alone, that of all families.

    Args:
        supernet_or_shape: A SuperNet, or a Shape.
    """
    found = getattr(supernet_or_shape, "stock", None)
    return found if isinstance(found, Stock) else Stock(getattr(supernet_or_shape, "shape", supernet_or_shape))
