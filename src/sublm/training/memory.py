"""A teacher's logits by row number: as many per row, or one per token of the row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class LogitsMemory:
    """Logits of rows with the same number of outputs, in one table that grows by doubling."""

    def __init__(self) -> None:
        self._logits = torch.zeros(0, 0)
        self._known = torch.zeros(0, dtype=torch.bool)

    def recall(self, index: Tensor) -> Tensor | None:
        """Logits of these rows, [rows, classes]; None unless all of them are known."""
        if int(index.max()) >= len(self._known) or not bool(self._known[index].all()):
            return None
        return self._logits[index]

    def remember(self, index: Tensor, logits: Tensor) -> None:
        """Keeps the logits of these rows."""
        rows = int(index.max()) + 1
        if not len(self._known):
            self._logits = torch.zeros(0, *logits.shape[1:])
        if rows > len(self._known):
            more = max(rows, 2 * len(self._known)) - len(self._known)  # doubling: growing costs little in all
            self._logits = torch.cat([self._logits, torch.zeros(more, *self._logits.shape[1:])])
            self._known = torch.cat([self._known, torch.zeros(more, dtype=torch.bool)])
        self._logits[index] = logits.detach().cpu()
        self._known[index] = True

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, for a checkpoint."""
        return {"teacher/logits": self._logits, "teacher/known": self._known} if len(self._known) else {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        self._logits, self._known = tensors["teacher/logits"].clone(), tensors["teacher/known"].clone()


class TokenLogitsMemory:
    """Logits of rows with a number per token: each row's own tokens, without the padding of its batch."""

    def __init__(self) -> None:
        self._rows: dict[int, Tensor] = {}  # row number -> [tokens, outputs]

    def recall(self, index: Tensor, width: int) -> Tensor | None:
        """Logits of these rows, [rows, width, outputs], zeros beyond a row's tokens; None unless all are known.

        Args:
            index: Row numbers, [rows].
            width: Tokens of the batch that they are for, padding included.
        """
        found = [self._rows.get(row) for row in index.tolist()]
        kept = [logits for logits in found if logits is not None]
        if len(kept) < len(found):
            return None
        padded = pad_sequence(kept, batch_first=True)
        missing = padded.new_zeros(len(padded), width - padded.shape[1], padded.shape[2])
        return torch.cat([padded, missing], dim=1)

    def remember(self, index: Tensor, logits: Tensor, lengths: Tensor) -> None:
        """Keeps the logits of these rows up to their lengths."""
        values = logits.detach().cpu()
        for row, logit, length in zip(index.tolist(), values, lengths.tolist(), strict=True):
            self._rows[row] = logit[:length].clone()

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, for a checkpoint: all rows one after the other."""
        if not self._rows:
            return {}
        return {
            "teacher/token_logits": torch.cat(list(self._rows.values())),
            "teacher/token_rows": torch.tensor(list(self._rows)),
            "teacher/token_lengths": torch.tensor([len(logits) for logits in self._rows.values()]),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        parts = tensors["teacher/token_logits"].split(tensors["teacher/token_lengths"].tolist())
        self._rows = {
            row: part.clone() for row, part in zip(tensors["teacher/token_rows"].tolist(), parts, strict=True)
        }
