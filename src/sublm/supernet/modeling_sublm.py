"""Encoders whose layers keep different numbers of heads and neurons.

This file is copied beside the weights of a sub-network that no stock configuration can express, so that
`AutoModel....from_pretrained(folder, trust_remote_code=True)` loads it. It needs torch and transformers, nothing else.

In a configuration, `layer_heads` and `layer_neurons` give the attention heads and FFN neurons of every layer and
`head_size` the width of a head. A layer without heads has no attention half, one without neurons no FFN half; their
LayerNorms are left out with them. A saved configuration says the same in transformers' own words, `per_layer_config`
and `head_dim`, for versions whose models build their layers from them.
"""

from typing import Any, NamedTuple

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
    CamembertConfig,
    CamembertForMaskedLM,
    CamembertForMultipleChoice,
    CamembertForQuestionAnswering,
    CamembertForSequenceClassification,
    CamembertForTokenClassification,
    CamembertModel,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2ForMultipleChoice,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForMultipleChoice,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForMultipleChoice,
    MPNetForQuestionAnswering,
    MPNetForSequenceClassification,
    MPNetForTokenClassification,
    MPNetModel,
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
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention


class LayersDiffer:
    """What every configuration here has besides its fields: the layers' sizes as transformers writes them.

    transformers keeps `per_layer_config` since 5.15, but its encoders do not build their layers from it yet, and refuse
    a configuration that has it. So it is written and not read: `layer_heads` and `layer_neurons` say the same.
    """

    layer_heads: list[int] | None
    layer_neurons: list[int] | None
    head_size: int | None
    names_of_sizes = ("num_attention_heads", "intermediate_size")

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("per_layer_config", None)
        super().__post_init__(**kwargs)  # type: ignore[misc]  # the stock configuration comes next

    def to_dict(self) -> dict[str, Any]:
        """As the stock class, with the sizes of every layer and the halves that it leaves out."""
        data: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        if self.layer_heads is None or self.layer_neurons is None:
            return data
        layers: dict[str, dict[str, Any]] = {}
        digits = len(str(len(self.layer_heads) - 1))  # so that they stand in order when keys are sorted
        for number, sizes in enumerate(zip(self.layer_heads, self.layer_neurons, strict=True)):
            layer: dict[str, Any] = {name: size for name, size in zip(self.names_of_sizes, sizes, strict=True) if size}
            left_out = [half for half, size in zip(("attention", "mlp"), sizes, strict=True) if not size]
            layers[str(number).zfill(digits)] = layer | ({"skip": left_out} if left_out else {})
        return data | {"per_layer_config": layers, "head_dim": self.head_size}


class SubnetBertConfig(LayersDiffer, BertConfig):
    """BERT whose layers differ."""

    model_type = "sublm_bert"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetCamembertConfig(LayersDiffer, CamembertConfig):
    """CamemBERT whose layers differ."""

    model_type = "sublm_camembert"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetDebertaV2Config(LayersDiffer, DebertaV2Config):
    """DeBERTa-v2 or v3 whose layers differ."""

    model_type = "sublm_deberta_v2"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetDistilBertConfig(LayersDiffer, DistilBertConfig):
    """DistilBERT whose layers differ."""

    model_type = "sublm_distilbert"
    names_of_sizes = ("n_heads", "hidden_dim")
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetElectraConfig(LayersDiffer, ElectraConfig):
    """ELECTRA whose layers differ."""

    model_type = "sublm_electra"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None
    project_embeddings: bool = False  # also where the embeddings are as wide as the hidden size


class SubnetModernBertConfig(LayersDiffer, ModernBertConfig):
    """ModernBERT whose layers differ."""

    model_type = "sublm_modernbert"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None
    head_dim: int | None = None  # the head size under the name that rotary positions look for
    first_norm: bool = False  # the first layer has a norm, because it was not the original's first


class SubnetMPNetConfig(LayersDiffer, MPNetConfig):
    """MPNet whose layers differ."""

    model_type = "sublm_mpnet"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None
    layer_bias_columns: list[list[int]] | None = None  # per layer and head, its column of the shared position biases


class SubnetRobertaConfig(LayersDiffer, RobertaConfig):
    """RoBERTa whose layers differ."""

    model_type = "sublm_roberta"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class SubnetXLMRobertaConfig(LayersDiffer, XLMRobertaConfig):
    """XLM-RoBERTa whose layers differ."""

    model_type = "sublm_xlm_roberta"
    layer_heads: list[int] | None = None
    layer_neurons: list[int] | None = None
    head_size: int | None = None


class GiveInput(nn.Module):
    """Stands where a norm, or the first block of an FFN half, is left out."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Passes the hidden states through."""
        return hidden_states


