"""Reading and checking everything that fine-tuning over a grid needs, before any long work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sublm.errors import TrainingError
from sublm.export import longest_text
from sublm.finetuning.grid import Grid
from sublm.finetuning.settings import FinetuneSettings
from sublm.finetuning.start import start_model
from sublm.paths import check_folder
from sublm.progress import Progress
from sublm.search.executors import check_cluster
from sublm.stages.checks import check_lengths, check_vocabulary
from sublm.tasks import EncodedTask, TaskData, encode_task, evaluate, load_task, load_tokenizer
from sublm.tasks.encoding import default_length
from sublm.training import TaskObjective


@dataclass(frozen=True)
class Prepared:
    """Everything checked and read.

    Attributes:
        settings: What the user decided.
        grid: The points.
        examples: The task's examples.
        rows: The same, tokenised.
        tokenizer: The model's.
        model: The model as the first point starts with it.
        trained: Whether its head is trained already.
    """

    settings: FinetuneSettings
    grid: Grid
    examples: TaskData
    rows: EncodedTask
    tokenizer: Any
    model: Any
    trained: bool


def prepare(s: FinetuneSettings, progress: Progress) -> Prepared:
    """Loads and checks everything, before any long work."""
    check_folder("model", s.model)
    if s.ray is not None:
        check_cluster(s.ray)
    with progress.stage("Reading the task and the model"):
        examples = load_task(
            s.task,
            data=s.data,
            text=s.text,
            label=s.label,
            search_share=s.search_share,
            seed=s.seed,
            limit=s.limit,
            announce=False,
        )
        for note in examples.notes:
            progress.message(note)
        TaskObjective(examples.task.kind)  # refuses kinds that have no labels
        grid = s.points(examples.task.name)
        model, trained = start_model(s.model, examples.task, seed=grid[0].seed)
        tokenizer = load_tokenizer(s.model)
        check_vocabulary(tokenizer, model)
        usual = grid.max_length or default_length(examples.task)
        rows = encode_task(
            examples, tokenizer, s.max_length or min(usual, longest_text(model)), doc_stride=s.doc_stride
        )
        check_lengths(rows.splits, model, s.task)
        fewest = min(rows.steps_per_epoch("train", point.batch_size) for point in grid)
        if s.halving > 1 and s.probe_every > fewest * s.grace:
            raise TrainingError(
                f"probe_every={s.probe_every} brings no score before the first rung, after {fewest * s.grace} steps: "
                "leave it out, or give more grace."
            )
        # One evaluation batch: what is wrong with model and data together shows now.
        evaluate(model, rows.splits["search"].select(range(min(16, len(rows.splits["search"])))), rows.task)
    return Prepared(s, grid, examples, rows, tokenizer, model, trained)
