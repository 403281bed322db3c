"""An outside teacher: its logits computed once per example, its hidden states when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


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
        self._logits: Tensor | None = None  # [rows seen so far, classes], on the CPU
        self._known = torch.zeros(0, dtype=torch.bool)

    def outputs(self, inputs: Mapping[str, Tensor], index: Tensor | None, *, hidden: bool) -> tuple[Tensor, Any]:
        """Logits and, if asked for, hidden states of a batch.

        Args:
            inputs: The batch as the model takes it.
            index: Row numbers, [rows], on the CPU; None when the batch does not say: nothing is remembered then.
            hidden: Whether the hidden states are wanted too; they are too large to be remembered.

        Returns:
            Logits [rows, classes] on the inputs' device, and the hidden states or None.
        """
        device = next(iter(inputs.values())).device
        if not hidden and index is not None:
            known = self.recall(index)
            if known is not None:
                return known.to(device, non_blocking=True), None
        self.passes += 1
        with torch.no_grad(), self._autocast():
            outputs = self.model(**inputs, output_hidden_states=hidden, return_dict=True)
        logits = outputs.logits.float()
        if not hidden and index is not None:
            self.remember(index, logits)
        return logits, outputs.hidden_states if hidden else None

    def recall(self, index: Tensor) -> Tensor | None:
        """Remembered logits of these rows, [rows, classes]; None unless all of them are known."""
        if self._logits is None or int(index.max()) >= len(self._known) or not bool(self._known[index].all()):
            return None
        return self._logits[index]

    def remember(self, index: Tensor, logits: Tensor) -> None:
        """Keeps the logits of these rows."""
        rows = int(index.max()) + 1
        if self._logits is None:
            self._logits = torch.zeros(0, *logits.shape[1:])
        if rows > len(self._known):
            more = max(rows, 2 * len(self._known)) - len(self._known)  # doubling: growing costs little in all
            self._logits = torch.cat([self._logits, torch.zeros(more, *self._logits.shape[1:])])
            self._known = torch.cat([self._known, torch.zeros(more, dtype=torch.bool)])
        self._logits[index] = logits.detach().cpu()
        self._known[index] = True

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, for a checkpoint: logits computed again in another batch differ in the last digits."""
        return {} if self._logits is None else {"teacher/logits": self._logits, "teacher/known": self._known}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        if "teacher/logits" in tensors:
            self._logits, self._known = tensors["teacher/logits"].clone(), tensors["teacher/known"].clone()
