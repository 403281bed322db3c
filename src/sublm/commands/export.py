"""`sublm export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def export(
    folder: Path,
    *,
    to: list[str] | None = None,
    texts: Path | None = None,
    out: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Write a model for ONNX Runtime or OpenVINO, and compare what it answers with torch.

    Batch and length stay free, and embedding models pool inside. The files need nothing of SubLM to run. Those in fp32
    must give what torch gives; of the others it is told how far they are from it.

    Args:
        folder: A model's folder, as `sublm compress` wrote it.
        to: Forms to write: onnx, onnx-fp16, onnx-int8, onnx-int8-static, openvino, openvino-fp16,
            openvino-int8-static; onnx if not given.
        texts: A file of texts of the task, one per line or in the columns of a table. Static int8 needs them to measure
            ranges on, and files are compared with torch on them; without, on random texts. Give none that a score is
            reported on.
        out: The folder to write to; the model's own if not given.
        seed: Of the texts that are drawn.
        overwrite: Replace files that are there.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm export runs/sst2/models/m25
        sublm export runs/sst2/models/m25 --to onnx-int8-static openvino --texts reviews.csv
    """
    from sublm.export.exporting import export_folder
    from sublm.progress import make_progress

    return export_folder(
        folder,
        to or ["onnx"],
        texts=texts,
        out=out,
        seed=seed,
        overwrite=overwrite,
        progress=make_progress(quiet=quiet),
    )
