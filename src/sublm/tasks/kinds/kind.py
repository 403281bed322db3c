"""What a kind of task must say about itself. A further kind is one more file here and an entry in ``KINDS``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sublm.errors import DataError
from sublm.tasks.task import Examples, Task


class Kind(ABC):
    """How a kind of task reads its labels, pairs its texts and shapes its head."""

    name: ClassVar[str]
    stratified: ClassVar[bool]  # whether splits keep the share of each label
    chooses: ClassVar[bool] = False  # whether a row is several texts, [choices, length], of which one is right
    head: ClassVar[str]  # how transformers names such models: Bert + head
    auto_class: ClassVar[str]

    @abstractmethod
    def read_labels(self, values: Sequence[Any], task: Task, where: str) -> np.ndarray:
        """Check raw labels and turn them into [N] int64 or float32; ``where`` names the file for messages.

        Raises:
            DataError: A label is missing or unknown.
        """

    @abstractmethod
    def check_train(self, labels: np.ndarray, task: Task, where: str) -> None:
        """Refuse labels that nothing can be learnt from.

        Raises:
            DataError: All rows have the same label.
        """

    @abstractmethod
    def config(self, task: Task) -> dict[str, Any]:
        """Arguments for the model's configuration: label names, problem type."""

    def outputs(self, task: Task) -> int:
        """Number of outputs of the head."""
        return len(task.labels)

    def pairs(self, examples: Examples) -> list[tuple[list[str], list[str] | None]]:
        """Text and optional second text, one entry per choice (one in all where nothing is to be chosen)."""
        first, *second = [list(column) for column in examples.texts.values()]
        return [(first, second[0] if second else None)]

    @abstractmethod
    def metrics(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The metrics of own data of this kind, the primary one first."""


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN or nothing but spaces."""
    return (
        value is None
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def missing_label(row: int, value: Any, task: Task, where: str) -> DataError:
    """The error for a row without a label; ``row`` counts from 0."""
    return DataError(
        f"{where}: row {row + 1} has no label (column {task.label!r} holds {value!r}). "
        "Remove such rows, or name another label column with label=."
    )
