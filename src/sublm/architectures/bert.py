"""BERT."""

from sublm.architectures.table import COMMON_HEAD_LEAVES, EMBEDDING_LEAVES, Architecture, Axis

BERT = Architecture(
    model_type="bert",
    outside=EMBEDDING_LEAVES
    | COMMON_HEAD_LEAVES
    | {
        "cls.predictions.transform.dense": (Axis.HIDDEN, Axis.HIDDEN),
        "cls.predictions.transform.LayerNorm": (Axis.HIDDEN, Axis.FIXED),
        "cls.predictions.decoder": (Axis.FIXED, Axis.HIDDEN),
        "cls.seq_relationship": (Axis.FIXED, Axis.HIDDEN),
    },
)
