"""Losses that scores take gradients of: on the labels, or without any, on what a model says itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sublm.importance.passes import Loss
from sublm.outputs import logits_of, predictions_on
from sublm.training.distillation import label_loss
from sublm.training.objectives.embedding import similarity_loss
from sublm.training.objectives.objective import NOT_INPUTS

DROPOUT, TEMPERATURE = 0.1, 0.05
"""When an embedding model is disturbed: the share that every dropout lets go, and the temperature of similarities."""


def labelled_loss(kind: str) -> Loss:
    """The loss of a kind of task on the labels of the batches."""

    def loss(model: object, batch: Mapping[str, Tensor]) -> Tensor:
        inputs = {name: values for name, values in batch.items() if name not in NOT_INPUTS}
        logits = logits_of(model(**inputs))  # type: ignore[operator]
        return label_loss(kind, logits, batch["labels"], batch.get("attention_mask"))

    return loss


def own_answers(kind: str, *, seed: int = 0) -> Loss:
    """A loss whose squared gradients have the Fisher information for their mean: labels are drawn from the model.

    For classes, choices and spans, each is drawn with the probability that the model gives it. A number is one draw
    around the model's own, whose squared gradient is that of the output itself, up to a factor.

    Args:
        kind: A key of `TASK_LOSSES`.
        seed: Of the draws.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(logits: Tensor) -> Tensor:
        probabilities = logits.detach().float().softmax(-1).cpu()
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(logits.device)

    def loss(model: object, batch: Mapping[str, Tensor]) -> Tensor:
        inputs = {name: values for name, values in batch.items() if name not in NOT_INPUTS}
        logits = logits_of(model(**inputs))  # type: ignore[operator]
        if kind == "regression":
            return logits.float().mean()
        if kind != "span":
            return label_loss(kind, logits, draw(logits))
        mask = batch["attention_mask"][..., None] == 0
        hidden = logits.masked_fill(mask, float("-inf"))
        places = torch.stack([draw(hidden[..., 0]), draw(hidden[..., 1])], dim=1)
        return label_loss(kind, logits, places, batch["attention_mask"])

    return loss


def relation_under_dropout(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """What dropout does to the similarities within a batch: the relation loss of the model against itself.

    A model is at no distance from itself, so its own embeddings as they are have no gradient; slightly disturbed ones
    have. Every dropout of the model drops the same share, whatever the model was trained with; what is dropped follows
    from the tokens of the batch. The model is expected, and left, in evaluation mode.
    """
    inputs = {name: values for name, values in batch.items() if name not in NOT_INPUTS}
    with torch.no_grad():
        whole = predictions_on(model, inputs)
    with _dropping(model, int(inputs["input_ids"].sum())):
        disturbed = predictions_on(model, inputs)
    return similarity_loss(disturbed, whole, TEMPERATURE)


@contextmanager
def _dropping(model: nn.Module, seed: int) -> Iterator[None]:
    """Inside, the model trains, with `DROPOUT` everywhere; global random states are put back."""
    dropouts = [(module, module.p) for module in model.modules() if isinstance(module, nn.Dropout)]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        for module, _ in dropouts:
            module.p = DROPOUT
        model.train()
        try:
            yield
        finally:
            model.eval()
            for module, p in dropouts:
                module.p = p
