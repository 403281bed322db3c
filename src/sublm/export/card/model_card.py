"""What a model card says, and where that is taken from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sublm.errors import ExportError
from sublm.export.card.hub import on_hub
from sublm.spaces.subnet import Subnet


@dataclass(frozen=True)
class ModelCard:
    """What a model card says; what is None or empty is left out of it.

    Attributes:
        name: Name of the model.
        parent: Name on the Hub, or path, of the model it was cut from.
        task: Name of the task.
        kind: Kind of the task, a key of `sublm.export.card.hub.PIPELINES`.
        metric: The primary metric.
        scores: Every metric of the model as it is saved, on the reported split.
        stock: Whether a stock transformers class loads it.
        subnet: What was kept of the parent.
        split: Name of the reported split.
        examples: Examples in that split.
        search_examples: Examples the search compared sub-networks on; none of them is in that split.
        score_before: The primary metric before recovery.
        parent_score: The primary metric of the fine-tuned parent.
        costs: parameters, parameters_without_embeddings, macs.
        parent_costs: The same of the parent.
        latency_ms: minimum, median and spread.
        parent_latency_ms: The same of the parent.
        latency: Settings of the measurement: runtime, threads, length, batch.
        machine: Processor, cores, threads, device, versions.
        seed: Of the run.
        license: SPDX identifier in lower case, or "other".
        license_name: Of another license.
        license_link: Where that is to be read.
        language: Language codes.
        parent_fingerprint: SHA-256 of the parent's files.
        onnx: Whether model.onnx lies beside the weights.
        exports: The files of other runtimes beside them: title, file, bytes, score and latency_ms of each.
        hyperparameters: Of a model that was only fine-tuned: what with.
        tried: How many points of hyper-parameters these were chosen from.
    """

    name: str
    parent: str
    task: str
    kind: str
    metric: str
    scores: Mapping[str, float]
    stock: bool
    subnet: Subnet | None = None
    split: str = "validation"
    examples: int | None = None
    search_examples: int | None = None
    score_before: float | None = None
    parent_score: float | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    parent_costs: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    parent_latency_ms: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()
    parent_fingerprint: str | None = None
    onnx: bool = False
    exports: tuple[Mapping[str, Any], ...] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    tried: int = 0

    @classmethod
    def from_front(cls, front: Mapping[str, Any], name: str, **more: Any) -> ModelCard:
        """The card of one of a front's models.

        Args:
            front: Content of a front.json.
            name: Name of the model.
            **more: Fields that a front does not have, such as `license` (see `known_of`).

        Raises:
            ExportError: If the front has no such model.
        """
        points = {point["name"]: point for point in front["points"]}
        if name not in points:
            raise ExportError(f"The front has no model {name!r}; it has: {', '.join(points) or 'none'}.")
        point, task, teacher = points[name], front["task"], front["teacher"]
        costs = ("parameters", "parameters_without_embeddings", "macs")
        machine = {**({"sublm": front["sublm"]} if front.get("sublm") else {}), **(front.get("machine") or {})}
        fields = {
            "name": name,
            "parent": str(front["model"]),
            "task": task["name"],
            "kind": task.get("kind", "classification"),
            "metric": task["metric"],
            "scores": {
                metric: math.nan if score is None else score  # JSON has no NaN, null stands for it
                for metric, score in (point.get("scores") or {task["metric"]: point["score"]}).items()
            },
            "stock": bool(point.get("stock")),
            "subnet": Subnet.from_dict(point["subnet"]) if point.get("subnet") else None,
            "split": task.get("split", "validation"),
            "examples": task.get("examples"),
            "search_examples": task.get("search_examples"),
            "score_before": None if point.get("train_seconds") == 0 else point.get("score_before"),
            "parent_score": teacher.get("score"),
            "costs": {key: point[key] for key in costs if point.get(key) is not None},
            "parent_costs": {key: teacher[key] for key in costs if teacher.get(key) is not None},
            "latency_ms": point.get("latency_ms") or {},
            "parent_latency_ms": teacher.get("latency_ms") or {},
            "latency": front.get("latency") or {},
            "machine": machine,
            "seed": front.get("seed"),
            "onnx": bool(point.get("onnx")),
            "exports": tuple(point.get("exports") or ()),
        }
        return cls(**{**fields, **more})

    @property
    def parent_name(self) -> str:
        """A name on the Hub as it is; of a path the last part, because the rest is nobody else's concern."""
        return self.parent if on_hub(self.parent) else Path(self.parent).name or self.parent

    @property
    def task_name(self) -> str:
        """Of a file its name."""
        return Path(self.task).stem or self.task
