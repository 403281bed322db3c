"""What `sublm export` does: forms of a model that is there, compared with torch."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sublm.errors import ExportError
from sublm.export.deploy import write_forms
from sublm.export.forms import check_forms
from sublm.export.onnx import check_onnx, longest_text
from sublm.export.save import load
from sublm.progress import Progress

TEXTS = 128
"""Texts that are drawn of those given."""
_BATCH = 16


def export_folder(
    folder: str | Path,
    names: Sequence[str],
    *,
    texts: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes forms of a saved model and compares each with torch.

    Args:
        folder: The model's folder.
        names: Of `FORMS`.
        texts: A file of texts; see `sublm.tasks.embedding_data.read_texts`. Without one, random texts are compared.
        out: Another folder to write to.
        seed: Of the texts that are drawn.
        overwrite: Replace files that are there.
        progress: Where to say how far the work is.

    Returns:
        "compared_on", and "exports": per form its name, file, bytes (of OpenVINO's with the weights) and the largest
        difference from torch.

    Raises:
        ExportError: If a form is unknown or there already, a file in fp32 differs from torch, or texts are needed.
        DataError: If the texts cannot be read.
        MissingPackageError: If a package is not installed.
    """
    forms, target = check_forms(names), Path(out or folder)
    there = [target / form.file for form in forms if (target / form.file).exists()]
    if there and not overwrite:
        raise ExportError(
            f"{there[0]} is there already; replace it with --overwrite or name another folder with --out."
        )
    if texts is None and any(form.precision == "int8-static" for form in forms):
        raise ExportError("Static int8 measures ranges on texts of the task: name a file of them with --texts.")
    progress, model = progress or Progress(), load(folder)
    batches = None if texts is None else _batches(model, Path(folder), Path(texts), seed)
    found = []
    with progress.stage(f"Writing {', '.join(form.name for form in forms)}"):
        written = write_forms(model, target, forms, calibration=batches)
    with progress.stage("Comparing with torch"):
        for form in forms:
            path = written[form.name]
            accepted = 1e-4 if form.precision == "fp32" else math.inf
            difference = check_onnx(model, path, texts=batches, tolerance=accepted)
            found.append(
                {"name": form.name, "file": str(path), "bytes": size_of(path), "largest_difference": difference}
            )
    return {"exports": found, "compared_on": "random texts" if batches is None else "texts"}


def size_of(path: Path) -> int:
    """Bytes of an exported file; of OpenVINO's with its weights."""
    return sum(part.stat().st_size for part in {path, path.with_suffix(".bin")} if part.exists())


def _batches(model: Any, folder: Path, path: Path, seed: int) -> list[dict[str, Tensor]]:
    """Some texts of a file as the model reads them, alike in length; in multiple choice, each as the only choice."""
    from sublm.tasks.embedding_data import read_texts
    from sublm.tasks.models import load_tokenizer

    texts = sorted({text for text in read_texts(path, None) if text.strip()})
    random.Random(seed).shuffle(texts)
    chosen, tokenizer = sorted(texts[:TEXTS], key=len), load_tokenizer(folder)
    batches = [
        dict(
            tokenizer(
                chosen[start : start + _BATCH],
                padding=True,
                truncation=True,
                max_length=longest_text(model),
                return_tensors="pt",
            )
        )
        for start in range(0, len(chosen), _BATCH)
    ]
    if type(model).__name__.endswith("ForMultipleChoice"):
        batches = [{name: tensor[:, None] for name, tensor in batch.items()} for batch in batches]
    return batches
