"""The gradients of one training step: every draw on every batch, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sublm.errors import TrainingError
from sublm.outputs import logits_of
from sublm.spaces.subnet import Subnet
from sublm.training.distillation import Distillation, Kind, hidden_loss, label_loss, logits_loss, pair_layers
from sublm.training.distributed import shares
from sublm.training.strategies import Draw
from sublm.training.teacher import Teacher

NOT_INPUTS = ("labels", "index")  # of a batch: not for the model, which would compute its own loss from labels


class Elastic(Protocol):
    """What training needs of a super-network."""

    @property
    def model(self) -> Any:
        """The model whose forward runs the active sub-network."""
        ...

    @property
    def active(self) -> Subnet:
        """The active sub-network."""
        ...

    def activate(self, subnet: Subnet) -> None:
        """Makes the model compute a sub-network."""
        ...

    def shared_embeddings(self) -> AbstractContextManager[Any]:
        """Passes of one batch inside that keep the same hidden channels share one embedding forward and backward."""
        ...


@dataclass
class _Pass:
    """What one forward gave."""

    logits: Tensor
    hidden: Sequence[Tensor] | None


@dataclass
class Stepper:
    """Computes the gradients of steps.

    Attributes:
        model: The model trained.
        elastic: The super-network around it; None for a plain model.
        accelerator: Device, autocast, loss scaling and processes.
        kind: Kind of the task.
        distillation: How students learn from teachers.
        teacher: The outside teacher, if there is one.
    """

    model: nn.Module
    elastic: Elastic | None
    accelerator: Accelerator
    kind: Kind
    distillation: Distillation
    teacher: Teacher | None

    def gradients(self, batches: Sequence[dict[str, Tensor]], draws: Sequence[Sequence[Draw]]) -> Tensor:
        """Adds the gradients of a step to the parameters.

        The loss is the mean over the rows of all batches, averaged over the draws that learn.

        Args:
            batches: The batches of the step, with "labels" and, for a teacher, "index".
            draws: For every part that batches are cut into, the passes over it.

        Returns:
            The loss on this process's rows, detached, a scalar; summed over the processes it is the step's.

        Raises:
            TrainingError: If the draws cannot be done.
        """
        for own in draws:
            self._check(own)
        learning = [sum(draw.teach != "none" for draw in own) for own in draws]
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        rows = sum(len(batch["labels"]) for batch in batches)
        total = torch.zeros((), device=self.accelerator.device)
        for batch in batches:
            for part, own_rows in shares(batch, len(draws), rank, world):
                count = len(own_rows["labels"])
                if count:
                    total += self._batch(own_rows, draws[part], count / rows / learning[part])
        return total

    def _batch(self, batch: dict[str, Tensor], draws: Sequence[Draw], weight: float) -> Tensor:
        """All passes over one batch; `weight` scales each of their losses."""
        moved = {k: v.to(self.accelerator.device, non_blocking=True) for k, v in batch.items() if k != "index"}
        labels = moved.pop("labels")
        total = torch.zeros((), device=self.accelerator.device)
        outside: _Pass | None = None
        if self.teacher is not None and any(draw.teach == "teacher" for draw in draws):
            logits, hidden = self.teacher.outputs(moved, batch.get("index"), hidden=self.distillation.hidden > 0)
            outside = _Pass(logits, hidden)
        first: _Pass | None = None
        learning = sum(draw.teach != "none" for draw in draws)
        with self._shared() if learning > 1 else nullcontext():
            for draw in draws:
                if self.elastic is not None and draw.subnet is not None:
                    self.elastic.activate(draw.subnet)
                result = self._forward(moved, learns=draw.teach != "none")
                if draw.teach != "none":
                    source = {"inplace": first, "teacher": outside}.get(draw.teach)
                    loss = self._loss(draw, result, source, labels, moved.get("attention_mask")) * weight
                    self.accelerator.backward(loss)
                    total += loss.detach()
                if first is None:
                    states = None if result.hidden is None else [values.detach() for values in result.hidden]
                    first = _Pass(result.logits.detach(), states)
        return total

    def _forward(self, inputs: dict[str, Tensor], *, learns: bool) -> _Pass:
        wants_hidden = self.distillation.hidden > 0
        if not learns and self.model.training:  # who only teaches does so without dropout
            self.model.eval()
            try:
                with torch.no_grad():
                    return self._forward(inputs, learns=True)
            finally:
                self.model.train()
        with self.accelerator.autocast():
            outputs = self.model(**inputs, output_hidden_states=wants_hidden, return_dict=True)
        return _Pass(logits_of(outputs), outputs.hidden_states if wants_hidden else None)

    def _loss(self, draw: Draw, result: _Pass, source: _Pass | None, labels: Tensor, mask: Tensor | None) -> Tensor:
        if source is None:
            return label_loss(self.kind, result.logits, labels, mask)
        weights = self.distillation
        terms: list[Tensor] = []
        if weights.weight_of_labels(self.kind):
            terms.append(weights.weight_of_labels(self.kind) * label_loss(self.kind, result.logits, labels, mask))
        if weights.logits:
            loss = logits_loss(self.kind, result.logits, source.logits, weights.temperature, mask)
            terms.append(weights.logits * loss)
        if weights.hidden and result.hidden is not None and source.hidden is not None:
            pairs = pair_layers(len(result.hidden) - 1, len(source.hidden) - 1, weights.layers)
            if self.elastic is not None and draw.subnet is not None:  # a dropped layer hands on what it was given
                pairs = [pair for pair in pairs if pair[0] - 1 in set(draw.subnet.layers)]
            if pairs:
                terms.append(weights.hidden * hidden_loss(result.hidden, source.hidden, pairs, mask))
        if not terms:  # only the hidden term counts, and the sub-network has dropped every layer
            return result.logits.sum() * 0
        return torch.stack(terms).sum()

    def _shared(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.elastic is None else self.elastic.shared_embeddings()

    def _check(self, draws: Sequence[Draw]) -> None:
        if not any(draw.teach != "none" for draw in draws):
            raise TrainingError("The strategy drew nothing to train in a step; at least one draw must learn.")
        if draws[0].teach == "inplace":
            raise TrainingError(
                "The first draw of a step cannot learn in place: it is the one that the others learn from. "
                'Put the largest sub-network first, with teach="labels", "teacher" or "none".'
            )
        if self.teacher is None and any(draw.teach == "teacher" for draw in draws):
            raise TrainingError("The strategy learns from a teacher, but none was given: pass teacher=.")
        if self.elastic is None and any(draw.subnet is not None for draw in draws):
            raise TrainingError(
                "The strategy draws sub-networks, but the network is a plain model: pass a SuperNet, or use fixed()."
            )
