"""Where the elastic weights of a loaded model are and what their axes count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from sublm.architectures import Architecture, Axis, Shape, find_architecture
from sublm.errors import UnsupportedModelError
from sublm.supernet.modeling_sublm import CLASSES


@dataclass(frozen=True)
class Leaf:
    """One elastic leaf layer.

    Attributes:
        path: Name inside the whole model, as in the state dict.
        module: The layer.
        rows: What the outputs (or the normalised channels) count.
        columns: What the inputs (or the embedding channels) count.
        layer: Index of the transformer layer, None outside.
        half: "attention" or "ffn" inside a layer, else "".
        per_sequence: Whether it runs once per sequence instead of once per token.
    """

    path: str
    module: nn.Module
    rows: Axis
    columns: Axis
    layer: int | None
    half: str
    per_sequence: bool


@dataclass(frozen=True)
class Blocks:
    """The blocks of one transformer layer that are skipped as a whole."""

    attention: nn.Module
    self_attention: nn.Module
    ffn_input: nn.Module
    ffn_output: nn.Module


@dataclass(frozen=True)
class Layout:
    """Everything the super-network knows of its model.

    Attributes:
        architecture: The family's table.
        shape: Sizes.
        leaves: Every elastic leaf, in the model's order.
        blocks: Per layer, the blocks that can be skipped.
        layers_path: Name of the list of layers inside the whole model.
        embeddings: The embedding block.
        fixed_parameters: Number of parameters outside the elastic leaves (tied ones counted once).
    """

    architecture: Architecture
    shape: Shape
    leaves: tuple[Leaf, ...]
    blocks: tuple[Blocks, ...]
    layers_path: str
    embeddings: nn.Module
    fixed_parameters: int


def find_layout(model: nn.Module) -> Layout:
    """Finds the elastic parts of a model.

    Args:
        model: A transformers model of a supported family with any head.

    Raises:
        UnsupportedModelError: If the family has no table, its class is not a stock one, or its layers differ in shape.
    """
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModelError(
            f"A transformers model is needed; {type(model).__name__} is none. "
            "Give the whole model, as from_pretrained returns it."
        )
    config: Any = model.config
    table = find_architecture(config)
    if type(model).__name__ not in CLASSES:  # its sub-networks could not be extracted: say so before any work
        family = type(config).__name__.removesuffix("Config")
        known = sorted(name for name in CLASSES if name.startswith(family))
        raise UnsupportedModelError(
            f"{type(model).__name__} is not supported, though its family ({table.model_type}) is. Supported classes "
            f"of this family: {', '.join(known)}. To add one, list it in sublm/supernet/modeling_sublm.py."
        )
    sizes = {name: getattr(config, field) for name, field in table.sizes.items()}
    base: nn.Module = model.base_model
    prefix = "" if base is model else f"{model.base_model_prefix}."
    try:
        layers = list(base.get_submodule(table.layers).children())
        attention = layers[0].get_submodule(table.layer.self_attention) if layers else None
    except AttributeError:
        raise UnsupportedModelError(
            f"{type(model).__name__} does not look like a {table.model_type} model: {table.layers} is missing."
        ) from None
    if attention is None:
        raise UnsupportedModelError(f"{type(model).__name__} has no transformer layers.")
    shape = Shape(head_size=int(attention.attention_head_size), **sizes)  # type: ignore[arg-type]
    if len(layers) != shape.layers:
        raise UnsupportedModelError(f"The configuration says {shape.layers} layers; the model has {len(layers)}.")

    projected = hasattr(base, "embeddings_project")
    resolved = {Axis.EMBEDDING: Axis.FIXED if projected else Axis.HIDDEN}
    tokens_classified = type(model).__name__.endswith("ForTokenClassification")
    inside = f"{prefix}{table.layers}."
    expected = expected_widths(shape)
    leaves: list[Leaf] = []
    owned: set[int] = set()
    for path, module in model.named_modules():
        if path.startswith(inside):
            index, _, local = path[len(inside) :].partition(".")
            axes = table.layer.leaves().get(local)
            layer: int | None = int(index)
            in_attention = local == table.layer.attention or local.startswith(f"{table.layer.attention}.")
            half = "attention" if in_attention else "ffn"
        else:
            axes = next(
                (a for end, a in table.outside.items() if path == end or path.endswith(f".{end}")),
                None,
            )
            layer, half = None, ""
        if axes is None or not isinstance(module, (nn.Linear, nn.Embedding, nn.LayerNorm)):
            continue
        rows, columns = (resolved.get(axis, axis) for axis in axes)
        per_sequence = any(path.removeprefix(prefix).startswith(start) for start in table.per_sequence) and not (
            tokens_classified and path.startswith("classifier")
        )
        leaf = Leaf(path, module, rows, columns, layer, half, per_sequence)
        _check_widths(leaf, expected)
        leaves.append(leaf)
        owned.update(id(p) for p in module.parameters(recurse=False))
    blocks = tuple(
        Blocks(*(item.get_submodule(getattr(table.layer, name)) for name in Blocks.__dataclass_fields__))
        for item in layers
    )
    fixed = sum(p.numel() for p in model.parameters() if id(p) not in owned)
    return Layout(
        architecture=table,
        shape=shape,
        leaves=tuple(leaves),
        blocks=blocks,
        layers_path=f"{prefix}{table.layers}",
        embeddings=base.get_submodule(table.embeddings),
        fixed_parameters=fixed,
    )


def expected_widths(shape: Shape) -> dict[Axis, int]:
    """Full width of every sliced axis."""
    attention = shape.heads * shape.head_size
    return {
        Axis.HIDDEN: shape.hidden,
        Axis.QUERY_KEY: attention,
        Axis.VALUE: attention,
        Axis.NEURONS: shape.neurons,
    }


def _check_widths(leaf: Leaf, expected: dict[Axis, int]) -> None:
    weight: Any = leaf.module.weight
    for axis, width in zip((leaf.rows, leaf.columns), weight.shape, strict=False):
        if axis in expected and expected[axis] != width:
            raise UnsupportedModelError(
                f"{leaf.path} has {width} {axis.value} entries where the configuration says {expected[axis]}: "
                "layers of different shapes cannot be made elastic. Give the original, uncompressed model."
            )
