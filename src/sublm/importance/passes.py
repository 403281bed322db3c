"""Passes over batches for the scores that need gradients; the super-network is left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sublm.errors import DataError, TrainingError

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

Loss = Callable[[object, Mapping[str, Tensor]], Tensor]
"""(model, batch) -> mean loss of the batch."""

ROW_NUMBERS = "index"
"""Key of the row numbers that training batches carry; not a model input."""


@contextmanager
def evaluating(supernet: SuperNet) -> Iterator[None]:
    """The largest sub-network in evaluation mode, with gradients on; mode and activation are restored."""
    modes = {module: module.training for module in supernet.model.modules()}
    active = supernet.active
    supernet.model.eval()
    supernet.activate(supernet.largest)
    try:
        with torch.enable_grad():
            yield
    finally:
        supernet.activate(active)
        for module, mode in modes.items():
            module.training = mode


def losses(
    supernet: SuperNet, batches: Iterable[Mapping[str, Tensor]], loss: Loss | None, method: str
) -> Iterator[tuple[Tensor, int]]:
    """The loss of every batch, and how many examples it is the mean of.

    Args:
        supernet: The super-network, inside `evaluating`.
        batches: Model inputs with labels.
        loss: How to get the loss of a batch; the model's own if None.
        method: Name of the score, for messages.

    Raises:
        DataError: If there is no batch, or the model returns no loss.
        TrainingError: If a loss is not a number.
    """
    device = supernet.model.device
    seen = 0
    for batch in batches:
        inputs = {name: value.to(device) for name, value in batch.items() if name != ROW_NUMBERS}
        value = _own_loss(supernet.model, inputs, method) if loss is None else loss(supernet.model, inputs)
        if not torch.isfinite(value):
            raise TrainingError(
                f"The loss of batch {seen} is {value.item()}: no {method} importance can be computed from it. "
                "Check the labels and that the model's weights are finite."
            )
        seen += 1
        yield value, next(iter(inputs.values())).shape[0]
    if not seen:
        raise DataError(f"{method} importance needs at least one batch; none was given (batches=).")


def _own_loss(model: object, inputs: Mapping[str, Tensor], method: str) -> Tensor:
    """The loss that a model computes from labels among its inputs."""
    value = getattr(model(**inputs), "loss", None)  # type: ignore[operator]
    if value is None:
        raise DataError(
            f"{method} importance needs a loss; {type(model).__name__} returned none for the inputs "
            f"{', '.join(sorted(inputs))}. Add labels to the batches, pass loss=, or use method='magnitude'."
        )
    return value


def parameter_gradients(supernet: SuperNet, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of the elastic weights by name; `.grad` of the parameters is not touched.

    Raises:
        TrainingError: If every weight is frozen.
    """
    paths = {leaf.path for leaf in supernet.layout.leaves}
    named = {
        name: parameter
        for name, parameter in supernet.model.named_parameters()
        if name.rpartition(".")[0] in paths and parameter.requires_grad
    }
    if not named:
        raise TrainingError(
            "Every weight of the model is frozen, so none has a gradient. Call model.requires_grad_(True), "
            "or use method='taylor_gate' or 'fisher', which need no gradients of weights."
        )
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}
