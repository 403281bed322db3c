"""What each kind of task lowers: how far predictions are from labels, and a student's from a teacher's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from sublm.tasks.words import NO_WORD


class TaskLoss(ABC):
    """The two losses of a kind of task, on float32 (or wider) predictions of equal shape; each a scalar."""

    label_weight: float = 1.0
    """Of the labels beside a teacher's logits, if nobody says otherwise."""

    @abstractmethod
    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """The mean loss of predictions against labels.

        Args:
            values: Predictions, [rows, ...].
            labels: As the task's batches have them, [rows, ...].
            counted: 1 for tokens that count, [rows, tokens], see `counted`; None when all do.
        """

    @abstractmethod
    def to_teacher(self, values: Tensor, targets: Tensor, temperature: float, counted: Tensor | None) -> Tensor:
        """The mean loss of a student's predictions against a teacher's, both [rows, ...]."""

    def counted(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """1 for the tokens of a batch whose predictions count, [rows, tokens]; None where predictions are of rows."""
        return None

    def count(self, labels: Tensor) -> int:
        """How many things the losses are means of."""
        return len(labels)


class Classes(TaskLoss):
    """One of several classes or choices per row: values [rows, classes], labels [rows] or the share of each class."""

    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """Cross entropy."""
        return functional.cross_entropy(values, labels.to(values.dtype) if labels.dim() == 2 else labels.long())

    def to_teacher(self, values: Tensor, targets: Tensor, temperature: float, counted: Tensor | None) -> Tensor:
        """τ² KL(softmax(teacher/τ) ‖ softmax(student/τ))."""
        student, teacher = (functional.log_softmax(part / temperature, dim=-1) for part in (values, targets))
        return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


class Numbers(TaskLoss):
    """A number per row: values [rows, 1] or [rows], labels [rows]."""

    label_weight = 0.0

    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(values.reshape(-1), labels.to(values.dtype).reshape(-1))

    def to_teacher(self, values: Tensor, targets: Tensor, temperature: float, counted: Tensor | None) -> Tensor:
        """Mean squared difference."""
        return functional.mse_loss(values, targets)


class Relevance(Numbers):
    """A score per row, labels from 0 to 1; a teacher is followed in the scores before the sigmoid."""

    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """Binary cross entropy of the sigmoid."""
        wanted = labels.to(values.dtype).reshape(-1)
        return functional.binary_cross_entropy_with_logits(values.reshape(-1), wanted)


class Spans(Classes):
    """Start and end of an answer: values [rows, tokens, 2], labels [rows, 2]."""

    def counted(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """All but the padding."""
        return batch.get("attention_mask")

    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """Mean cross entropy of both over the tokens of a row; a position that is not in the row does not count."""
        places = labels.long().movedim(-1, 0)
        inside = (places >= 0) & (places < values.shape[1])
        flat = places.where(inside, -1).flatten()
        losses = functional.cross_entropy(_over_tokens(values, counted), flat, ignore_index=-1, reduction="none")
        return (losses.view(inside.shape).sum(1) / inside.sum(1).clamp(min=1)).mean()

    def to_teacher(self, values: Tensor, targets: Tensor, temperature: float, counted: Tensor | None) -> Tensor:
        """The KL over tokens, once for the starts and once for the ends, averaged."""
        student, teacher = (_over_tokens(part, counted) for part in (values, targets))
        return super().to_teacher(student, teacher, temperature, None)


class Words(Classes):
    """A tag per word: values [rows, tokens, tags], labels [rows, tokens], `NO_WORD` but for the first pieces."""

    def counted(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """The first pieces of words."""
        return batch["labels"] != NO_WORD

    def count(self, labels: Tensor) -> int:
        """The words."""
        return int((labels != NO_WORD).sum())

    def to_labels(self, values: Tensor, labels: Tensor, counted: Tensor | None) -> Tensor:
        """Cross entropy, the mean over the words."""
        losses = functional.cross_entropy(values.flatten(0, 1), labels.long().flatten(), reduction="sum")
        return losses / max(1, self.count(labels))

    def to_teacher(self, values: Tensor, targets: Tensor, temperature: float, counted: Tensor | None) -> Tensor:
        """The KL over tags, the mean over the words."""
        if counted is not None:
            values, targets = values[counted.bool()], targets[counted.bool()]
        return super().to_teacher(values.flatten(0, -2), targets.flatten(0, -2), temperature, None)


TASK_LOSSES: dict[str, TaskLoss] = {
    "classification": Classes(),
    "multiple_choice": Classes(),
    "candidates": Classes(),
    "regression": Numbers(),
    "span": Spans(),
    "tokens": Words(),
    "rerank": Relevance(),
}
"""Kind of task to its losses, of the kinds that have labels."""


def _over_tokens(logits: Tensor, mask: Tensor | None) -> Tensor:
    """[rows, tokens, 2] as [2 * rows, tokens], starts then ends; padding is so unlikely that it counts for nothing."""
    values = logits.movedim(-1, 0)
    if mask is not None:
        # Not -inf, whose difference from itself is no number in a KL.
        values = values.masked_fill(mask.to(values.device) == 0, torch.finfo(values.dtype).min / 2)
    return values.flatten(0, 1)
