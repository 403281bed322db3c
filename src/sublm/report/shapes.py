"""The shape of a sub-network as a small picture: heads above the line, neurons below, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sublm.spaces.subnet import Subnet, count

BAR, GAP, HALF = 14, 5, 30
"""Width of a bar, distance between bars, height of a full bar, in pixels."""


@dataclass(frozen=True)
class LayerBars:
    """One layer: where it stands, how tall its bars are, and what they mean.

    Attributes:
        x: Left edge.
        heads: Height of the upper bar, up to `HALF`.
        neurons: Height of the lower bar, up to `HALF`.
        title: The same in words.
    """

    x: int
    heads: float
    neurons: float
    title: str


@dataclass(frozen=True)
class ShapePicture:
    """The shape of one model.

    Attributes:
        name: Name of the model.
        layers: Its bars.
        width: Of the whole picture, in pixels.
        caption: Layers, hidden width and head size in words.
        chosen: Whether this model was chosen.
    """

    name: str
    layers: tuple[LayerBars, ...]
    width: int
    caption: str
    chosen: bool


def shape_pictures(front: Mapping[str, Any]) -> list[ShapePicture]:
    """The shapes of the front's models.

    Bars are shares of the super-network's heads and neurons (`front["shape"]`), or of the largest
    layer of any model if the front does not say how large it is.

    Args:
        front: Content of a front.json.
    """
    subnets = [(point["name"], Subnet.from_dict(point["subnet"])) for point in front["points"] if point.get("subnet")]
    shape = front.get("shape") or {}
    heads = shape.get("heads") or max((count(u) for _, s in subnets for u in s.heads), default=0)
    neurons = shape.get("neurons") or max((count(u) for _, s in subnets for u in s.neurons), default=0)
    hidden = shape.get("hidden")
    pictures = []
    for name, subnet in subnets:
        bars = []
        for i, (h, n) in enumerate(zip(map(count, subnet.heads), map(count, subnet.neurons), strict=True)):
            title = f"Layer {i + 1}: {h} of {heads} heads, {n} of {neurons} neurons"
            bars.append(LayerBars(i * (BAR + GAP), HALF * h / (heads or 1), HALF * n / (neurons or 1), title))
        width = max(1, len(bars) * (BAR + GAP) - GAP)
        of = f" of {hidden}" if hidden else ""
        kept = (
            f"{len(subnet.layers)} of {len(bars)} layers" if len(subnet.layers) < len(bars) else f"{len(bars)} layers"
        )
        caption = f"{kept}, hidden {count(subnet.hidden)}{of}, head size {count(subnet.head_size)}"
        pictures.append(ShapePicture(name, tuple(bars), width, caption, name == front.get("chosen")))
    return pictures
