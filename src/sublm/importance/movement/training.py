"""A model with movement scores, for a training loop: what happens before the passes of a step, and after them.

With M = 1[S > τ], every block's score S decides whether its weights W take part: the passes use W' = M W. The
threshold is stepped over in the backward pass (straight through), so that for a block g

    dL/dS_g = sum over g of dL/dW'_ij W_ij        dL/dW_ij = M dL/dW'_ij

Both follow from dL/dW' alone, which an ordinary backward pass gives as the gradient of the weights that the forward
pass saw. So no mask and no score takes part in the passes: while nothing is masked they are those of plain
fine-tuning, and a masked weight is set to zero before a step and put back after it. (Sanh et al. 2020; Lagunas et al.
2021 for blocks; EFTNAS.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sublm.errors import TrainingError
from sublm.importance.movement.blocks import Block, block_of, block_sums, expand
from sublm.importance.movement.schedule import MovementOptions, cubic, initial_threshold, penalty_gradient
from sublm.importance.reduce import Rule, over_units
from sublm.importance.scores import Importance

if TYPE_CHECKING:
    from sublm.supernet.layout import Layout


@dataclass
class _Scored:
    """One weight or bias with its scores; while masked, the weights as they should be."""

    name: str
    values: nn.Parameter
    scores: nn.Parameter
    block: Block
    mask: Tensor | None = None
    whole: Tensor | None = None

    @property
    def size(self) -> int:
        """Weights that one score stands for."""
        return self.block.area if self.values.dim() == 2 else self.block.rows


class Movement(nn.Module):
    """A model together with the scores of the blocks of its transformer layers' weights.

    Call `before` ahead of the passes of a step and `after` behind them, ahead of the optimizer's; the scores are
    parameters like the others.

    Attributes:
        model: The model, trained as it would be alone.
        options: Settings.
        scores: The scores, all zero at first.
        threshold: The threshold of the latest step; -inf before the warm-up.
    """

    first: Tensor

    def __init__(self, model: Any, layout: Layout, options: MovementOptions | None = None) -> None:
        """Adds scores to a model.

        Args:
            model: A model of a supported family; frozen weights get no scores.
            layout: Its layout.
            options: Settings.

        Raises:
            TrainingError: If every weight that could be scored is frozen.
        """
        super().__init__()
        self.model = model
        self.options = options or MovementOptions()
        self.layout = layout
        self.threshold = -math.inf
        self.scores = nn.ParameterList()
        self.register_buffer("first", torch.tensor(math.nan))  # the first threshold: in checkpoints, so a buffer
        self._scored: list[_Scored] = []
        layers = 0
        for leaf in layout.leaves:
            if leaf.layer is None or not isinstance(leaf.module, nn.Linear):
                continue
            block = block_of(leaf, layout.shape)
            trained = [(n, p) for n, p in leaf.module.named_parameters(recurse=False) if p.requires_grad]
            layers += bool(trained)
            for kind, values in trained:
                scores = nn.Parameter(torch.zeros_like(block_sums(values.detach(), block)))
                self.scores.append(scores)
                self._scored.append(_Scored(f"{leaf.path}.{kind}", values, scores, block))
        self._layers = layers
        if not self._scored:
            raise TrainingError(
                "Every weight of the model's layers is frozen, so none can move. Call model.requires_grad_(True), or "
                "use an importance that needs no gradients of weights: taylor_gate or fisher."
            )

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """The model's own."""
        return self.model(*args, **inputs)

    def get_input_embeddings(self) -> Any:
        """The model's own."""
        return self.model.get_input_embeddings()

    @torch.no_grad()
    def before(self, step: int, steps: int) -> None:
        """Prepares the passes of a step: masks the blocks whose scores are not above the threshold.

        Args:
            step: The step, from 0.
            steps: All steps.
        """
        self._unmask()
        self._progress = self.options.progress(step, steps)
        if self._progress is None:
            self.threshold = -math.inf
            return
        if math.isnan(float(self.first)):
            scores, sizes = [one.scores for one in self._scored], [one.size for one in self._scored]
            self.first.fill_(initial_threshold(scores, sizes, self.options.initially_masked))
        self.threshold = self.options.threshold(self._progress, float(self.first))
        for one in self._scored:
            kept = one.scores > self.threshold
            if not bool(kept.all()):
                one.mask, one.whole = expand(kept, one.block), one.values.detach().clone()
                one.values.mul_(one.mask)

    @torch.no_grad()
    def after(self) -> None:
        """Turns the weights' gradients into those of the scores and of the weights behind the masks."""
        weight = 0.0 if self._progress is None else self.options.penalty * cubic(self._progress)
        for one in self._scored:
            whole = one.values if one.whole is None else one.whole
            if one.values.grad is None:
                gradient = torch.zeros_like(one.scores)
            else:
                gradient = block_sums(one.values.grad * whole, one.block)
                if one.mask is not None:
                    one.values.grad.mul_(one.mask)
            if weight:
                gradient += penalty_gradient(one.scores, one.size, self._layers, weight)
            one.scores.grad = gradient
        self._unmask()

    def masked(self) -> float:
        """Share of the scored weights that the latest threshold masks."""
        total = sum(one.values.numel() for one in self._scored)
        return sum(int((one.scores <= self.threshold).sum()) * one.size for one in self._scored) / total

    def expanded(self) -> dict[str, Tensor]:
        """Every scored weight's score, by the weight's name."""
        return {one.name: expand(one.scores.detach(), one.block) for one in self._scored}

    def importance(self, reduction: Rule = "max") -> Importance:
        """The scores of the units: the sum, the mean or the maximum of the scores of their weights.

        Args:
            reduction: Which. EFTNAS counts units by the maximum and sorts them by a sum. Means of the many blocks of a
                head lie nearer to zero than those of a neuron's few, so a threshold on them spares neurons.
        """
        details = {"reduction": reduction, "movement": self.options.to_dict(), "masked": self.masked()}
        return over_units(self.layout, self.expanded(), "movement", reduction, details)

    def _unmask(self) -> None:
        """Puts masked weights back; also after a step that failed half-way."""
        for one in self._scored:
            if one.whole is not None:
                one.values.data.copy_(one.whole)
                one.mask = one.whole = None
