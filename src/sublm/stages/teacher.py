"""The teacher: the model fine-tuned for the task, from which everything smaller is cut and learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sublm.export import load, save
from sublm.stages.workspace import Workspace, fingerprint_model, plural
from sublm.tasks import build_model
from sublm.training import fixed


@dataclass(frozen=True)
class TeacherResult:
    """What the stage gives.

    Attributes:
        model: The model the super-network is made of.
        teaches: Whether it was trained for the task; an untrained one is not learned from.
        seconds: Time of its fine-tuning; 0 if it came fine-tuned.
    """

    model: Any
    teaches: bool
    seconds: float


def make_teacher(work: Workspace) -> TeacherResult:
    """Takes the given teacher, the model itself if its head is trained for the task, or fine-tunes the model."""
    s = work.settings
    given = s.model if s.teacher in (None, "none") else s.teacher
    model, trained = build_model(given, work.data.task, seed=s.seed)
    if s.teacher == "none":
        return TeacherResult(model, False, 0.0)
    fine_tunes = not trained
    inputs: dict[str, Any] = {"model": fingerprint_model(given), "fine_tunes": fine_tunes}
    if fine_tunes:
        inputs |= {
            "epochs": s.teacher_epochs,
            "learning_rate": s.teacher_learning_rate,
            "batch_size": s.batch_size,
            "weight_decay": s.weight_decay,
            "warmup": s.warmup,
            "schedule": s.schedule,
            "clip": s.clip,
            "precision": s.precision,
        }
    stage = work.stage("teacher", inputs | {"data": work.data.fingerprint, "seed": s.seed}, outputs=["teacher"])
    folder = work.run.folder / "teacher"
    if not stage.done:
        title = (
            f"Fine-tuning the teacher ({plural(s.teacher_epochs, 'epoch')})"
            if fine_tunes
            else "Taking the model as teacher"
        )
        with work.doing(stage, title) as checkpoints:
            if fine_tunes:
                options = work.options(s.teacher_epochs, s.teacher_learning_rate)
                result = work.train(model, fixed(), options, checkpoints, probe=work.probe(model))
                stage.result["train_seconds"] = result.seconds
            stage.result["search"] = work.scores(model, "search")
            stage.result["validation"] = work.scores(model, "validation")
            save(model, folder, tokenizer=work.tokenizer, overwrite=True)
    score = stage.result["validation"][work.metric]
    work.progress.message(f"The teacher's {work.metric} on the validation split: {score:.4f}")
    return TeacherResult(load(folder), True, stage.result.get("train_seconds", 0.0))
