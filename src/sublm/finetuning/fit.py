"""One fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sublm.finetuning.decay import Shrink, weight_shrink
from sublm.finetuning.hyperparameters import Hyperparameters
from sublm.tasks.encoded_task import EncodedTask
from sublm.training import Objective, Record, TaskObjective, fixed, train
from sublm.training.checkpoints import weights_path
from sublm.training.options import Progress
from sublm.training.precision import evaluation_precision


@dataclass(frozen=True)
class Fit:
    """How far a fine-tuning has come, and how good it is.

    Attributes:
        point: What it was done with.
        search: Every metric of the best weights on the search split; before the end, the primary one alone.
        validation: Every metric of the best weights on the validation split; empty before the end. Only to be
            reported: nothing may be chosen by it.
        history: Losses, learning rates and the scores of the probes on the search split.
        score: The best probe, by which runs are compared: the primary metric on the search split; NaN if none had one.
        best_epoch: Epochs, with fraction, after which the best weights were kept.
        epochs: Epochs done, with fraction.
        ended: Whether there is nothing left to train.
        stopped: Whether it ended early, for want of better scores.
        seconds: Time it took, that of earlier calls included; scoring at the end not.
        shrink: What weight decay alone does to the weights in all its steps.
        weights: The best weights (safetensors; names as in the model), if there is a folder and the fit has ended.
    """

    point: Hyperparameters
    search: Mapping[str, float]
    validation: Mapping[str, float]
    history: tuple[Record, ...]
    score: float
    best_epoch: float
    epochs: float
    ended: bool
    stopped: bool
    seconds: float
    shrink: Shrink
    weights: Path | None = field(default=None)

    @property
    def curve(self) -> tuple[tuple[float, float], ...]:
        """Epochs done and the score there, of every probe; NaN where there was no score."""
        return tuple((record.epoch, record.score) for record in self.history if record.score is not None)


def fit(
    model: Any,
    data: EncodedTask,
    point: Hyperparameters,
    *,
    split: str = "train",
    folder: Path | str | None = None,
    until: int | None = None,
    patience: int = 0,
    probe_every: int = 0,
    schedule: str = "linear",
    clip: float = 1.0,
    precision: str = "auto",
    teacher: nn.Module | None = None,
    objective: Objective | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    validate: bool = True,
) -> Fit:
    """Fine-tunes a model, in place, and scores it.

    It is trained on the rows of one split. After every epoch it is scored by the task's primary metric on the search
    split, and the weights of the best epoch (of equals, the later) are those it ends with. Only at the end are they
    scored on the validation split, and nothing is chosen by that. The head is trained as it comes: `start_model` gives
    one drawn with a seed.

    With a folder, a fit that was killed goes on from its last checkpoint when called again with the same arguments, and
    ends as if nothing had been. One that has ended gives the same again without training. With `until` it pauses after
    so many epochs; called again with a larger one, or none, it goes on with the same learning-rate schedule.

    Args:
        model: A transformers model with the task's head.
        data: The task's rows.
        point: Learning rate, epochs, batch size, weight decay, warm-up, and the seed of dropout and of the rows' order.
        split: The rows that are trained on.
        folder: Where checkpoints go: one training, one folder. None keeps none.
        until: Epoch to pause after; None goes to the end.
        patience: Probes without a better score after which it ends early; 0 never does.
        probe_every: Steps between probes; 0 probes after every epoch.
        schedule: How the learning rate falls: "linear" or "cosine".
        clip: Longest gradient; 0 does not clip.
        precision: "auto", "fp32", "bf16" or "fp16"; the scores at the end are always those of fp32.
        teacher: Learn from this model's logits instead of from the labels; it reads the same tokens.
        objective: What the training lowers; the task's own loss, or the distance from the teacher's logits, by default.
        identity: What else must be the same for a checkpoint to be gone on with.
        progress: Called now and then with steps done, all steps, loss, steps per second.
        validate: Score the best weights on the validation split at the end.

    Returns:
        What became of it; the best weights are in the model, on the device of the training.

    Raises:
        TrainingError: If the loss is not a finite number, or the trial step fails.
        RunError: If the folder holds a checkpoint of another training.
    """
    metric, cheap = data.task.metric, evaluation_precision(precision)
    per_epoch = data.steps_per_epoch(split, point.batch_size)
    steps = per_epoch * point.epochs
    result = train(
        model,
        data.batches(split, point.batch_size, point.seed),
        fixed(teach="labels" if teacher is None else "teacher"),
        point.options(schedule=schedule, clip=clip, precision=precision, patience=patience, probe_every=probe_every),
        steps_per_epoch=per_epoch,
        objective=objective or TaskObjective(data.task.kind),
        teacher=teacher,
        probe=lambda: data.scores(model, "search", precision=cheap)[metric],
        folder=folder,
        identity={"data": data.fingerprint, "split": split, **(identity or {})},
        progress=progress,
        pause=None if until is None or until >= point.epochs else lambda step: step >= until * per_epoch,
    )
    done = result.history[-1].step if result.history else 0
    scores = [record.score for record in result.history if record.score is not None]
    finite = [score for score in scores if not math.isnan(score)]
    best = max(finite) if finite else math.nan
    return Fit(
        point=point,
        search=data.scores(model, "search") if result.ended else {metric: best},
        validation=data.scores(model, "validation") if result.ended and validate else {},
        history=result.history,
        score=best,
        best_epoch=(result.best_step if finite else done) / per_epoch,
        epochs=done / per_epoch,
        ended=result.ended,
        stopped=result.ended and done < steps,
        seconds=result.seconds,
        shrink=weight_shrink(point, steps, schedule),
        weights=weights_path(Path(folder), done) if folder is not None and result.ended else None,
    )
