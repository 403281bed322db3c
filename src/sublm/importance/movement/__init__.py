"""Movement importance: scores of blocks of weights, learned while the model is fine-tuned."""

from __future__ import annotations

from sublm.importance.movement.blocks import Block, block_of, block_sums, expand
from sublm.importance.movement.schedule import MovementOptions, initial_threshold, penalty_gradient
from sublm.importance.movement.score import movement
from sublm.importance.movement.training import Movement

__all__ = [
    "Block",
    "Movement",
    "MovementOptions",
    "block_of",
    "block_sums",
    "expand",
    "initial_threshold",
    "movement",
    "penalty_gradient",
]
