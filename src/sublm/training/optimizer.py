"""AdamW over a model's parameters, and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn


def build_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW, fused where the device can, without weight decay on biases and norms (all vectors)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda", "xpu", "mps") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def schedule_factor(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Share of the highest learning rate at a step.

    Args:
        step: The step, from 0.
        steps: All steps.
        warmup: Share of the steps in which the rate rises linearly.
        schedule: "linear" or "cosine": how it falls to 0 afterwards.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
