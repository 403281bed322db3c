"""What a training lowers. A further objective is one more file here; the loop takes any of them."""

from collections.abc import Callable

from sublm.training.distillation import Distillation
from sublm.training.objectives.attention import PROJECTION, HiddenProjection, attention_loss, attention_scores
from sublm.training.objectives.embedding import EmbeddingObjective
from sublm.training.objectives.masked_lm import has_head, masked_lm_loss, masked_logits, masked_logits_loss
from sublm.training.objectives.objective import NOT_INPUTS, Answer, Objective
from sublm.training.objectives.pretraining import OBJECTIVES, PretrainingObjective, Terms, read_terms
from sublm.training.objectives.relations import relation_loss
from sublm.training.objectives.task import TaskObjective

OF_KINDS: dict[str, Callable[[Distillation], Objective]] = {"embedding": EmbeddingObjective.of}
"""Kinds of tasks whose objective is not `TaskObjective`."""


def objective_of(kind: str, distillation: Distillation) -> Objective:
    """The objective of a kind of task.

    Args:
        kind: Name of the kind.
        distillation: How students learn from teachers.
    """
    make = OF_KINDS.get(kind)
    return make(distillation) if make is not None else TaskObjective(kind, distillation)


__all__ = [
    "NOT_INPUTS",
    "OBJECTIVES",
    "OF_KINDS",
    "PROJECTION",
    "Answer",
    "EmbeddingObjective",
    "HiddenProjection",
    "Objective",
    "PretrainingObjective",
    "TaskObjective",
    "Terms",
    "attention_loss",
    "attention_scores",
    "has_head",
    "masked_lm_loss",
    "masked_logits",
    "masked_logits_loss",
    "objective_of",
    "read_terms",
    "relation_loss",
]
