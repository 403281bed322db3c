"""What a task is, and the examples that belong to it: the value objects every other file here passes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sublm.errors import DataError


@dataclass(frozen=True)
class Task:
    """A task, without its data.

    Attributes:
        name: A short name, used in reports.
        kind: A key of ``sublm.tasks.kinds.KINDS``: "classification", "regression" or "multiple_choice".
        texts: The text columns. Classification and regression have one or two (a pair). Multiple choice has the
            context first and then one column per choice.
        label: The column with the label.
        labels: Label names in the order of their numbers; empty for regression.
        metrics: Names from ``sublm.tasks.metrics.METRICS``. The first is the primary one. All are higher-is-better.
    """

    name: str
    kind: str
    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def metric(self) -> str:
        """The primary metric: what a search maximises and a report shows first."""
        return self.metrics[0]


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows of a task: text columns by name, and labels.

    Attributes:
        texts: Column name to its N strings, in the order of ``Task.texts``.
        labels: [N], int64 (the label's number) or float32 (regression).
    """

    texts: Mapping[str, Sequence[str]]
    labels: np.ndarray

    def __post_init__(self) -> None:
        sizes = {name: len(column) for name, column in self.texts.items()} | {"labels": len(self.labels)}
        if len(set(sizes.values())) > 1:
            raise DataError(f"the columns of one split must be equally long, found {sizes}")

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The given rows, in the given order."""
        rows = np.asarray(rows, dtype=np.int64)
        picked = {name: [column[row] for row in rows] for name, column in self.texts.items()}
        return Examples(picked, self.labels[rows])

    def joined(self, other: Examples) -> Examples:
        """These rows followed by those of ``other``."""
        texts = {name: [*column, *other.texts[name]] for name, column in self.texts.items()}
        return Examples(texts, np.concatenate([self.labels, other.labels]))

    def rows(self) -> list[tuple[str, ...]]:
        """The texts row by row."""
        return list(zip(*self.texts.values(), strict=True))


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task with its splits.

    Attributes:
        task: The task.
        train: What models are trained on.
        search: Drawn from the published train split; what a search scores sub-networks on.
        validation: Untouched by training and search; what is reported.
        extra: Further reported splits, such as MNLI's "validation_mismatched".
        notes: What a reader of the scores must know, for example that the validation split was drawn from train.
        origin: Whatever else the data depend on (the Python version for "stdlib-docs"); part of the fingerprint.
    """

    task: Task
    train: Examples
    search: Examples
    validation: Examples
    extra: Mapping[str, Examples] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    origin: str = ""

    @property
    def full_train(self) -> Examples:
        """Train and search together, for a last training once the search is over."""
        return self.train.joined(self.search)

    @property
    def splits(self) -> dict[str, Examples]:
        """Every split by name."""
        return {"train": self.train, "search": self.search, "validation": self.validation, **self.extra}

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the task, the origin and every text and label of every split, in order."""
        digest = hashlib.sha256(repr((self.task, self.origin)).encode())
        for name, examples in self.splits.items():
            digest.update(f"\x1d{name}\x1d{len(examples)}".encode())
            for column, texts in examples.texts.items():
                digest.update(f"\x1e{column}\x1e".encode())
                # A length before each text, so that moving a character between neighbours is noticed.
                digest.update("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(examples.labels).tobytes())
        return digest.hexdigest()
