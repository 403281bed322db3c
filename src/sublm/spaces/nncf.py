"""Search spaces in the JSON that EFTNAS publishes: groups of layers by their address in NNCF's graph, and widths.

Read are the widths of the groups, the half-layers that may be skipped, the length and the training stages; the rest of
such a file belongs to programs that are not needed here. What is written has the same layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError
from sublm.spaces.from_importance import of_widths
from sublm.spaces.space import SearchSpace
from sublm.spaces.subnet import count

_LAYER = re.compile(r"Layer\[(\d+)\]/(\w+)\[(\w+)\]")
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


@dataclass(frozen=True)
class Published:
    """What a published file says.

    Attributes:
        space: The search space.
        length: Tokens that its sizes refer to.
        head: "classification" or "question_answering".
        stages: Its training stages, as written.
    """

    space: SearchSpace
    length: int
    head: str
    stages: tuple[Mapping[str, Any], ...]


def read_nncf(text: str, *, head_size: int = 64, widest: int | None = None, shape: Shape | None = None) -> Published:
    """Reads a published search space.

    Args:
        text: The file; comments and trailing commas are allowed, as in the released ones.
        head_size: Dimensions of a head, which the file does not say.
        widest: Use only so many widths of every group, the largest (the file's `width_indicator`); all by default.
        shape: Sizes of the model; by default a BERT whose every layer is as wide as the widest group.

    Raises:
        SubnetError: If it cannot be read, or its groups and widths do not fit together.
    """
    try:
        data = json.loads(_TRAILING.sub(_keep_text, _COMMENT.sub(_keep_text, text)))
        training = data["bootstrapNAS"]["training"]
        elasticity = training["elasticity"]
        groups = elasticity["width"]["overwrite_groups"]
        widths = elasticity["width"]["overwrite_groups_widths"]
        length = int(data["input_info"][0]["sample_size"][-1])
        stages = tuple(training.get("schedule", {}).get("list_stage_descriptions", ()))
        skipped = elasticity.get("depth", {}).get("skipped_blocks", [])
        first = groups[0][0]
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise SubnetError(
            f"This is no published search space ({type(error).__name__}: {error}): bootstrapNAS.training.elasticity."
            "width must hold overwrite_groups and overwrite_groups_widths."
        ) from None
    if len(groups) != len(widths):
        raise SubnetError(f"There are {len(groups)} groups and {len(widths)} lists of widths; each group needs one.")
    options: dict[str, dict[int, list[int]]] = {"heads": {}, "neurons": {}}
    for group, found in zip(groups, widths, strict=True):
        kind, layer = _place(group[0])
        if layer in options[kind]:
            raise SubnetError(f"The {kind} of layer {layer} stand in two groups.")
        if not found or any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in found):
            raise SubnetError(f"The {kind} of layer {layer} have the widths {found}; whole numbers are needed.")
        options[kind][layer] = sorted(found, reverse=True)
    layers = len(options["heads"])
    if any(sorted(found) != list(range(layers)) for found in options.values()):
        raise SubnetError("Every layer needs one group of queries, keys and values and one of neurons.")
    if shape is not None:
        head_size = shape.head_size
    if any(width % head_size for found in options["heads"].values() for width in found):
        raise SubnetError(f"Widths of attention must be multiples of the head size {head_size}; give head_size.")
    if shape is None:
        hidden, neurons = (max(max(found) for found in options[kind].values()) for kind in ("heads", "neurons"))
        shape = Shape(layers, hidden, hidden // head_size, head_size, neurons)
    if shape.layers != layers:
        raise SubnetError(f"The file has {layers} layers, the model {shape.layers}; it was made for another model.")
    for kind, divisor in (("heads", head_size), ("neurons", 1)):
        for layer, found in options[kind].items():
            options[kind][layer] = [width // divisor for width in found][:widest]
    for _, end in skipped:
        kind, layer = _place(end)
        options[kind][layer].append(0)
    rows = max(len(found) for kind in options.values() for found in kind.values())
    tables = [
        [[found[min(row, len(found) - 1)] for _, found in sorted(options[kind].items())] for row in range(rows)]
        for kind in ("heads", "neurons")
    ]
    space = of_widths(shape, tables[0], tables[1], {"importance": "published"})
    return Published(space, length, "question_answering" if "QuestionAnswering" in first else "classification", stages)


def write_nncf(
    space: SearchSpace,
    *,
    length: int = 128,
    model: str = "BertForSequenceClassification",
    stages: Sequence[Mapping[str, Any]] = (),
) -> str:
    """A search space of widths as a published file.

    Args:
        space: A space called "importance".
        length: Tokens that sizes refer to.
        model: Name of the BERT class whose layers are addressed.
        stages: Training stages.

    Raises:
        SubnetError: If the space is of another kind.
    """
    if space.name != "importance":
        raise SubnetError(f"Only spaces made from importance can be written as groups of widths; this is {space.name}.")
    inside = f"{model}/BertModel[bert]/BertEncoder[encoder]/ModuleList[layer]/BertLayer"
    attention = [f"{inside}[{layer}]/BertAttention[attention]" for layer in range(space.shape.layers)]
    norm = "NNCFLayerNorm[LayerNorm]/layer_norm_0"
    projections = ("query", "key", "value")
    groups = [[f"{part}/BertSelfAttention[self]/NNCFLinear[{p}]/linear_0" for p in projections] for part in attention]
    groups += [
        [f"{inside}[{layer}]/BertIntermediate[intermediate]/NNCFLinear[dense]/linear_0"]
        for layer in range(space.shape.layers)
    ]
    widths, skipped = [], []
    for kind, size in (("heads", count(space.shape.head_size)), ("neurons", 1)):
        for layer in range(space.shape.layers):
            options = list(space.variables[f"{kind}_{layer}"].values())
            kept = [width * size for width in reversed(options) if width]
            if not kept:
                raise SubnetError(
                    f"{kind}_{layer} is always 0: the format knows no half-layer that is never there. Give the space a "
                    "larger upper end."
                )
            widths.append(kept)
            if 0 in options:
                before = (
                    f"{inside}[{layer - 1}]/BertOutput[output]/{norm}"
                    if layer
                    else f"{model}/BertModel[bert]/BertEmbeddings[embeddings]/Dropout[dropout]/dropout_0"
                )
                between = f"{attention[layer]}/BertSelfOutput[output]/{norm}"
                after = f"{inside}[{layer}]/BertOutput[output]/{norm}"
                skipped.append([before, between] if kind == "heads" else [between, after])
    dims = ["width", "depth"] if skipped else ["width"]
    elasticity: dict[str, Any] = {
        "available_elasticity_dims": dims,
        "width": {
            "overwrite_groups": groups,
            "overwrite_groups_widths": widths,
            "add_dynamic_inputs": [f"{part}/BertSelfOutput[output]/NNCFLinear[dense]/linear_0" for part in attention],
        },
    }
    if skipped:
        elasticity["depth"] = {"skipped_blocks": skipped}
    keywords = ("input_ids", "token_type_ids", "attention_mask")
    data = {
        "input_info": [{"sample_size": [1, length], "type": "long", "keyword": keyword} for keyword in keywords],
        "bootstrapNAS": {
            "training": {
                "algorithm": "progressive_shrinking",
                "progressivity_of_elasticity": dims,
                "batchnorm_adaptation": {"num_bn_adaptation_samples": 0},
                "schedule": {"list_stage_descriptions": [dict(stage) for stage in stages]},
                "elasticity": elasticity,
            },
        },
    }
    return json.dumps(data, indent=1)


def _keep_text(match: re.Match[str]) -> str:
    return match.group(1) or ""


def _place(address: str) -> tuple[str, int]:
    """(heads or neurons, layer) of a layer's address; that of a block's end names the half-layer skipped."""
    found = _LAYER.search(address)
    if found is None:
        raise SubnetError(f"The address {address[:120]!r} names no layer of an encoder.")
    return ("heads" if found.group(3) == "attention" else "neurons"), int(found.group(1))
