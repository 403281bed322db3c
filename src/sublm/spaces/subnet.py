"""A sub-network: which heads, neurons, hidden channels and head dimensions are kept."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError

Units = int | tuple[int, ...]
"""Units kept: a count keeps the first units (a prefix), a tuple keeps exactly those indices."""


def count(units: Units) -> int:
    """Number of units kept."""
    return units if isinstance(units, int) else len(units)


def indices(units: Units) -> tuple[int, ...]:
    """Indices of the units kept, ascending."""
    return tuple(range(units)) if isinstance(units, int) else units


def _whole(number: Any, what: str) -> int:
    """An integer of any library as Python's own; nothing is rounded."""
    try:
        if isinstance(number, bool):
            raise TypeError
        whole = operator.index(number)
    except TypeError:
        raise SubnetError(f"{what} must be a count or a list of indices, not {number!r}.") from None
    if whole < 0:
        raise SubnetError(f"{what} must not be negative; got {whole}.")
    return whole


def _canonical(units: Any, what: str) -> Units:
    """Sorts indices and turns a prefix given by indices into its count."""
    if isinstance(units, str) or not isinstance(units, Iterable):
        return _whole(units, what)
    chosen = tuple(sorted(_whole(unit, what) for unit in units))
    if len(set(chosen)) != len(chosen):
        raise SubnetError(f"{what} names an index twice: {list(chosen)}.")
    return len(chosen) if chosen == tuple(range(len(chosen))) else chosen


def _per_layer(units: Any, what: str) -> tuple[Units, ...]:
    """The canonical form of one entry per layer."""
    if isinstance(units, str) or not isinstance(units, Iterable):
        raise SubnetError(f"{what} needs one entry per layer of the super-network, not {units!r}; see Subnet.uniform.")
    return tuple(_canonical(u, f"{what} of layer {i}") for i, u in enumerate(units))


@dataclass(frozen=True)
class Subnet:
    """A sub-network of a super-network; immutable, hashable, equal when the same units are kept.

    A layer without heads skips its attention half, a layer without neurons its FFN half, each with
    its LayerNorm; a layer with neither is dropped whole.

    Attributes:
        heads: Per layer of the super-network, the attention heads kept.
        neurons: Per layer of the super-network, the FFN neurons kept.
        hidden: Hidden channels kept.
        head_size: Dimensions kept of every head.
    """

    heads: tuple[Units, ...]
    neurons: tuple[Units, ...]
    hidden: Units
    head_size: Units

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "heads", _per_layer(self.heads, "heads"))
        set_(self, "neurons", _per_layer(self.neurons, "neurons"))
        set_(self, "hidden", _canonical(self.hidden, "hidden"))
        set_(self, "head_size", _canonical(self.head_size, "head_size"))
        if len(self.heads) != len(self.neurons):
            raise SubnetError(
                f"heads has {len(self.heads)} layers and neurons {len(self.neurons)}; "
                "both need one entry per layer of the super-network."
            )

    @classmethod
    def full(cls, shape: Shape) -> Subnet:
        """The largest sub-network: everything is kept."""
        return cls((shape.heads,) * shape.layers, (shape.neurons,) * shape.layers, shape.hidden, shape.head_size)

    @classmethod
    def uniform(
        cls,
        shape: Shape,
        *,
        layers: int | Sequence[int] | None = None,
        heads: Units | None = None,
        neurons: Units | None = None,
        hidden: Units | None = None,
        head_size: Units | None = None,
    ) -> Subnet:
        """A sub-network whose kept layers are all alike; what is not given is kept whole.

        Args:
            shape: Sizes of the super-network.
            layers: Layers kept: a count (the first ones) or indices.
            heads: Heads kept in each kept layer.
            neurons: Neurons kept in each kept layer.
            hidden: Hidden channels kept.
            head_size: Dimensions kept of every head.
        """
        layers = shape.layers if layers is None else layers
        kept = range(_whole(layers, "layers")) if isinstance(layers, int) else layers
        chosen = set(kept)
        if not chosen <= set(range(shape.layers)):
            raise SubnetError(f"layers {sorted(chosen)} do not exist: the super-network has {shape.layers}.")
        heads = shape.heads if heads is None else heads
        neurons = shape.neurons if neurons is None else neurons
        return cls(
            tuple(heads if i in chosen else 0 for i in range(shape.layers)),
            tuple(neurons if i in chosen else 0 for i in range(shape.layers)),
            shape.hidden if hidden is None else hidden,
            shape.head_size if head_size is None else head_size,
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Indices of the layers of which at least one half is kept."""
        return tuple(i for i, (h, n) in enumerate(zip(self.heads, self.neurons, strict=True)) if count(h) or count(n))

    def check(self, shape: Shape) -> None:
        """Refuses a sub-network that asks for more than the super-network has.

        Raises:
            SubnetError: If the sub-network does not fit.
        """
        if len(self.heads) != shape.layers:
            raise SubnetError(
                f"The sub-network has {len(self.heads)} layers, the super-network {shape.layers}; "
                "give every layer an entry (0 drops it)."
            )
        named = [(f"heads of layer {i}", u, shape.heads) for i, u in enumerate(self.heads)]
        named += [(f"neurons of layer {i}", u, shape.neurons) for i, u in enumerate(self.neurons)]
        named += [("hidden", self.hidden, shape.hidden), ("head_size", self.head_size, shape.head_size)]
        for what, units, limit in named:
            most = units if isinstance(units, int) else units[-1] + 1 if units else 0
            if most > limit:
                raise SubnetError(f"{what}: {most} asked for, at most {limit} exist.")
        if not count(self.hidden):
            raise SubnetError("hidden: at least one channel must be kept.")
        if not count(self.head_size):
            raise SubnetError("head_size: at least one dimension must be kept; drop heads instead.")

    def replace(self, **changes: Any) -> Subnet:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""

        def plain(units: Units) -> int | list[int]:
            return units if isinstance(units, int) else list(units)

        return {
            "heads": [plain(u) for u in self.heads],
            "neurons": [plain(u) for u in self.neurons],
            "hidden": plain(self.hidden),
            "head_size": plain(self.head_size),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Subnet:
        """Reads what `to_dict` wrote.

        Raises:
            SubnetError: If a field is missing, unknown or of the wrong kind.
        """
        fields = {"heads", "neurons", "hidden", "head_size"}
        if not isinstance(data, dict) or set(data) != fields:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise SubnetError(f"A sub-network needs exactly the fields {sorted(fields)}; found {found}.")
        if not isinstance(data["heads"], (list, tuple)) or not isinstance(data["neurons"], (list, tuple)):
            raise SubnetError("heads and neurons must be lists with one entry per layer.")
        return cls(tuple(data["heads"]), tuple(data["neurons"]), data["hidden"], data["head_size"])

    def to_json(self) -> str:
        """One line of JSON with sorted keys; equal sub-networks give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Subnet:
        """Reads what `to_json` wrote."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise SubnetError(f"A sub-network must be JSON: {error}.") from None
        return cls.from_dict(data)

    @property
    def key(self) -> str:
        """A short name, stable across processes: twelve hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
