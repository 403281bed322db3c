"""The movement score of a super-network's units, from batches, like the other scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sublm.errors import TrainingError
from sublm.importance.movement.schedule import MovementOptions
from sublm.importance.movement.training import Movement
from sublm.importance.passes import Loss, evaluating, losses
from sublm.importance.reduce import Rule
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


def movement(
    supernet: SuperNet,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    loss: Loss | None = None,
    epochs: int = 1,
    learning_rate: float = 1e-4,
    reduction: Rule = "max",
    options: MovementOptions | None = None,
) -> Importance:
    """Scores a unit by how its weights move away from zero while the model is fine-tuned.

    The weights are trained with Adam, with a learning rate that falls linearly to half, and put back afterwards. There
    is no dropout, so that the same batches give the same scores. For a long training, which should survive
    interruptions, run a `Movement` in `sublm.training.train`.

    Args:
        supernet: The super-network; its largest sub-network is scored.
        batches: Model inputs with labels; unlike other scores, this one needs hundreds of steps.
        loss: (model, batch) -> mean loss; the model's own if None.
        epochs: How often to go through the batches.
        learning_rate: Of weights and scores.
        reduction: From the scores of a unit's weights to its own: "sum", "mean" or "max".
        options: Threshold and penalty.

    Returns:
        The scores; they can be negative.

    Raises:
        DataError: If there is no batch, or the model returns no loss.
        TrainingError: If a loss is not a number, every weight is frozen, or epochs is below 1.
    """
    if epochs < 1:
        raise TrainingError(f"epochs must be at least 1; got {epochs}.")
    rows = list(batches)
    steps = epochs * len(rows)
    model = supernet.model
    trained = [p for p in model.parameters() if p.requires_grad]
    kept = [(p, p.detach().clone(), p.grad) for p in trained]
    moving = Movement(model, supernet.layout, options).to(model.device)
    optimizer = torch.optim.Adam([p for p in moving.parameters() if p.requires_grad], lr=learning_rate)

    def stepwise() -> Iterator[Mapping[str, Tensor]]:
        for step in range(steps):
            moving.before(step, steps)
            yield rows[step % len(rows)]

    try:
        with evaluating(supernet):
            for step, (value, _) in enumerate(losses(supernet, stepwise(), loss, "movement")):
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                moving.after()
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * (1 - step / (2 * steps))
                optimizer.step()
        return moving.importance(reduction)
    finally:
        with torch.no_grad():
            for parameter, values, gradient in kept:
                parameter.copy_(values)
                parameter.grad = gradient
