"""Where the time of a forward pass goes, as the page shows it; drawn from `explain.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sublm.report.text import milliseconds_text, share_text

EXPLAIN_FILE = "explain.json"
"""What `sublm explain` found, beside `front.json`."""
TITLES = {
    "attention": "attention",
    "ffn": "FFN",
    "embeddings": "embeddings",
    "overhead": "fixed cost of a call",
    "together": "running together",
}
"""Part -> its name for people; "together" is one in files of earlier versions."""


@dataclass(frozen=True)
class PartRow:
    """One part of a pass: times and shares of the original and the model as text, and bars as shares of the longest."""

    name: str
    before: str
    before_share: str
    before_bar: float
    after: str
    after_share: str
    after_bar: float


@dataclass(frozen=True)
class Timing:
    """The section on time: the model's name, a row per part, what it says in sentences."""

    model: str
    parts: tuple[PartRow, ...]
    findings: tuple[str, ...]


def timing_section(explained: Mapping[str, Any] | None, names: tuple[str, ...]) -> Timing | None:
    """The section, if a model of the run was measured.

    Args:
        explained: Content of `explain.json`.
        names: Of the front's models.
    """
    if not explained or explained["model"] not in names:
        return None
    name = explained["model"]
    before, after = (explained["models"][which]["parts"] for which in ("original", name))
    longest = max(part["ms"] for parts in (before, after) for part in parts.values()) or 1.0
    rows = []
    for part, title in TITLES.items():
        if part not in before:
            continue
        one, other = before[part], after[part]
        rows.append(
            PartRow(
                title,
                milliseconds_text(one["ms"]),
                share_text(one["share"]),
                max(0.0, one["ms"] / longest),
                milliseconds_text(other["ms"]),
                share_text(other["share"]),
                max(0.0, other["ms"] / longest),
            )
        )
    said = list(explained["findings"])
    if explained.get("elsewhere"):
        said.append(f"Measured on another device than the run’s: {'; '.join(explained['elsewhere'])}.")
    return Timing(name, tuple(rows), tuple(said))
