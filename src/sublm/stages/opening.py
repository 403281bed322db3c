"""Opening a run: everything is loaded and checked before any long work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sublm.export import longest_text
from sublm.files import fingerprint_model
from sublm.paths import check_folder
from sublm.progress import Progress
from sublm.run import Run
from sublm.settings import Settings
from sublm.stages.checks import check_choices, check_lengths, check_vocabulary
from sublm.stages.workspace import Workspace
from sublm.tasks import TASKS, Encoded, TaskData, build_model, encode_task, evaluate, load_task, load_tokenizer, predict
from sublm.tasks.encoding import default_length
from sublm.tasks.kinds import kind_of
from sublm.tasks.unlabelled import answer_splits, load_unlabelled
from sublm.training import Team
from sublm.training.precision import evaluation_precision

UNKNOWN = 0.05
"""Share of unknown tokens above which the user is warned."""

MANY = 8
"""Classes that are shown by name."""


def open_workspace(settings: Settings, run: Run, progress: Progress, team: Team | None = None) -> Workspace:
    """Loads and checks everything a run needs, before any long work.

    Raises:
        DataError: If the task or the tokenizer cannot be used.
        UnsupportedModelError: If the model cannot be made elastic.
    """
    from sublm.supernet.layout import find_layout

    check_choices(settings)
    for name in ("model", "teacher"):
        check_folder(name, getattr(settings, name))
    with progress.stage("Reading the task and the model"):
        data = _load_data(settings)
        for note in (*_columns_read(settings, data), *data.notes):
            progress.message(note)
        tokenizer = load_tokenizer(settings.model)
        model, trained = build_model(settings.model, data.task, seed=settings.seed)
        find_layout(model)
        check_vocabulary(tokenizer, model)
        max_length = settings.max_length or min(default_length(data.task), longest_text(model))
        rows = encode_task(data, tokenizer, max_length, doc_stride=settings.doc_stride)
        answers: dict[str, np.ndarray] = {}
        if settings.unlabelled:
            original, _ = build_model(settings.original, data.task, seed=settings.seed)
            answers = {name: predict(original, part) for name, part in rows.splits.items()}
            data = answer_splits(data, answers, {name: part.spans for name, part in rows.splits.items()})
            rows = encode_task(data, tokenizer, max_length, doc_stride=settings.doc_stride)
        if unknown := _unknown_share(rows.splits["train"], tokenizer):
            progress.warning(unknown)
        encoded = dict(rows.splits)
        encoded["full_train"] = encoded["train"].joined(encoded["search"])
        check_lengths(encoded, model, settings.task)
        work = Workspace(
            settings=settings,
            run=run,
            progress=progress,
            data=data,
            tokenizer=tokenizer,
            encoded=encoded,
            model_fingerprint=fingerprint_model(settings.model),
            trained=trained,
            precision=evaluation_precision(settings.precision),
            team=team or Team(),
            answers=answers,
        )
        # One evaluation batch: what is wrong with model and data together shows now, not after the training.
        evaluate(model, encoded["search"].select(range(min(16, len(encoded["search"])))), data.task)
    return work


def _columns_read(settings: Settings, data: TaskData) -> list[str]:
    """Which columns of a file of one's own were taken for what, where they were not all named."""
    task = data.task
    if settings.unlabelled or settings.task in TASKS or (settings.text and settings.label):
        return []
    names = " and ".join(map(repr, task.texts))
    found = f"{task.kind} of {names} by {task.label!r}" if task.label else f"{task.kind} of {names}"
    many = ", ..." if len(task.labels) > MANY else ""
    classes = f" ({', '.join(map(str, task.labels[:MANY]))}{many})" if task.labels else ""
    return [f"Read as {found}{classes}."]


def _unknown_share(rows: Encoded, tokenizer: Any) -> str:
    """A warning, if the tokenizer does not know much of the texts: it may be of another language."""
    unknown = tokenizer.unk_token_id
    if unknown is None or rows.chooses:
        return ""
    some = [np.asarray(row) for row in rows.input_ids[:1000]]
    share = sum(int((row == unknown).sum()) for row in some) / max(sum(map(len, some)), 1)
    if share <= UNKNOWN:
        return ""
    return f"{share:.0%} of the tokens are unknown to the tokenizer: are the texts in the model's language and script?"


def _load_data(settings: Settings) -> TaskData:
    """The task's examples, or texts without labels."""
    shared: dict[str, Any] = {"text": settings.text, "search_share": settings.search_share}
    shared |= {"seed": settings.seed, "limit": settings.limit}
    if settings.unlabelled:
        return load_unlabelled(settings.unlabelled, settings.original, **shared)
    shared |= {"label": settings.label, "kind": settings.kind}
    data = load_task(settings.task, data=settings.data, pairs=settings.pairs, announce=False, **shared)
    return replace(data, notes=(*data.notes, *kind_of(data.task.kind).notes(settings.model)))
