"""From a finished model and a published task to submission files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.errors import DataError
from sublm.export import load, longest_text
from sublm.paths import check_folder
from sublm.progress import Progress
from sublm.tasks import build_model, decode, encode, load_tokenizer, predict, score_answers, write_predictions
from sublm.tasks.encoding import Encoded, default_length
from sublm.tasks.load_split import Split, load_splits
from sublm.tasks.metrics import compute_metrics
from sublm.tasks.predicting import align_outputs, check_head
from sublm.tasks.prediction_files import PREDICTIONS
from sublm.tasks.span_decoding import N_BEST
from sublm.tasks.submissions import format_of, write_submission

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def submit(
    model: str | Path,
    *,
    task: str,
    out: str | Path,
    data: str | Path | None = None,
    split: str | None = None,
    max_length: int | None = None,
    doc_stride: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predicts splits of a task and writes a submission file of each; the arguments are those of `sublm predict`.

    Returns:
        "files" (paths as text), "rows" (split to number), "notes", and "scores" (split to metrics) of the splits whose
        labels are there.

    Raises:
        DataError: The task, its data, or the model's head cannot be used, or a file is there already.
    """
    progress = progress or Progress()
    folder = Path(out)
    check_folder("model", str(model))
    with progress.stage("Reading the task and the model"):
        splits = load_splits(task, split, data=data)
        for part in splits:
            path = folder / _file_name(part)
            if path.exists() and not overwrite:
                raise DataError(
                    f"{path} is there already; replace it with --overwrite or name another folder with --out."
                )
        network = _load(model, splits[0])
        check_head(network, splits[0].task)
        tokenizer = load_tokenizer(model)
        can = longest_text(network)
        if max_length is not None and max_length > can:
            raise DataError(f"max_length={max_length}, but the model reads {can} tokens. Pass max_length={can}.")
        length = max_length or min(default_length(splits[0].task), can)
    found: dict[str, Any] = {"files": [], "rows": {}, "notes": [], "scores": {}}
    for part in splits:
        with progress.stage(f"Predicting {part.name}"):
            encoded = encode(part.examples, part.task, tokenizer, length, doc_stride=doc_stride)
            logits = align_outputs(predict(network, encoded), network, part.task)
            files, scores = _write(folder, part, encoded, logits)
        found["files"] += [str(path) for path in files]
        found["rows"][part.name] = len(part.examples)
        found["notes"] += part.notes
        if part.labelled:
            found["scores"][part.name] = scores
    return {key: value for key, value in found.items() if value}


def _file_name(split: Split) -> str:
    return PREDICTIONS if split.task.kind == "span" else format_of(split.task).file_name(split.task, split.name)


def _load(model: str | Path, split: Split) -> PreTrainedModel:
    """A model of the user's, a sub-network too; its head must be there, for an untrained one predicts nothing."""
    if Path(model).is_dir():
        network: PreTrainedModel = load(model).eval()
        return network
    network, trained = build_model(model, split.task)
    if not trained:
        raise DataError(
            f"the model {str(model)!r} has no head trained for {split.task.name}. Fine-tune it first, such as with "
            f"`sublm compress {model} --task {split.task.name}`."
        )
    return network


def _write(folder: Path, split: Split, encoded: Encoded, logits: Any) -> tuple[list[Path], dict[str, float]]:
    task = split.task
    if encoded.spans is not None:
        decoded = decode(logits, encoded.spans, n_best=N_BEST)
        return write_predictions(folder, decoded), score_answers(decoded, task)
    path = write_submission(folder, task, split.name, split.examples, logits)
    scores = compute_metrics(logits, encoded.labels, task, encoded.together) if split.labelled else {}
    return [path], scores
