"""Which of torch's attention kernels a training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def fastest_attention(model: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """Inside, a model trains with the attention that is fastest on the device; the function is the same.

    On processors the backward of torch's fused attention in bf16 takes three and a half to nine times as long as that
    of plain matrix products (`benchmarks/attention_speed.py`). Everywhere else, and for models whose user chose an
    attention, nothing changes.

    Args:
        model: The model trained.
        device: Where.
        precision: "fp32", "bf16" or "fp16".
    """
    config: Any = getattr(model, "config", None)
    chosen = getattr(config, "_attn_implementation", None)
    slow = device.type == "cpu" and precision == "bf16" and chosen == "sdpa"
    if not slow or not hasattr(model, "set_attn_implementation"):
        yield
        return
    model.set_attn_implementation("eager")  # type: ignore[operator]
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)  # type: ignore[operator]
