"""Costs of a shape without a model: those of a BERT of that shape."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch

from sublm.architectures.shape import Shape
from sublm.costs.closed_form import CostModel
from sublm.errors import UnsupportedModelError

Head = Literal["classification", "question_answering"]


@lru_cache(maxsize=8)
def shape_costs(shape: Shape, *, head: Head = "classification", labels: int = 2) -> CostModel:
    """The cost model of a BERT of a shape; no weight is made.

    Args:
        shape: The sizes; the hidden size must be heads x head size, as in every BERT.
        head: The task's head.
        labels: Classes of a classification.

    Raises:
        UnsupportedModelError: If no BERT has that shape.
    """
    from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

    from sublm.supernet.layout import find_layout

    if shape.hidden != shape.heads * shape.head_size:
        raise UnsupportedModelError(
            f"{shape.heads} heads of size {shape.head_size} do not make up {shape.hidden} hidden channels, as they do "
            "in a BERT; give the model itself (model=)."
        )
    kind: Any = BertForQuestionAnswering if head == "question_answering" else BertForSequenceClassification
    sizes: dict[str, Any] = dict(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.neurons,
        num_labels=2 if head == "question_answering" else labels,
    )
    config = BertConfig(**sizes)
    with torch.device("meta"):
        return CostModel(find_layout(kind(config)))
