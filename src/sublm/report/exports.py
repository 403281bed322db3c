"""The forms in which the models can be handed over, as the page and the model card show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sublm.report.text import change_text, count_text, milliseconds_text, score_text


@dataclass(frozen=True)
class ExportRow:
    """One file of one model; every field as text.

    Attributes:
        model: The model's name, in the first of its rows alone.
        title: The runtime and the precision.
        score: On the reported split, by the file.
        change: Of the score, against torch in fp32.
        difference: Mean absolute difference of the outputs from torch, and the largest.
        latency: On the machine of the run.
        size: In bytes.
        file: Relative to the run.
        deployed: Whether the run was made for this one.
    """

    model: str
    title: str
    score: str
    change: str
    difference: str
    latency: str
    size: str
    file: str
    deployed: bool


def export_rows(front: Mapping[str, Any]) -> list[ExportRow]:
    """A row per file that was written, model by model."""
    settings = front.get("latency") or {}
    deployed = (settings.get("runtime", "torch"), settings.get("precision", "fp32"))
    return [
        ExportRow(
            model="" if number else str(point["name"]),
            title=str(entry["title"]),
            score=score_text(entry.get("score")),
            change=change_text(entry.get("score"), point.get("score")),
            difference=difference_text(entry.get("difference") or {}),
            latency=milliseconds_text((entry.get("latency_ms") or {}).get("minimum")),
            size=f"{count_text(entry['bytes'])}B",
            file=str(entry["file"]),
            deployed=(entry["runtime"], entry["precision"]) == deployed,
        )
        for point in front["points"]
        for number, entry in enumerate(point.get("exports") or ())
    ]


def difference_text(difference: Mapping[str, float | None]) -> str:
    """`0.0021, at most 0.013`; empty where there is none."""
    mean, largest = difference.get("mean"), difference.get("largest")
    if mean is None or largest is None:
        return ""
    return f"{_small(mean)}, at most {_small(largest)}"


def _small(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else f"{value:.2g}"
