"""Importance scores per unit: the same scores order the units and count them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from sublm.errors import RunError

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Importance:
    """Scores of the units of a super-network; higher means more important.

    Attributes:
        heads: `[layers, heads]`.
        neurons: `[layers, neurons]`.
        layers: `[layers]`.
        hidden: `[hidden]`, summed over the whole network.
        qk_dims: `[layers, heads, head size]`: dimensions of queries and keys.
        v_dims: `[layers, heads, head size]`: dimensions of values.
        method: Name of the score.
        details: How it was computed, such as the `reduction` from the members of a unit; plain data.
    """

    heads: Tensor
    neurons: Tensor
    layers: Tensor
    hidden: Tensor
    qk_dims: Tensor
    v_dims: Tensor
    method: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """The scores by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("method", "details")}

    def layer_order(self) -> tuple[int, ...]:
        """Layers, the most important first."""
        return tuple(self.layers.argsort(descending=True, stable=True).tolist())

    def save(self, folder: Path) -> None:
        """Writes `importance.safetensors` and `importance.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {n: t.detach().cpu().contiguous() for n, t in self.tensors().items()}, folder / "importance.safetensors"
        )
        shapes = {name: list(tensor.shape) for name, tensor in self.tensors().items()}
        description = {"schema": SCHEMA, "method": self.method, "shapes": shapes, "details": dict(self.details)}
        text = json.dumps(description, indent=2, sort_keys=True)
        (folder / "importance.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Importance:
        """Reads what `save` wrote.

        Raises:
            RunError: If the files are missing or of another schema.
        """
        try:
            description = json.loads((folder / "importance.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "importance.safetensors")
        except FileNotFoundError as error:
            raise RunError(
                f"No importance in {folder}: {error.filename} is missing. Run the importance stage."
            ) from None
        if description.get("schema") != SCHEMA:
            raise RunError(f"The importance in {folder} has schema {description.get('schema')}; {SCHEMA} is needed.")
        return cls(**tensors, method=description["method"], details=description.get("details", {}))
