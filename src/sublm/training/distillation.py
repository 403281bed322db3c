"""Losses: of a task's labels, of a teacher's logits and of a teacher's hidden states. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sublm.errors import TrainingError
from sublm.training.task_losses import TASK_LOSSES


@dataclass(frozen=True)
class Distillation:
    """How a student learns from a teacher: a weighted sum of up to three losses.

    `labels` · task loss + `logits` · τ² KL(teacher ‖ student) + `hidden` · MSE of the hidden states.
    For regression and relevance the second is the mean squared difference of the predictions; for spans the KL of the
    starts and of the ends, over the tokens of a row, averaged; for tagged words that of the tags. The defaults are
    Klein et al.'s; EFTNAS's are `Distillation(temperature=2, labels=0.1, logits=0.9)`.

    Attributes:
        temperature: τ, by which both logits are divided before the softmax.
        labels: Weight of the task loss; None means 1 for classes and 0 for regression and relevance.
        logits: Weight of the teacher's logits.
        hidden: Weight of the teacher's hidden states; needs the same hidden size.
        layers: For every layer of the student, the layer of the teacher it learns from (from 0);
            None means the same layer, or spread evenly when the teacher has more.
    """

    temperature: float = 10.0
    labels: float | None = None
    logits: float = 1.0
    hidden: float = 0.0
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TrainingError(f"temperature must be above 0; got {self.temperature}.")
        for name in ("labels", "logits", "hidden"):
            weight = getattr(self, name)
            if weight is not None and not weight >= 0:
                raise TrainingError(f"The weight {name} must not be negative; got {weight}.")
        if not (self.logits or self.hidden or self.labels is None or self.labels):
            raise TrainingError("All weights of the distillation are 0; give labels, logits or hidden a weight.")

    def weight_of_labels(self, kind: str) -> float:
        """Weight of the task loss for a kind of task."""
        if self.labels is not None:
            return self.labels
        return TASK_LOSSES[kind].label_weight

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def _precise(values: Tensor) -> Tensor:
    """Half-precision values as float32: a softmax at τ = 10 differs in digits that bf16 does not have."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _same_rows(values: Tensor, labels: Tensor) -> None:
    if values.shape[0] != labels.shape[0]:
        raise TrainingError(
            f"{values.shape[0]} predictions for {labels.shape[0]} labels; both need one row per example."
        )


def label_loss(kind: str, logits: Tensor, labels: Tensor, counted: Tensor | None = None) -> Tensor:
    """The mean loss of predictions against labels, a scalar; see the kind's class in `sublm.training.task_losses`.

    Args:
        kind: A key of `TASK_LOSSES`.
        logits: Predictions, [rows, classes]; [rows, 1] or [rows] of numbers and relevance; [rows, tokens, 2] of spans;
            [rows, tokens, tags] of tagged words.
        labels: Class numbers or values, [rows]; what each class is worth, [rows, classes], as a teacher says; positions
            [rows, 2] for spans; tags [rows, tokens].
        counted: 1 for tokens that count, [rows, tokens]: of spans the real ones.
    """
    _same_rows(logits, labels)
    return TASK_LOSSES[kind].to_labels(_precise(logits), labels, counted)


def logits_loss(
    kind: str, student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None
) -> Tensor:
    """The mean loss of a student's logits against a teacher's, a scalar: τ² KL, or the mean squared difference.

    Args:
        kind: A key of `TASK_LOSSES`.
        student: Logits of the student, as for `label_loss`.
        teacher: Logits of the teacher, of the same shape; no gradient flows into them.
        temperature: τ.
        counted: 1 for tokens that count, [rows, tokens]: of spans the real ones, of tagged words the first pieces.

    Raises:
        TrainingError: If the shapes differ.
    """
    if student.shape != teacher.shape:
        raise TrainingError(
            f"The teacher's logits have the shape {list(teacher.shape)}, the student's {list(student.shape)}; "
            "both models need the same labels."
        )
    values, targets = _precise(student), _precise(teacher.detach())
    return TASK_LOSSES[kind].to_teacher(values, targets.to(values.dtype), temperature, counted)


def hidden_loss(
    student: Sequence[Tensor], teacher: Sequence[Tensor], pairs: Sequence[tuple[int, int]], mask: Tensor | None
) -> Tensor:
    """Mean squared difference of hidden states over paired layers, real tokens and channels.

    Args:
        student: Hidden states of the student: of the embeddings, then of every layer, each [rows, tokens, hidden].
        teacher: Those of the teacher; no gradient flows into them.
        pairs: Positions in `student` and `teacher` that belong together.
        mask: 1 for real tokens, [..., tokens] with as many rows as the hidden states; None when all are.

    Returns:
        The mean over the pairs, a scalar.

    Raises:
        TrainingError: If no pair was given or the hidden sizes differ.
    """
    if not pairs:
        raise TrainingError(
            "No layer of the student is paired with one of the teacher; set hidden=0 for this training."
        )
    losses = []
    for i, j in pairs:
        one, other = _precise(student[i]), _precise(teacher[j].detach())
        if one.shape != other.shape:
            raise TrainingError(
                f"Hidden states of the student have the shape {list(one.shape)}, of the teacher {list(other.shape)}; "
                "the hidden term needs the same hidden size: set hidden=0, or keep the hidden size."
            )
        squares = (one - other).square().mean(-1)
        if mask is None:
            losses.append(squares.mean())
        else:
            real = mask.reshape(squares.shape).to(squares.dtype)
            losses.append((squares * real).sum() / real.sum().clamp(min=1))
    return torch.stack(losses).mean()


def pair_layers(student: int, teacher: int, layers: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Positions of hidden states that belong together, the embeddings' (position 0) left out.

    Args:
        student: Layers of the student.
        teacher: Layers of the teacher.
        layers: For every layer of the student, that of the teacher (from 0). None spreads them evenly, the last
            on the last.

    Raises:
        TrainingError: If `layers` does not fit.
    """
    if layers is None:
        return [(i, max(1, round(i * teacher / student))) for i in range(1, student + 1)]
    if len(layers) != student or any(not 0 <= layer < teacher for layer in layers):
        raise TrainingError(
            f"layers={list(layers)} must name, for each of the student's {student} layers, one of the teacher's "
            f"{teacher} (0 to {teacher - 1})."
        )
    return [(i, layer + 1) for i, layer in enumerate(layers, start=1)]
