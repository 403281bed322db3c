"""First-order Taylor scores: what the loss would change by if weights, or whole units, were removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from sublm.importance import gates
from sublm.importance.passes import Loss, evaluating, losses, parameter_gradients
from sublm.importance.reduce import sum_over_units
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


def taylor(supernet: SuperNet, batches: Iterable[Mapping[str, Tensor]], *, loss: Loss | None = None) -> Importance:
    """Scores a unit by the sum of |gradient x weight| over its weights (Molchanov et al. 2019, first order).

    The gradient is the mean over the batches, each batch counting alike.

    Args:
        supernet: The super-network; its largest sub-network is scored, in evaluation mode. Frozen weights score zero.
        batches: Model inputs with labels; a few are enough.
        loss: (model, batch) -> mean loss; the model's own if None.

    Returns:
        The scores.

    Raises:
        DataError: If there is no batch, or the model returns no loss.
        TrainingError: If a loss is not a number, or every weight is frozen.
    """
    sums: dict[str, Tensor] = {}
    count = 0
    with evaluating(supernet):
        for value, _ in losses(supernet, batches, loss, "taylor"):
            for name, gradient in parameter_gradients(supernet, value).items():
                sums[name] = sums[name].add_(gradient) if name in sums else gradient.float()
            count += 1
    weights = dict(supernet.model.named_parameters())
    scores = {name: (total / count * weights[name].detach()).abs() for name, total in sums.items()}
    return sum_over_units(supernet.layout, scores, "taylor")


def taylor_gate(supernet: SuperNet, batches: Iterable[Mapping[str, Tensor]], *, loss: Loss | None = None) -> Importance:
    """Scores a unit by the mean over examples of |gradient of its gate| (Michel et al. 2019, equation 2).

    Unlike `taylor`, effects of a unit's weights that cancel do cancel. Does not depend on how examples are batched
    if the loss is a mean over examples.

    Args:
        supernet: The super-network; its largest sub-network is scored, in evaluation mode.
        batches: Model inputs with labels; a few are enough.
        loss: (model, batch) -> mean loss; the model's own if None.

    Returns:
        The scores.

    Raises:
        DataError: If there is no batch, or the model returns no loss.
        TrainingError: If a loss is not a number.
    """
    return gates.average(supernet, batches, loss, "taylor_gate", 1)
