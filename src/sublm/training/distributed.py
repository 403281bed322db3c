"""Several processes training one model: every process takes its rows of each batch, the gradients are summed.

A batch is cut into parts, each with sub-networks of its own. With as many parts as processes each process draws for
itself; with one part all train the same sub-networks.

The gradients are summed once per step, after all passes of all sub-networks, rather than by hooks
during the last backward: a sub-network leaves layers out, and shared embeddings end their backward
after everyone else's, both of which such hooks cannot follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor


def share(batch: dict[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
    """The rows of a batch that belong to one of `world` processes; may be none."""
    return batch if world == 1 else {name: values[rank::world] for name, values in batch.items()}


def shares(batch: dict[str, Tensor], parts: int, rank: int, world: int) -> list[tuple[int, dict[str, Tensor]]]:
    """What one of `world` processes does of a batch: numbers of parts, and its rows of each.

    Args:
        batch: The batch.
        parts: Into how many it is cut: a divisor or a multiple of `world`.
        rank: Number of the process.
        world: How many there are.
    """
    if parts >= world:
        return [(part, share(batch, part, parts)) for part in range(rank, parts, world)]
    part = rank % parts
    return [(part, share(share(batch, part, parts), rank // parts, world // parts))]


def sum_gradients(accelerator: Accelerator, parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sums the gradients over all processes; a parameter that none of them used keeps no gradient."""
    if accelerator.num_processes == 1:
        return
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=accelerator.device)
    used = accelerator.reduce(used, reduction="sum")
    chosen = [p for p, n in zip(parameters, used.tolist(), strict=True) if n]
    flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1) for p in chosen])
    flat = accelerator.reduce(flat, reduction="sum")
    for parameter, part in zip(chosen, flat.split([p.numel() for p in chosen]), strict=True):
        parameter.grad = part.view_as(parameter).clone()
