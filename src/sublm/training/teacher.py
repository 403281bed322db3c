"""An outside teacher: its logits computed once per example, its hidden states when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from sublm.outputs import logits_of
from sublm.training.memory import LogitsMemory, TokenLogitsMemory


class Teacher:
    """Runs a teacher and remembers its logits by row number, so that it costs one pass over the data in all.

    Args:
        model: The teacher; it is set to evaluation and never trained.
        autocast: Gives the context its forward runs in.
    """

    def __init__(self, model: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        self.model = model.eval()
        self.passes = 0
        self._autocast = autocast
        self._rows = LogitsMemory()
        self._tokens: TokenLogitsMemory | None = None  # instead, once the teacher gave a number per token

    def outputs(self, inputs: Mapping[str, Tensor], index: Tensor | None, *, hidden: bool) -> tuple[Tensor, Any]:
        """Logits and, if asked for, hidden states of a batch.

        Args:
            inputs: The batch as the model takes it.
            index: Row numbers, [rows], on the CPU; None when the batch does not say: nothing is remembered then.
            hidden: Whether the hidden states are wanted too; they are too large to be remembered.

        Returns:
            Logits [rows, classes], or [rows, tokens, outputs] with anything in the padding, on the inputs' device, and
            the hidden states or None.
        """
        device = next(iter(inputs.values())).device
        if not hidden and index is not None:
            known = self.recall(index, inputs["input_ids"].shape[-1])
            if known is not None:
                return known.to(device, non_blocking=True), None
        self.passes += 1
        with torch.no_grad(), self._autocast():
            outputs = self.model(**inputs, output_hidden_states=hidden, return_dict=True)
        logits = logits_of(outputs).float()
        if not hidden and index is not None:
            self.remember(index, logits, inputs.get("attention_mask"))
        return logits, outputs.hidden_states if hidden else None

    def recall(self, index: Tensor, width: int = 0) -> Tensor | None:
        """Remembered logits of these rows, as `outputs` gives them; None unless all of them are known.

        Args:
            index: Row numbers, [rows].
            width: Tokens of the batch, for logits per token.
        """
        return self._rows.recall(index) if self._tokens is None else self._tokens.recall(index, width)

    def remember(self, index: Tensor, logits: Tensor, mask: Tensor | None = None) -> None:
        """Keeps the logits of these rows; of those per token the real ones, which stand before the padding."""
        if logits.dim() < 3:
            self._rows.remember(index, logits)
            return
        if self._tokens is None:
            self._tokens = TokenLogitsMemory()
        lengths = torch.full((len(logits),), logits.shape[1]) if mask is None else mask.sum(-1).cpu()
        self._tokens.remember(index, logits, lengths)

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, for a checkpoint: logits computed again in another batch differ in the last digits."""
        return self._rows.tensors() if self._tokens is None else self._tokens.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        if "teacher/logits" in tensors:
            self._rows.restore(tensors)
        if "teacher/token_logits" in tensors:
            self._tokens = TokenLogitsMemory()
            self._tokens.restore(tensors)
