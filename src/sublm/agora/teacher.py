"""Teachers: they label new points. A teacher reads texts with its own tokenizer, whatever the student's is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sublm.agora.points import probabilities, ungrouped
from sublm.errors import DataError
from sublm.export import longest_text
from sublm.files import fingerprint_model
from sublm.finetuning import start_model
from sublm.paths import check_folder
from sublm.stages.checks import check_vocabulary
from sublm.tasks import Examples, Task, encode, load_tokenizer, predict
from sublm.tasks.encoding import default_length

GOOD_ENOUGH = 2 / 3
"""The accuracy above which Agora's guarantee allows a teacher (arXiv 2010.07990)."""


class Labeller(Protocol):
    """Labels rows of a task."""

    def __call__(self, examples: Examples) -> np.ndarray:
        """Logits [N, outputs] in the order of the task's labels; for regression the numbers."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What decides its answers, plain."""
        ...


class ModelTeacher:
    """A fine-tuned model.

    Args:
        folder: A transformers folder or a hub name, with its tokenizer.
        task: The task it was fine-tuned for.
        max_length: Tokens it reads of a row; as many as the task's kind usually has, or the model can, if left out.

    Raises:
        DataError: If it has no head for the task's labels, or its tokenizer belongs to another model.
    """

    def __init__(self, folder: str | Path, task: Task, *, max_length: int | None = None) -> None:
        check_folder("teacher", str(folder))
        model: Any
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a head that does not fit, which is refused here
            model, trained = start_model(folder, task)
        if not trained:
            raise DataError(
                f"The teacher {str(folder)!r} has no head trained for {task.name}"
                + (f" with the labels {', '.join(task.labels)}" if task.labels else "")
                + f"; its own are {_labels_of(folder)}. Fine-tune it for the task (sublm finetune), or, if its labels "
                "mean the same, rename them (id2label, label2id) in its config.json."
            )
        self._tokenizer = load_tokenizer(folder)
        try:
            check_vocabulary(self._tokenizer, model)
        except DataError as error:
            raise DataError(f"The teacher {str(folder)!r}: {error} It may differ from the student's.") from error
        self._model = model
        self._task, self._identity = task, fingerprint_model(str(folder))
        self._length = min(max_length or default_length(task), longest_text(model))

    def __call__(self, examples: Examples) -> np.ndarray:
        """The model's logits."""
        return predict(self._model, encode(examples, ungrouped(self._task), self._tokenizer, self._length))

    def to_dict(self) -> dict[str, Any]:
        """Its files and how much it reads."""
        return {"model": self._identity, "max_length": self._length}


class Ensemble:
    """Several teachers: the logarithm of their mean probabilities, or their mean number.

    Args:
        teachers: At least one.
        task: Their task.
    """

    def __init__(self, teachers: Sequence[Labeller], task: Task) -> None:
        if not teachers:
            raise DataError("An ensemble needs at least one teacher.")
        self._teachers, self._task = list(teachers), task

    def __call__(self, examples: Examples) -> np.ndarray:
        """Log-probabilities, whose softmax is their mean."""
        found = [teacher(examples) for teacher in self._teachers]
        if self._task.kind == "regression":
            return np.mean(found, axis=0)
        return np.log(np.maximum(np.mean([probabilities(logits) for logits in found], axis=0), 1e-12))

    def to_dict(self) -> dict[str, Any]:
        """Its members."""
        return {"ensemble": [teacher.to_dict() for teacher in self._teachers]}


def _labels_of(folder: str | Path) -> str:
    from transformers import AutoConfig

    saved = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    return ", ".join(str(name) for _, name in sorted(saved.id2label.items())[:6])
