"""Search spaces without a run: from an importance on disk, or from a published file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sublm.architectures import Shape
from sublm.costs import shape_costs
from sublm.costs.closed_form import CostModel
from sublm.errors import RunError, SubnetError, TargetError, UsageError
from sublm.files import write_text
from sublm.importance import Importance
from sublm.search import parse_targets
from sublm.spaces import SearchSpace, Subnet, even_targets, from_importance, read_nncf, write_nncf
from sublm.spaces.from_importance import Per


def read_targets(least: str, most: str, steps: int, whole: float) -> list[float]:
    """The costs that a space is made from.

    Args:
        least: MACs of the smallest sub-network, such as "25%", "4400M" or a number.
        most: Of the largest.
        steps: How many, both ends included.
        whole: MACs of the whole super-network.

    Raises:
        TargetError: If one cannot be read, or the range is empty.
    """
    ends = parse_targets([f"macs<={least}", f"macs<={most}"], {"macs": whole})
    if ends[0].limit >= whole:
        raise TargetError(
            f"The smallest sub-network of the space is to have {ends[0].limit:,.0f} MACs, and the whole model has "
            f"{whole:,.0f}. Give the range as shares of the model's, such as 25% to 100% (space_min, space_max)."
        )
    return even_targets(ends[0].limit, ends[1].limit, steps)


def space_from_importance(
    folder: Path,
    *,
    model: str | None = None,
    min_macs: str = "25%",
    max_macs: str = "100%",
    steps: int = 5,
    align: int = 32,
    depth: bool = True,
    per: Per | None = None,
    length: int = 128,
) -> tuple[SearchSpace, CostModel]:
    """Makes a space from saved scores.

    Args:
        folder: Folder of `importance.safetensors` and `importance.json`, or one of the two files.
        model: The model that was scored, for its head and its sizes; a BERT classifier of the scores' shape if None.
        min_macs: See `read_targets`.
        max_macs: See `read_targets`.
        steps: See `read_targets`.
        align: Neurons are kept in multiples of this.
        depth: Whether half-layers may go whole.
        per: See `sublm.spaces.from_importance`.
        length: Tokens that MACs are counted at.

    Raises:
        RunError: If there are no scores.
        SubnetError: If they belong to another model.
        TargetError: If the range is out of reach.
    """
    importance = Importance.load(folder if folder.is_dir() else folder.parent)
    shape = _shape_of(importance)
    costs = _costs_of(model) if model is not None else shape_costs(shape)
    if costs.shape != shape:
        raise SubnetError(f"The importance is of a model of shape {shape}; {model} has {costs.shape}. Score that one.")
    macs = _at_length(costs, length)
    targets = read_targets(min_macs, max_macs, steps, macs(Subnet.full(shape)))
    return from_importance(shape, importance, macs, targets, align=align, depth=depth, per=per), costs


def space_from_nncf(
    path: Path, *, model: str | None = None, widest: int | None = None
) -> tuple[SearchSpace, CostModel, int]:
    """Reads a published space; gives it with its costs and the length that its sizes refer to.

    Raises:
        RunError: If there is no such file.
        SubnetError: If it cannot be read, or asks for more than the model has.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from None
    costs = _costs_of(model) if model is not None else None
    found = read_nncf(text, widest=widest, shape=costs.shape if costs is not None else None)
    head: Any = found.head
    return found.space, costs or shape_costs(found.space.shape, head=head), found.length


def write_space(
    *,
    out: Path,
    from_importance: Path | None = None,
    from_nncf: Path | None = None,
    nncf: Path | None = None,
    overwrite: bool = False,
    length: int | None = None,
    widest: int | None = None,
    model: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Makes a space, writes it, and says what it is; see `sublm space`.

    Raises:
        UsageError: If a file is there already, or both or none of the sources are given.
        SubLMError: If the space cannot be made.
    """
    for path in (out, nncf):
        if path is not None and path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; give --overwrite, or another path.")
    if from_importance is not None and from_nncf is None:
        length = length or 128
        space, costs = space_from_importance(from_importance, model=model, length=length, **options)
    elif from_nncf is not None and from_importance is None:
        space, costs, published = space_from_nncf(from_nncf, model=model, widest=widest)
        length = length or published
    else:
        raise UsageError("Give either --from-importance or --from-nncf.")
    text = write_nncf(space, length=length) if nncf is not None else None
    write_text(out, space.to_json() + "\n")
    if nncf is not None and text is not None:
        write_text(nncf, text + "\n")
    return {"space": str(out), **describe_space(space, costs, length)}


def describe_space(space: SearchSpace, costs: CostModel, length: int) -> dict[str, Any]:
    """Sizes of a space, as plain data."""
    macs = _at_length(costs, length)
    return {
        "layers": space.shape.layers,
        "size": space.size if space.size < 10**15 else f"{space.size:.3e}",
        "length": length,
        "macs_largest": macs(space.largest),
        "macs_smallest": macs(space.smallest),
        "macs_seeds": [macs(subnet) for subnet in space.seeds],
    }


def _shape_of(importance: Importance) -> Shape:
    layers, heads, head_size = importance.v_dims.shape
    return Shape(layers, importance.hidden.shape[0], heads, head_size, importance.neurons.shape[1])


def _costs_of(model: str) -> CostModel:
    """Costs of a checkpoint; no weight is read."""
    import torch
    import transformers

    from sublm.errors import UnsupportedModelError
    from sublm.paths import check_folder
    from sublm.supernet.layout import find_layout

    check_folder("model", model)
    try:
        config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=False)
        names = [name for name in config.architectures or () if name.endswith(("Classification", "QuestionAnswering"))]
        kind = getattr(transformers, names[0]) if names else None
        with torch.device("meta"):
            auto = transformers.AutoModelForSequenceClassification
            built = kind(config) if kind is not None else auto.from_config(config)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UnsupportedModelError(f"The model {model!r} cannot be read: {str(error).splitlines()[0]}") from None
    return CostModel(find_layout(built))


def _at_length(costs: CostModel, length: int) -> Callable[[Subnet], int]:
    return lambda subnet: costs.macs(subnet, length)
