"""One embedding forward and backward for all sub-networks of a training step.

The dense gradient of the word embeddings (vocabulary x hidden) costs as much as a tiny sub-network's whole encoder, so
it is taken once per step instead of once per sub-network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


@contextmanager
def shared_embeddings(supernet: SuperNet) -> Iterator[None]:
    """Shares the embedding block's work between the forward passes of one batch.

    Sub-networks that keep other hidden channels get an embedding of their own.

    Args:
        supernet: The super-network; every forward pass inside must see the same batch.
    """
    block: Any = supernet.layout.embeddings
    original = block.forward
    computed: dict[Any, tuple[Tensor, Tensor]] = {}

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        key = (supernet.active.hidden, torch.is_grad_enabled())
        if key not in computed:
            output = original(*args, **kwargs)
            leaf = output.detach().requires_grad_() if output.requires_grad else output
            computed[key] = (output, leaf)
        return computed[key][1]

    block.forward = forward
    try:
        yield
    finally:
        del block.forward
    pairs = [(output, leaf.grad) for output, leaf in computed.values() if leaf is not output and leaf.grad is not None]
    if pairs:
        torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
