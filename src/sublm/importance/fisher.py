"""Fisher scores: the mean squared gradient of a unit's gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from sublm.importance import gates
from sublm.importance.passes import Loss
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet


def fisher(supernet: SuperNet, batches: Iterable[Mapping[str, Tensor]], *, loss: Loss | None = None) -> Importance:
    """Scores a unit by the mean over examples of its squared gate gradient (Kwon et al. 2022, section 4.1).

    This is the diagonal of the empirical Fisher information of the gates: to second order, near a minimum, half of it
    is the loss added by removing the unit. Gates are preferred to squared gradients of single weights, whose sum
    ignores that a unit's weights leave together.

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
    return gates.average(supernet, batches, loss, "fisher", 2)