class GiveInputAndWeights(nn.Module):
    """Stands where an attention half is left out."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """Passes the hidden states through; there are no attention weights."""
        return hidden_states, None


class GiveResidual(nn.Module):
    """Stands where the second block of an FFN half is left out."""

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """Passes the residual through."""
        return input_tensor


class GiveNothing(nn.Module):
    """Stands where an FFN half is left out whose output is added to the residual outside."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Zero."""
        return hidden_states.new_zeros(())


class GiveNothingAndWeights(nn.Module):
    """Stands where an attention half is left out whose output is added to the residual outside."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """Zero; there are no attention weights."""
        return hidden_states.new_zeros(()), None


class HeadBiasAttention(MPNetSelfAttention):
    """Attention that picks its heads' position biases from the table that all layers share."""

    bias_columns: list[int]

    def forward(  # type: ignore[override]
        self, hidden_states: torch.Tensor, attention_mask: Any = None, position_bias: Any = None, **kwargs: Any
    ) -> Any:
        """As the stock class, with biases `[rows, all heads, length, length]`, which are the same in every row."""
        if position_bias is not None:
            columns = torch.tensor(self.bias_columns, device=position_bias.device)
            position_bias = position_bias[:1].index_select(1, columns)
        return super().forward(hidden_states, attention_mask, position_bias, **kwargs)


class Anatomy(NamedTuple):
    """Where the parts of a layer are whose size depends on its heads and neurons. The defaults are BERT's."""

    layers: str = "encoder.layer"
    attention: str = "attention.self"
    """Holds the sizes of its heads."""
    readers: tuple[str, ...] = ("attention.self.query", "attention.self.key", "attention.self.value")
    """Linear layers from the hidden size to heads x head size."""
    writer: str = "attention.output.dense"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    stacked: tuple[int, int] = (1, 1)
    """How many outputs lie behind each other in a reader and in `up`."""
    without_heads: tuple[tuple[str, type[nn.Module]], ...] = (("attention", GiveInputAndWeights),)
    without_neurons: tuple[tuple[str, type[nn.Module]], ...] = (("intermediate", GiveInput), ("output", GiveResidual))
    heads_field: str = "num_attention_heads"
    neurons_field: str = "intermediate_size"
    layers_field: str = "num_hidden_layers"


BERT = Anatomy()
DISTILBERT = Anatomy(
    layers="transformer.layer",
    attention="attention",
    readers=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    writer="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    without_heads=(("attention", GiveNothingAndWeights), ("sa_layer_norm", GiveInput)),
    without_neurons=(("ffn", GiveNothing), ("output_layer_norm", GiveInput)),
    heads_field="n_heads",
    neurons_field="hidden_dim",
    layers_field="n_layers",
)
MPNET = Anatomy(
    attention="attention.attn",
    readers=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    writer="attention.attn.o",
)
DEBERTA = Anatomy(
    readers=tuple(f"attention.self.{name}_proj" for name in ("query", "key", "value", "pos_key", "pos_query")),
)
MODERNBERT = Anatomy(
    layers="layers",
    attention="attn",
    readers=("attn.Wqkv",),
    writer="attn.Wo",
    up="mlp.Wi",
    down="mlp.Wo",
    stacked=(3, 2),
    without_heads=(("attn_norm", GiveInput), ("attn", GiveNothingAndWeights)),
    without_neurons=(("mlp_norm", GiveInput), ("mlp", GiveNothing)),
)


def resize_layers(base: Any, config: Any, anatomy: Anatomy) -> None:
    """Gives every layer of a base model its own numbers of heads and neurons."""
    layers = base.get_submodule(anatomy.layers)
    for layer, heads, neurons in zip(layers, config.layer_heads, config.layer_neurons, strict=True):
        if heads == 0:
            _replace(layer, anatomy.without_heads)
        else:
            _resize_attention(layer, heads, config.head_size, anatomy)
        if neurons == 0:
            _replace(layer, anatomy.without_neurons)
        else:
            _resize(layer, anatomy.up, outputs=anatomy.stacked[1] * neurons)
            _resize(layer, anatomy.down, inputs=neurons)


def _resize_attention(layer: nn.Module, heads: int, size: int, anatomy: Anatomy) -> None:
    attention: Any = layer.get_submodule(anatomy.attention)
    attention.num_attention_heads = heads
    attention.attention_head_size = attention.head_dim = size
    attention.all_head_size, attention.scaling = heads * size, size**-0.5
    present = dict(layer.named_modules())
    for path in anatomy.readers:
        if path in present:
            _resize(layer, path, outputs=anatomy.stacked[0] * heads * size)
    _resize(layer, anatomy.writer, inputs=heads * size)


