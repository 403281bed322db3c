"""Fine-tuning as Agora needs it: a model from its first weights on given rows, and what it says of the others."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sublm.agora.points import ungrouped
from sublm.export import load, longest_text, save
from sublm.files import fingerprint, fingerprint_model
from sublm.finetuning import Hyperparameters, fit, start_model
from sublm.finetuning.estimate import time_row
from sublm.paths import check_folder
from sublm.stages.checks import check_vocabulary
from sublm.tasks import Examples, TaskData, encode, encode_task, load_tokenizer, predict
from sublm.tasks.encoding import default_length

Report = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning gave.

    Attributes:
        model: The model, with its best weights.
        score: The primary metric on the development share; NaN if there is none.
        steps: Steps trained.
        seconds: Time it took.
    """

    model: Any
    score: float
    steps: int
    seconds: float


class Tuner(Protocol):
    """Fine-tunes one model with any hyper-parameters on any rows."""

    def tune(
        self, point: Hyperparameters, train: Examples, *, folder: Path, identity: str, report: Report | None = None
    ) -> Tuned:
        """Fine-tunes from the model's first weights; goes on where it was cut off, if `folder` holds a part.

        Args:
            point: Hyper-parameters.
            train: The rows; labels [N], or [N, classes] probabilities.
            folder: Where checkpoints go.
            identity: What tells these rows from others.
            report: Called now and then with steps done, all steps, loss and steps per second.

        Raises:
            TrainingError: If the training diverges.
        """
        ...

    def logits(self, model: Any, split: str) -> np.ndarray:
        """What a model says of the rows of a split, [N, outputs]."""
        ...

    def scores(self, model: Any, split: str) -> dict[str, float]:
        """Every metric of a model on a split."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Writes a model, whole or not at all; replaces one that is there."""
        ...

    def load(self, folder: Path) -> Any:
        """Reads what `save` wrote."""
        ...

    def steps(self, point: Hyperparameters, rows: int) -> int:
        """Steps of a training on so many rows."""
        ...

    def row_seconds(self) -> float:
        """Time of a forward pass over one row, measured."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What decides the outcome, plain."""
        ...


class ModelTuner:
    """Fine-tunes a transformers model.

    Args:
        model: A folder, or a name on the hub, with its tokenizer.
        data: The task's rows.
        max_length: Tokens of a row; as many as the task's kind usually has, or the model can read, if left out.
        precision: "auto", "fp32", "bf16" or "fp16".
        patience: Epochs without a better score after which a training ends; 0 never does.

    Raises:
        DataError: If the model has no tokenizer, or one of another model.
        UnsupportedModelError: If the model cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path,
        data: TaskData,
        *,
        max_length: int | None = None,
        precision: str = "auto",
        patience: int = 0,
    ) -> None:
        check_folder("model", str(model))
        self._path, self._data = model, data
        self._precision, self._patience = precision, patience
        self._tokenizer = load_tokenizer(model)
        start: Any = start_model(model, data.task)[0]
        check_vocabulary(self._tokenizer, start)
        self._length = min(max_length or default_length(data.task), longest_text(start))
        self._rows = encode_task(data, self._tokenizer, self._length)
        self._fingerprint = fingerprint_model(str(model))

    def tune(
        self, point: Hyperparameters, train: Examples, *, folder: Path, identity: str, report: Report | None = None
    ) -> Tuned:
        """See `Tuner.tune`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the head is new was said when the model was checked
            model: Any = start_model(self._path, self._data.task, seed=point.seed)[0]
        rows = encode(train, ungrouped(self._data.task), self._tokenizer, self._length)
        # Fits are compared on the development share alone: the reported splits stay untouched until the end.
        found = fit(
            model,
            self._rows.replaced(fingerprint([self._rows.fingerprint, identity]), train=rows),
            point,
            folder=folder,
            patience=self._patience,
            precision=self._precision,
            identity=self.to_dict(),
            progress=report,
            validate=False,
        )
        score = found.score if math.isnan(found.score) else found.search[self._data.task.metric]
        per_epoch = self.steps(point, len(train)) // point.epochs
        return Tuned(model, score, round(found.epochs * per_epoch), found.seconds)

    def logits(self, model: Any, split: str) -> np.ndarray:
        """See `Tuner.logits`."""
        return predict(model, self._rows.splits[split])

    def scores(self, model: Any, split: str) -> dict[str, float]:
        """See `Tuner.scores`."""
        return self._rows.scores(model, split)

    def save(self, model: Any, folder: Path) -> None:
        """See `Tuner.save`."""
        save(model, folder, tokenizer=self._tokenizer, overwrite=True)

    def load(self, folder: Path) -> Any:
        """See `Tuner.load`."""
        return load(folder)

    def steps(self, point: Hyperparameters, rows: int) -> int:
        """See `Tuner.steps`."""
        return point.epochs * math.ceil(rows / point.batch_size)

    def row_seconds(self) -> float:
        """See `Tuner.row_seconds`."""
        model: Any = start_model(self._path, self._data.task)[0]
        return time_row(model, self._rows, precision=self._precision)

    def to_dict(self) -> dict[str, Any]:
        """The model's files, and how it is trained."""
        return {
            "model": self._fingerprint,
            "max_length": self._length,
            "precision": self._precision,
            "patience": self._patience,
        }
