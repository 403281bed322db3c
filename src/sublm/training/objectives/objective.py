"""What the training loop asks of an objective, and what a forward gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sublm.spaces.subnet import Subnet

NOT_INPUTS = ("labels", "index")  # of a batch: not for the model, which would compute its own loss from labels


@dataclass(frozen=True)
class Answer:
    """What one forward gave.

    Attributes:
        logits: The main output, [rows, ...]; what the memory of a teacher keeps.
        hidden: Hidden states of the embeddings and of every layer, each [rows, tokens, hidden], if they were asked for.
        further: Whatever else an objective compares, by name.
    """

    logits: Tensor
    hidden: Sequence[Tensor] | None = None
    further: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(values.nbytes for values in (self.logits, *(self.hidden or ()), *self.further.values()))

    def detached(self) -> Answer:
        """The same numbers, through which no gradient flows."""
        return self._each(Tensor.detach)

    def to(self, device: torch.device) -> Answer:
        """The same numbers on a device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Answer:
        return replace(
            self,
            logits=change(self.logits),
            hidden=None if self.hidden is None else [change(values) for values in self.hidden],
            further={name: change(values) for name, values in self.further.items()},
        )


class Objective(Protocol):
    """How a model answers a batch, and how far that is from what it should say."""

    @property
    def rememberable(self) -> bool:
        """Whether a teacher's `Answer.logits` are all that students learn from, and the same whenever a row comes."""
        ...

    def answer(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Answer:
        """Runs a model, the one that is trained or its teacher, on a batch; the caller sees to autocast and gradients.

        Args:
            model: The model.
            batch: The model's inputs and "labels", on the model's device.
        """
        ...

    def loss(self, answer: Answer, source: Answer | None, batch: Mapping[str, Tensor], subnet: Subnet | None) -> Tensor:
        """The mean loss of a batch, a scalar.

        Args:
            answer: What the model said.
            source: What it learns from, said by a teacher or by a larger sub-network; None to learn from the labels.
            batch: The batch, as for `answer`.
            subnet: The sub-network that answered; None for a plain model.
        """
        ...

    def count(self, batch: Mapping[str, Tensor]) -> int:
        """How many things `loss` is the mean of, so that means of several batches can be averaged rightly."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what a training that is gone on with must have in common with the one begun."""
        ...
