"""The teacher: the model fine-tuned for the task, from which everything smaller is cut and learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sublm.costs.closed_form import CostModel
from sublm.errors import DataError
from sublm.export import load, save
from sublm.files import fingerprint_model
from sublm.progress import plural
from sublm.stages.workspace import Workspace
from sublm.supernet.layout import find_layout
from sublm.tasks import build_model, load_tokenizer
from sublm.tasks.kinds import kind_of
from sublm.training import fixed

FEW_STEPS, ENOUGH_STEPS = 100, 200
"""Steps of a fine-tuning below which the user is warned, and that are then proposed."""


@dataclass(frozen=True)
class TeacherResult:
    """What the stage gives.

    Attributes:
        model: What everything smaller learns from; the super-network is made of it, unless it starts from the model.
        teaches: Whether it was trained for the task; an untrained one is not learned from.
        seconds: Time of its fine-tuning; 0 if it came fine-tuned.
    """

    model: Any
    teaches: bool
    seconds: float

    @property
    def costs(self) -> CostModel:
        """What the teacher costs; its shape may be another than the super-network's."""
        return CostModel(find_layout(self.model))


def check_teacher(work: Workspace) -> None:
    """Refuses a given teacher that cannot teach, and a model that would have to be trained first, before any work.

    Raises:
        DataError: If it was not trained for the task, reads other tokens, or has other hidden states than are wanted.
    """
    s = work.settings
    if not kind_of(work.data.task.kind).supervised:
        _refuse_labels(work)
    if s.teacher in (None, "none"):
        fits = work.trained
    else:
        given, (model, _) = _given_teacher(work), build_model(s.model, work.data.task, seed=s.seed)
        fits = _same_shape(given, model)
        if s.start == "model" and s.hidden and find_layout(given).shape.hidden != find_layout(model).shape.hidden:
            raise DataError(
                f"hidden={s.hidden} compares hidden states, and the teacher {s.teacher!r} has others than "
                f"{s.model!r}: leave it at 0, or start from the teacher."
            )
    if s.no_train and not fits:
        raise DataError(
            f"no_train=True makes a fine-tuned model smaller, and {s.model!r} has no head trained for "
            f"{work.data.task.name}: give one that has, as the model or, of the same shape, with --teacher."
        )


def _refuse_labels(work: Workspace) -> None:
    """Refuses settings that learn from labels, where there are none."""
    s, kind = work.settings, work.data.task.kind
    for name, asked, way in (
        ("teacher", s.teacher == "none", "leave it out, and the model as it is given teaches"),
        ("importance", s.importance == "movement", "choose taylor, taylor_gate, fisher or magnitude"),
        ("label_weight", bool(s.label_weight), "leave it out"),
    ):
        if asked:
            value = getattr(s, name)
            raise DataError(f"{name}={value!r} learns from labels, and texts of the kind {kind} have none: {way}.")


def advice(work: Workspace) -> str:
    """What to know before a teacher is fine-tuned on so few rows that it may not learn the task; else nothing."""
    s = work.settings
    steps = work.steps_per_epoch()
    if s.unlabelled or not s.teacher_epochs or s.teacher_epochs * steps >= FEW_STEPS:
        return ""
    epochs = min(20, math.ceil(ENOUGH_STEPS / steps))
    if epochs <= s.teacher_epochs:
        return ""
    return (
        f"{len(work.encoded['train'])} rows make {plural(s.teacher_epochs * steps, 'step')} of fine-tuning, which may "
        f"be too few for the teacher to learn the task; --teacher-epochs {epochs} makes {epochs * steps}."
    )


def make_teacher(work: Workspace) -> TeacherResult:
    """Gives the fine-tuned model that is made smaller, and that everything smaller learns from.

    That is the given teacher if it has the model's shape, or if nothing is made of it (`start`); else the model, if its
    head is trained for the task; else the model fine-tuned here: on the labels, or distilled from a given teacher of
    another shape.

    Raises:
        DataError: If the given teacher was not trained for the task, or reads other tokens.
    """
    s = work.settings
    model, trained = build_model(s.model, work.data.task, seed=s.seed)
    if s.teacher == "none":
        return TeacherResult(model, False, 0.0)
    given = _given_teacher(work) if s.teacher is not None else None
    if given is not None and (s.start == "model" or _same_shape(given, model)):
        model, trained, given = given, True, None
    fine_tunes = not trained or given is not None
    inputs: dict[str, Any] = {"model": work.model_fingerprint, "fine_tunes": fine_tunes}
    if s.teacher is not None:
        inputs["teacher"] = fingerprint_model(s.teacher)
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
    outputs = ["teacher", *work.answers_of("original")]
    stage = work.stage("teacher", inputs | {"data": work.data.fingerprint, "seed": s.seed}, outputs=outputs)
    folder = work.run.folder / "teacher"
    if not stage.done:
        epochs = plural(s.teacher_epochs, "epoch")
        title = f"Fine-tuning the teacher ({epochs})" if fine_tunes else "Taking the model as teacher"
        if fine_tunes and (warning := advice(work)):
            work.progress.warning(warning)
        with work.doing(stage, title) as checkpoints:
            if fine_tunes:
                result = work.train(
                    model,
                    fixed(teach="labels" if given is None else "teacher"),
                    work.options(s.teacher_epochs, s.teacher_learning_rate),
                    checkpoints,
                    teacher=given,
                    probe=work.probe(model),
                    student=False,
                )
                stage.result["train_seconds"] = result.seconds
            stage.result["search"] = work.scores(model, "search")
            stage.result["validation"] = work.scores(model, "validation", keep="original")
            save(model, folder, tokenizer=work.tokenizer, overwrite=True)
    score = stage.result["validation"][work.metric]
    work.progress.message(f"The teacher's {work.metric} on the validation split: {score:.4f}")
    return TeacherResult(load(folder), True, stage.result.get("train_seconds", 0.0))


def _given_teacher(work: Workspace) -> Any:
    """Loads `--teacher` and makes sure that it can teach."""
    path = str(work.settings.teacher)
    teacher, trained = build_model(path, work.data.task, seed=work.settings.seed)
    if not trained:
        raise DataError(
            f"The teacher {path!r} has no head trained for {work.data.task.name}. Give a model fine-tuned for it, or "
            "leave --teacher out to fine-tune one here."
        )
    if load_tokenizer(path).get_vocab() != work.tokenizer.get_vocab():
        raise DataError(
            f"The teacher {path!r} reads other tokens than {work.settings.model!r}: their tokenizers differ. Give a "
            "teacher with the model's vocabulary, or leave --teacher out."
        )
    return teacher


def _same_shape(first: Any, second: Any) -> bool:
    if first.config.model_type != second.config.model_type:
        return False
    return find_layout(first).shape == find_layout(second).shape
