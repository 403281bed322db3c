"""What SubLM needs to know of a model family: where its layers, heads, neurons and norms are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Axis(Enum):
    """What one axis of a weight counts; decides how a sub-network slices and reorders it."""

    FIXED = "fixed"
    """Never sliced: vocabulary, positions, labels."""
    HIDDEN = "hidden"
    """Channels of the residual stream."""
    EMBEDDING = "embedding"
    """Width of the embeddings: equal to HIDDEN unless the model projects embeddings to the hidden size."""
    QUERY_KEY = "query_key"
    """Heads x head size, as queries and keys order the dimensions of a head."""
    VALUE = "value"
    """Heads x head size, as values and the attention output order the dimensions of a head."""
    NEURONS = "neurons"
    """FFN neurons."""


@dataclass(frozen=True)
class LayerTable:
    """Paths inside one transformer layer; the blocks are skipped whole, the leaves are sliced.

    Attributes:
        attention: Block `(hidden, ...) -> (hidden, weights)`, residual connection and norm included.
        self_attention: Module that holds head size and scaling.
        query: Linear.
        key: Linear.
        value: Linear.
        attention_output: Linear back to the hidden size.
        attention_norm: LayerNorm.
        ffn_input: Block `hidden -> neurons`, activation included.
        ffn_output: Block `(neurons, residual) -> hidden`, norm included.
        up: Linear to the neurons.
        down: Linear back to the hidden size.
        ffn_norm: LayerNorm.
    """

    attention: str = "attention"
    self_attention: str = "attention.self"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    ffn_input: str = "intermediate"
    ffn_output: str = "output"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    ffn_norm: str = "output.LayerNorm"

    def leaves(self) -> dict[str, tuple[Axis, Axis]]:
        """Path of every sliced leaf -> what its rows (outputs) and columns (inputs) count."""
        return {
            self.query: (Axis.QUERY_KEY, Axis.HIDDEN),
            self.key: (Axis.QUERY_KEY, Axis.HIDDEN),
            self.value: (Axis.VALUE, Axis.HIDDEN),
            self.attention_output: (Axis.HIDDEN, Axis.VALUE),
            self.attention_norm: (Axis.HIDDEN, Axis.FIXED),
            self.up: (Axis.NEURONS, Axis.HIDDEN),
            self.down: (Axis.HIDDEN, Axis.NEURONS),
            self.ffn_norm: (Axis.HIDDEN, Axis.FIXED),
        }


@dataclass(frozen=True)
class Architecture:
    """The table of one model family.

    Attributes:
        model_type: `config.model_type` of the family.
        layers: Path of the list of layers inside the base model.
        layer: Paths inside one layer.
        embeddings: Path of the embedding block inside the base model.
        outside: Leaves outside the layers, of the base model and of every head: the end of the path ->
            (rows, columns). A leaf that is not listed is not sliced.
        per_sequence: Beginnings of paths whose leaves run once per sequence instead of once per token
            (in heads that classify tokens, `classifier` runs per token).
        sizes: Names of the configuration's fields: layers, hidden, heads, neurons.
    """

    model_type: str
    layers: str = "encoder.layer"
    layer: LayerTable = field(default_factory=LayerTable)
    embeddings: str = "embeddings"
    outside: Mapping[str, tuple[Axis, Axis]] = field(default_factory=dict)
    per_sequence: tuple[str, ...] = ("pooler", "classifier", "sequence_summary", "cls.seq_relationship")
    sizes: Mapping[str, str] = field(
        default_factory=lambda: {
            "layers": "num_hidden_layers",
            "hidden": "hidden_size",
            "heads": "num_attention_heads",
            "neurons": "intermediate_size",
        }
    )


EMBEDDING_LEAVES: dict[str, tuple[Axis, Axis]] = {
    "embeddings.word_embeddings": (Axis.FIXED, Axis.EMBEDDING),
    "embeddings.position_embeddings": (Axis.FIXED, Axis.EMBEDDING),
    "embeddings.token_type_embeddings": (Axis.FIXED, Axis.EMBEDDING),
    "embeddings.LayerNorm": (Axis.EMBEDDING, Axis.FIXED),
}
"""The embedding block that BERT and its descendants share."""

COMMON_HEAD_LEAVES: dict[str, tuple[Axis, Axis]] = {
    "pooler.dense": (Axis.HIDDEN, Axis.HIDDEN),
    "classifier": (Axis.FIXED, Axis.HIDDEN),
    "classifier.dense": (Axis.HIDDEN, Axis.HIDDEN),
    "classifier.out_proj": (Axis.FIXED, Axis.HIDDEN),
    "qa_outputs": (Axis.FIXED, Axis.HIDDEN),
}
"""Heads that BERT and its descendants share."""