def share_head_bias(encoder: Any, config: Any) -> None:
    """Keeps the whole table of position biases, and tells every layer which columns are its heads'."""
    encoder.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_attention_heads)
    for layer, columns in zip(encoder.layer, config.layer_bias_columns, strict=True):
        if columns:
            layer.attention.attn.__class__ = HeadBiasAttention
            layer.attention.attn.bias_columns = columns


def _replace(layer: nn.Module, stand_ins: tuple[tuple[str, type[nn.Module]], ...]) -> None:
    for path, kind in stand_ins:
        layer.set_submodule(path, kind())


def _resize(layer: nn.Module, path: str, inputs: int | None = None, outputs: int | None = None) -> None:
    old: Any = layer.get_submodule(path)
    new = nn.Linear(inputs or old.in_features, outputs or old.out_features, bias=old.bias is not None)
    layer.set_submodule(path, new)


class SubnetMixin:
    """Builds the stock model around smallest layers, then gives every layer its own sizes."""

    base_model: Any
    anatomy: Anatomy

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if config.layer_heads is None or config.layer_neurons is None or config.head_size is None:
            raise ValueError("The configuration needs layer_heads, layer_neurons and head_size.")
        anatomy = self.anatomy
        stock = {anatomy.heads_field: 1, anatomy.neurons_field: 1, anatomy.layers_field: len(config.layer_heads)}
        kept = {name: getattr(config, name) for name in stock}
        for name, value in stock.items():
            setattr(config, name, value)
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]  # the stock class comes next
        for name, value in kept.items():
            setattr(config, name, value)
        if getattr(config, "project_embeddings", False):
            self.base_model.embeddings_project = nn.Linear(config.embedding_size, config.hidden_size)
        resize_layers(self.base_model, config, anatomy)
        if getattr(config, "layer_bias_columns", None) is not None:
            share_head_bias(self.base_model.encoder, config)
        if getattr(config, "first_norm", False) and config.layer_heads[0]:
            norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)
            self.base_model.layers[0].attn_norm = norm


CONFIGURATIONS = (
    (
        SubnetBertConfig,
        BERT,
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
        SubnetCamembertConfig,
        BERT,
        (
            CamembertModel,
            CamembertForMaskedLM,
            CamembertForMultipleChoice,
            CamembertForQuestionAnswering,
            CamembertForSequenceClassification,
            CamembertForTokenClassification,
        ),
    ),
    (
        SubnetDebertaV2Config,
        DEBERTA,
        (
            DebertaV2Model,
            DebertaV2ForMaskedLM,
            DebertaV2ForMultipleChoice,
            DebertaV2ForQuestionAnswering,
            DebertaV2ForSequenceClassification,
            DebertaV2ForTokenClassification,
        ),
    ),
    (
        SubnetDistilBertConfig,
        DISTILBERT,
        (
            DistilBertModel,
            DistilBertForMaskedLM,
            DistilBertForMultipleChoice,
            DistilBertForQuestionAnswering,
            DistilBertForSequenceClassification,
            DistilBertForTokenClassification,
        ),
    ),
    (
        SubnetElectraConfig,
        BERT,
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
        SubnetModernBertConfig,
        MODERNBERT,
        (
            ModernBertModel,
            ModernBertForMaskedLM,
            ModernBertForMultipleChoice,
            ModernBertForQuestionAnswering,
            ModernBertForSequenceClassification,
            ModernBertForTokenClassification,
        ),
    ),
    (
        SubnetMPNetConfig,
        MPNET,
        (
            MPNetModel,
            MPNetForMaskedLM,
            MPNetForMultipleChoice,
            MPNetForQuestionAnswering,
            MPNetForSequenceClassification,
            MPNetForTokenClassification,
        ),
    ),
    (
        SubnetRobertaConfig,
        BERT,
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
        BERT,
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

for _config, _anatomy, _stock_classes in CONFIGURATIONS:
    for _stock in _stock_classes:
        _name = f"Subnet{_stock.__name__}"
        _made = type(
            _name, (SubnetMixin, _stock), {"config_class": _config, "anatomy": _anatomy, "__module__": __name__}
        )
        _made.__annotations__ = {"config": _config}
        CLASSES[_stock.__name__] = globals()[_name] = _made


def class_for(stock: type) -> type:
    """The class of the sub-networks of a stock class."""
    made = CLASSES.get(stock.__name__)
    if made is None:
        raise ValueError(f"{stock.__name__} has no sub-network class; there are: {', '.join(sorted(CLASSES))}.")
    return made
