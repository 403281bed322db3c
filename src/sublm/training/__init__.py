"""Training super-networks and ordinary models: the loop, strategies, distillation, checkpoints."""

from sublm.training.distillation import Distillation
from sublm.training.loop import train
from sublm.training.objectives import Answer, EmbeddingObjective, Objective, TaskObjective, objective_of
from sublm.training.options import Hooks, Progress, Record, TrainOptions, TrainResult
from sublm.training.stages import TrainStage, held, read_stages, restrict
from sublm.training.strategies import (
    STRATEGIES,
    Draw,
    Sampler,
    Strategy,
    Teach,
    fixed,
    guided,
    kd,
    one_shot,
    random_linear,
    random_subnets,
    sandwich,
    standard,
)
from sublm.training.team import Team, open_team
from sublm.training.windows import Batches

__all__ = [
    "STRATEGIES",
    "Answer",
    "Batches",
    "Distillation",
    "Draw",
    "EmbeddingObjective",
    "Hooks",
    "Objective",
    "Progress",
    "Record",
    "Sampler",
    "Strategy",
    "TaskObjective",
    "Teach",
    "Team",
    "TrainOptions",
    "TrainResult",
    "TrainStage",
    "fixed",
    "guided",
    "held",
    "kd",
    "objective_of",
    "one_shot",
    "open_team",
    "random_linear",
    "random_subnets",
    "read_stages",
    "restrict",
    "sandwich",
    "standard",
    "train",
]
