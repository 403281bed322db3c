"""The one tensor that training and scoring need of whatever a model with a head returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def logits_of(outputs: Any) -> Tensor:
    """A head's logits.

    Args:
        outputs: What a transformers model returned.

    Returns:
        Its ``logits``, [rows, outputs]; of a model that answers questions [rows, tokens, 2], start and end.
    """
    found = getattr(outputs, "logits", None)
    if found is not None:
        return found
    return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
