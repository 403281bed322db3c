"""Encoders whose layers keep different numbers of heads and neurons.

This file is copied beside the weights of a sub-network that no stock configuration can express, so that
`AutoModel....from_pretrained(folder, trust_remote_code=True)` loads it. It needs torch and transformers, nothing else.

In a configuration, `layer_heads` and `layer_neurons` give the attention heads and FFN neurons of every layer and
`head_size` the width of a head. A layer without heads has no attention half, one without neurons no FFN half; their
LayerNorms are left out with them.
"""

from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForMultipleChoice,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForMultipleChoice,
    XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XLMRobertaModel,
)


class SubnetBertConfig(BertConfig):
    """BERT whose layers differ."""

    model_type = "sublm_bert"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetElectraConfig(ElectraConfig):
    """ELECTRA whose layers differ."""

    model_type = "sublm_electra"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None
    project_embeddings: bool = False  # also where the embeddings are as wide as the hidden size


class SubnetRobertaConfig(RobertaConfig):
    """RoBERTa whose layers differ."""

    model_type = "sublm_roberta"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetXLMRobertaConfig(XLMRobertaConfig):
    """XLM-RoBERTa whose layers differ."""

    model_type = "sublm_xlm_roberta"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class NoAttention(nn.Module):
    """Stands where a layer has no attention half."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """Passes the hidden states through."""
        return hidden_states, None


class NoFeedForwardInput(nn.Module):
    """Stands where a layer has no FFN half."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Passes the hidden states through."""
        return hidden_states


class NoFeedForwardOutput(nn.Module):
    """Stands where a layer has no FFN half."""

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """Passes the residual through."""
        return input_tensor


def resize_layers(encoder: Any, config: Any) -> None:
    """Gives every layer of an encoder its own numbers of heads and neurons."""
    hidden, size = config.hidden_size, config.head_size
    for layer, heads, neurons in zip(encoder.layer, config.layer_heads, config.layer_neurons, strict=True):
        if heads == 0:
            layer.attention = NoAttention()
        else:
            attention = layer.attention.self
            attention.num_attention_heads, attention.attention_head_size = heads, size
            attention.all_head_size, attention.scaling = heads * size, size**-0.5
            for name in ("query", "key", "value"):
                setattr(attention, name, nn.Linear(hidden, heads * size))
            layer.attention.output.dense = nn.Linear(heads * size, hidden)
        if neurons == 0:
            layer.intermediate, layer.output = NoFeedForwardInput(), NoFeedForwardOutput()
        else:
            layer.intermediate.dense = nn.Linear(hidden, neurons)
            layer.output.dense = nn.Linear(neurons, hidden)


class SubnetMixin:
    """Builds the stock model around smallest layers, then gives every layer its own sizes."""

    base_model: Any

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if config.layer_heads is None or config.layer_neurons is None or config.head_size is None:
            raise ValueError("The configuration needs layer_heads, layer_neurons and head_size.")
        stock = {"num_attention_heads": 1, "intermediate_size": 1, "num_hidden_layers": len(config.layer_heads)}
        kept = {name: getattr(config, name) for name in stock}
        for name, value in stock.items():
            setattr(config, name, value)
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]  # the stock class comes next
        for name, value in kept.items():
            setattr(config, name, value)
        if getattr(config, "project_embeddings", False):
            self.base_model.embeddings_project = nn.Linear(config.embedding_size, config.hidden_size)
        resize_layers(self.base_model.encoder, config)


CONFIGURATIONS = (
    (
        SubnetBertConfig,
        (
            BertModel,
            BertForMaskedLM,
            BertForMultipleChoice,
            BertForNextSentencePrediction,
            BertForPreTraining,
            BertForQuestionAnswering,
            BertForSequenceClassification,
            BertForTokenClassification,
        ),
    ),
    (
        SubnetElectraConfig,
        (
            ElectraModel,
            ElectraForMaskedLM,
            ElectraForMultipleChoice,
            ElectraForPreTraining,
            ElectraForQuestionAnswering,
            ElectraForSequenceClassification,
            ElectraForTokenClassification,
        ),
    ),
    (
        SubnetRobertaConfig,
        (
            RobertaModel,
            RobertaForMaskedLM,
            RobertaForMultipleChoice,
            RobertaForQuestionAnswering,
            RobertaForSequenceClassification,
            RobertaForTokenClassification,
        ),
    ),
    (
        SubnetXLMRobertaConfig,
        (
            XLMRobertaModel,
            XLMRobertaForMaskedLM,
            XLMRobertaForMultipleChoice,
            XLMRobertaForQuestionAnswering,
            XLMRobertaForSequenceClassification,
            XLMRobertaForTokenClassification,
        ),
    ),
)

CLASSES: dict[str, type] = {}
"""Name of a stock class -> the class of its sub-networks."""

for _config, _stock_classes in CONFIGURATIONS:
    for _stock in _stock_classes:
        _name = f"Subnet{_stock.__name__}"
        _made = type(_name, (SubnetMixin, _stock), {"config_class": _config, "__module__": __name__})
        _made.__annotations__ = {"config": _config}
        CLASSES[_stock.__name__] = globals()[_name] = _made


def class_for(stock: type) -> type:
    """The class of the sub-networks of a stock class."""
    made = CLASSES.get(stock.__name__)
    if made is None:
        raise ValueError(f"{stock.__name__} has no sub-network class; there are: {', '.join(sorted(CLASSES))}.")
    return made
