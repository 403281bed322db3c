"""The objective of a task: its labels, and a teacher's logits and hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sublm.errors import TrainingError
from sublm.outputs import logits_of
from sublm.spaces.subnet import Subnet
from sublm.training.distillation import Distillation, hidden_loss, label_loss, logits_loss, pair_layers
from sublm.training.objectives.objective import NOT_INPUTS, Answer
from sublm.training.task_losses import TASK_LOSSES


@dataclass(frozen=True)
class TaskObjective:
    """Learns a task from its labels or from a teacher.

    Attributes:
        kind: A key of `TASK_LOSSES`.
        distillation: How students learn from teachers.
    """

    kind: str = "classification"
    distillation: Distillation = field(default_factory=Distillation)

    def __post_init__(self) -> None:
        if self.kind not in TASK_LOSSES:
            raise TrainingError(
                f"A task of the kind {self.kind!r} has no labels to learn from; there are labels for "
                f"{', '.join(TASK_LOSSES)}. Embedding models are made smaller with `sublm compress`."
            )

    @property
    def rememberable(self) -> bool:
        """Whether logits are enough; hidden states are too large to be remembered."""
        return not self.distillation.hidden

    def answer(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Answer:
        """See `Objective.answer`."""
        inputs = {name: values for name, values in batch.items() if name not in NOT_INPUTS}
        outputs = model(**inputs, output_hidden_states=self.distillation.hidden > 0, return_dict=True)
        return Answer(logits_of(outputs), outputs.hidden_states if self.distillation.hidden else None)

    def loss(self, answer: Answer, source: Answer | None, batch: Mapping[str, Tensor], subnet: Subnet | None) -> Tensor:
        """See `Objective.loss`."""
        weights, labels, mask = self.distillation, batch["labels"], batch.get("attention_mask")
        counted = TASK_LOSSES[self.kind].counted(batch)
        if source is None:
            return label_loss(self.kind, answer.logits, labels, counted)
        terms: list[Tensor] = []
        if weights.weight_of_labels(self.kind):
            terms.append(weights.weight_of_labels(self.kind) * label_loss(self.kind, answer.logits, labels, counted))
        if weights.logits:
            loss = logits_loss(self.kind, answer.logits, source.logits, weights.temperature, counted)
            terms.append(weights.logits * loss)
        if weights.hidden and answer.hidden is not None and source.hidden is not None:
            pairs = pair_layers(len(answer.hidden) - 1, len(source.hidden) - 1, weights.layers)
            if subnet is not None:  # a dropped layer hands on what it was given
                pairs = [pair for pair in pairs if pair[0] - 1 in set(subnet.layers)]
            if pairs:
                terms.append(weights.hidden * hidden_loss(answer.hidden, source.hidden, pairs, mask))
        if not terms:  # only the hidden term counts, and the sub-network has dropped every layer
            return answer.logits.sum() * 0
        return torch.stack(terms).sum()

    def count(self, batch: Mapping[str, Tensor]) -> int:
        """Its rows, or its words where they are tagged."""
        return TASK_LOSSES[self.kind].count(batch["labels"])

    def to_dict(self) -> dict[str, Any]:
        """See `Objective.to_dict`."""
        return {"kind": self.kind, "distillation": self.distillation.to_dict()}
