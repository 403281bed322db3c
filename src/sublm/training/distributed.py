"""Several processes training one model: every process takes its rows of each batch, the gradients are summed.

A batch is cut into parts, each with sub-networks of its own. With as many parts as processes each process draws for
itself; with one part all train the same sub-networks.

The gradients are summed once per step, after all passes of all sub-networks, rather than by hooks
during the last backward: a sub-network leaves layers out, and shared embeddings end their backward
after everyone else's, both of which such hooks cannot follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from sublm.errors import RunError, SubLMError


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


def together(accelerator: Accelerator, action: Callable[[], Any]) -> list[Any]:
    """What an action gives in every process; an error that one of them meets is met by all.

    Without this, whoever failed would leave the others waiting in the next sum.

    Args:
        accelerator: The processes.
        action: Does something in this process alone; gives plain data.

    Raises:
        SubLMError: What an action raised; a file that could not be read or written is a RunError.
        RuntimeError: In the others, if an action raised anything else, which its own process raises as it is.
    """
    if accelerator.num_processes == 1:
        return [action()]
    value: Any = None
    own: Exception | None = None  # what this process met, and what the others are told of it
    told: Exception | None = None
    try:
        value = action()
    except SubLMError as error:
        own = told = error
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        own = told = RunError(f"{error.strerror or error}{where}")
    except Exception as error:
        own, told = error, RuntimeError(f"process {accelerator.process_index}: {type(error).__name__}: {error}")
    found = gather_object([(value, told)])
    if own is not None:
        raise own
    for _, met in found:
        if met is not None:
            raise met
    return [value for value, _ in found]


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
