"""ELECTRA: discriminator and generator; embeddings may be narrower than the hidden size."""

from sublm.architectures.table import COMMON_HEAD_LEAVES, EMBEDDING_LEAVES, Architecture, Axis

ELECTRA = Architecture(
    model_type="electra",
    outside=EMBEDDING_LEAVES
    | COMMON_HEAD_LEAVES
    | {
        "embeddings_project": (Axis.HIDDEN, Axis.EMBEDDING),
        "sequence_summary.summary": (Axis.HIDDEN, Axis.HIDDEN),
        "discriminator_predictions.dense": (Axis.HIDDEN, Axis.HIDDEN),
        "discriminator_predictions.dense_prediction": (Axis.FIXED, Axis.HIDDEN),
        "generator_predictions.dense": (Axis.EMBEDDING, Axis.HIDDEN),
        "generator_predictions.LayerNorm": (Axis.EMBEDDING, Axis.FIXED),
        "generator_lm_head": (Axis.FIXED, Axis.EMBEDDING),
    },
)
