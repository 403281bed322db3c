"""What sub-networks know of tasks without being fine-tuned: a linear model on their features (linear probing)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sublm.errors import DataError, RunError
from sublm.pooling import Pooling, pool
from sublm.spaces import Subnet
from sublm.supernet import SuperNet
from sublm.tasks import encode_task, load_task
from sublm.tasks.batching import evaluation_batches
from sublm.tasks.encoded_task import EncodedTask
from sublm.tasks.encoding import Encoded, default_length
from sublm.tasks.evaluation import inference
from sublm.tasks.metrics import compute_metrics
from sublm.tasks.task import TaskData

PROBED = ("classification", "regression")
_ITERATIONS = 1000


@dataclass(frozen=True)
class Probes:
    """Tasks that sub-networks are probed on: the encoder stays as it is, a linear model is fitted on its features.

    The features of a text, or of a pair read together, are the mean of the last hidden states over its tokens,
    standardised. Classes are told apart by logistic regression, numbers found by ridge regression, both fitted on the
    training rows and scored on the search rows, so that the reported split is not looked at.

    Attributes:
        tasks: Name to encoded rows.
        precision: Of the forward passes, "fp32" or "bf16".
    """

    tasks: dict[str, EncodedTask]
    precision: str = "fp32"

    @classmethod
    def load(
        cls,
        names: Sequence[str],
        tokenizer: Any,
        *,
        data: str | None,
        longest: int,
        limit: int,
        seed: int,
        precision: str = "fp32",
    ) -> Probes:
        """Reads and encodes the tasks.

        Args:
            names: Names, or files of the user's own.
            tokenizer: The super-network's.
            data: Folder in which tasks lie, a folder each; None takes the hub.
            longest: Tokens that the super-network reads, at most.
            limit: Training rows of each, at most.
            seed: Draws the search rows.
            precision: Of the forward passes.

        Raises:
            DataError: A task cannot be read, or its answers are neither classes nor numbers of whole rows.
        """
        tasks = {}
        for short, name in task_names(names).items():
            examples = read_task(name, data=data, limit=limit, seed=seed)
            if examples.task.kind not in PROBED:
                raise DataError(
                    f"{name} is a task of the kind {examples.task.kind!r}; a linear probe is for "
                    f"{' and '.join(PROBED)}. Fine-tune it with task_epochs=1 (--task-epochs 1), or leave it out."
                )
            tasks[short] = encode_task(examples, tokenizer, min(default_length(examples.task), longest))
        return cls(tasks, precision)

    def scores(self, supernet: SuperNet, subnet: Subnet) -> dict[str, float]:
        """The primary metric of every task on its search rows; the sub-network active before is active again.

        Args:
            supernet: The super-network.
            subnet: Which of its sub-networks.
        """
        before = supernet.active
        supernet.activate(subnet)
        try:
            return {name: self._score(supernet.model, rows) for name, rows in self.tasks.items()}
        finally:
            supernet.activate(before)

    def _score(self, model: Any, rows: EncodedTask) -> float:
        train, search = rows.splits["train"], rows.splits["search"]
        seen, asked = (features(model, part, self.precision) for part in (train, search))
        said = _fit_and_predict(seen, train.labels, asked, rows.task.kind, len(rows.task.labels))
        return compute_metrics(said, search.labels, rows.task, search.together)[rows.task.metric]


def features(model: Any, encoded: Encoded, precision: str = "fp32") -> np.ndarray:
    """The mean of the last hidden states over the tokens of each row, [N, hidden] float32, in row order.

    Args:
        model: An encoder, with or without a head.
        encoded: N rows.
        precision: Of the forward passes.
    """
    encoder = model.base_model
    device = next(encoder.parameters()).device
    parts, order = [], []
    with inference(encoder, precision):
        for batch in evaluation_batches(encoded, pad_token_id=getattr(encoder.config, "pad_token_id", None) or 0):
            order.append(batch.pop("index").numpy())
            batch.pop("labels")
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            hidden = encoder(**inputs).last_hidden_state
            parts.append(pool(hidden, inputs["attention_mask"], Pooling()).cpu().numpy())
    found = np.empty((len(encoded), parts[0].shape[1]), dtype=np.float32)
    found[np.concatenate(order)] = np.concatenate(parts)
    return found


def task_names(tasks: Sequence[str]) -> dict[str, str]:
    """The proxy tasks by a short name each: the file's, with as many of its folders as tell it from the others.

    Raises:
        RunError: If two have the same.
    """
    parts = {task: (*Path(task).parent.parts, Path(task).stem) for task in tasks}
    if len(set(parts.values())) < len(tasks):
        raise RunError(
            f"tasks: {', '.join(map(str, tasks))}: two have the same name; give each once, and files of one folder "
            "names that differ in more than their type."
        )
    found = {}
    for task, own in parts.items():
        others = [other for other in parts.values() if other != own]
        number = next(
            n for n in range(1, 1 + max(map(len, parts.values()))) if all(other[-n:] != own[-n:] for other in others)
        )
        found["-".join(own[-number:]).replace("/", "")] = task
    return found


def read_task(name: str, *, data: str | None, limit: int, seed: int) -> TaskData:
    """Reads a proxy task; arguments as of `Probes.load`."""
    return load_task(name, data=folder_of(name, data), seed=seed, limit=limit, announce=False)


def folder_of(task: str, data: str | None) -> str | None:
    """Where the rows of a task lie, if it is not a file itself and not taken from the hub."""
    return None if data is None or Path(task).exists() else str(Path(data) / task)


def _fit_and_predict(seen: np.ndarray, labels: np.ndarray, asked: np.ndarray, kind: str, classes: int) -> np.ndarray:
    """Logits of the asked rows, [N, classes], or numbers, [N]; NaN where the features are not finite."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not (np.isfinite(seen).all() and np.isfinite(asked).all()):
        return np.full((len(asked), max(classes, 1)), np.nan)
    linear = Ridge() if kind == "regression" else LogisticRegression(max_iter=_ITERATIONS)
    fitted = make_pipeline(StandardScaler(), linear).fit(seen, labels)
    if kind == "regression":
        return np.asarray(fitted.predict(asked))
    said = np.full((len(asked), classes), -1e9)  # a class that no training row has
    said[:, fitted.classes_] = fitted.predict_log_proba(asked).clip(min=-1e6)
    return said
