"""`sublm agora`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def agora(
    model: str,
    *,
    task: str,
    teacher: str,
    out: Path | None = None,
    data: Path | None = None,
    text: list[str] | None = None,
    label: str | None = None,
    search_share: float = 0.15,
    limit: int | None = None,
    max_length: int | None = None,
    grid: str | None = None,
    learning_rate: list[float] | None = None,
    epochs: list[int] | None = None,
    batch_size: list[int] | None = None,
    weight_decay: list[float] | None = None,
    warmup: list[float] | None = None,
    seeds: list[int] | None = None,
    patience: int = 0,
    pruning: Literal["lcs", "lcs-descending", "halving"] = "lcs",
    replay: int = 0,
    most_rounds: int = 0,
    soft: bool = False,
    balance: bool = False,
    generator: list[str] | None = None,
    share: float = 0.15,
    columns: list[str] | None = None,
    language_model: str | None = None,
    translators: list[str] | None = None,
    nearest: float = 0.02,
    farthest: float = 0.5,
    embedder: str | None = None,
    likeness: float = 0.8,
    attempts: int = 8,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Fine-tune a small model on data that grow around its errors.

    Agora (de Wynter, 2020): in every round all hyper-parameter sets left are fine-tuned, the best model's errors on a
    share of the training rows are found, a new point is made around each and labelled by the teacher, and sets are
    removed, until none is left. The validation split is looked at once, at the end. Killed, the same command goes on.

    Args:
        model: The model to fine-tune: a transformers folder, one that SubLM wrote, or a name on the hub.
        task: A task by name, or a CSV, JSON or parquet file, or a folder with one file per split.
        teacher: A model fine-tuned for the task, of any size and vocabulary, that labels new points.
        out: The run directory; runs/agora-TASK if not given.
        data: A folder that holds the named task, instead of the hub.
        text: The column, or the two columns, that hold the text; found if not given.
        label: The column that holds the label; found if not given.
        search_share: Share of the training rows on which models are compared and errors are found; they are not trained
            on.
        limit: Use at most this many training rows.
        max_length: Tokens after which a text is cut, 128 if not given.
        grid: Hyper-parameter sets: a grid's name (default, bort) or a YAML or JSON file. If neither this nor any list
            below is given, 3 learning rates with 2 seeds.
        learning_rate: Largest learning rates.
        epochs: Passes over the rows.
        batch_size: Texts per step.
        weight_decay: Of AdamW.
        warmup: Shares of the steps in which the learning rate rises.
        seeds: Of a new head, of dropout and of the order of the rows.
        patience: Epochs without a better score after which a fine-tuning ends; 0 never does.
        pruning: Which sets a round leaves: lcs removes the worst and what is most like it, lcs-descending what is most
            like the best, halving the worse half.
        replay: How often all sets are taken up again on the grown data.
        most_rounds: Rounds at most; 0 goes on until no set is left.
        soft: Train on the teacher's probabilities of new points, not on its most likely class.
        balance: Take no new points of a class beyond the size that the smallest class can get.
        generator: How texts are changed: embedding-neighbours (if not given), masked-lm, word-dropout, word-swap,
            character-noise or back-translation. Of several, each text gets one by lot.
        share: Of the words of a text that are changed.
        columns: Texts that may be changed; all if not given.
        language_model: A masked language model for masked-lm; MODEL if not given.
        translators: Two sequence-to-sequence models for back-translation, there and back.
        nearest: Smallest distance of a new text to the old one: words changed, over the words of the longer one.
        farthest: Largest distance.
        embedder: A sentence-embedding model, whose cosine must find the texts near, too.
        likeness: Similarity, 0 to 1, from which on a point is too near another row of a scored split.
        attempts: How often a new point is tried for an error.
        precision: Of training; auto takes bf16 where the machine gains from it.
        seed: Of the splits and of what the generators draw.
        dry_run: Check everything, show how many fine-tunings it takes, and stop.
        overwrite: Use the run directory though it holds a run with other settings; rounds that the change does not
            touch are kept.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm agora MODEL --task rte --teacher ./rte-teacher --dry-run
        sublm agora MODEL --task reviews.csv --teacher ./large --pruning halving
        sublm agora MODEL --task mrpc --teacher ./large --learning-rate 5e-5 1e-4 --seeds 0 1
    """
    from sublm.agora import AgoraOptions, DistanceFilter, ModelTeacher, ModelTuner, make_generator, run_agora
    from sublm.agora.embedder import MeanEmbedder
    from sublm.agora.loop import check_task
    from sublm.agora.plan import plan_agora
    from sublm.commands._agora_summary import AgoraPlan, AgoraSummary
    from sublm.finetuning import Grid
    from sublm.progress import make_progress
    from sublm.tasks import load_task

    progress = make_progress(quiet=quiet)
    options = AgoraOptions(
        pruning=pruning,
        soft=soft,
        balance=balance,
        replay=replay,
        most_rounds=most_rounds,
        attempts=attempts,
        likeness=likeness,
        columns=tuple(columns or ()),
        seed=seed,
    )
    axes: dict[str, Any] = {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "warmup": warmup,
        "seed": seeds,
    }
    if grid is None and not any(axes.values()):
        axes |= {"learning_rate": [5e-5, 1e-4, 2e-4], "seed": [0, 1]}
    with progress.stage("Reading the task and the models"):
        rows = load_task(
            task,
            data=data,
            text=text,
            label=label,
            search_share=search_share,
            seed=seed,
            limit=limit,
            announce=False,
        )
        check_task(rows, options)
        sets = Grid.of(grid or "default", rows.task.name).replaced(**axes)
        tuner = ModelTuner(
            model, rows, max_length=max_length or sets.max_length, precision=precision, patience=patience
        )
        labeller = ModelTeacher(teacher, rows.task, max_length=max_length or sets.max_length)
        maker = make_generator(
            generator or ["embedding-neighbours"],
            model=model,
            language_model=language_model,
            translators=translators or (),
            share=share,
        )
        distance = DistanceFilter(nearest, farthest, MeanEmbedder(embedder) if embedder else None)
    for note in rows.notes:
        progress.message(note)
    plan = AgoraPlan(plan_agora(tuner, sets.points, len(rows.train), len(rows.search), options))
    if dry_run:
        return plan
    progress.message(plan.in_words())
    folder = out or Path("runs") / f"agora-{rows.task.name}"
    found = run_agora(
        tuner,
        rows,
        labeller,
        sets.points,
        maker,
        out=folder,
        options=options,
        distance=distance,
        overwrite=overwrite,
        progress=progress,
    )
    return AgoraSummary(found, folder)
