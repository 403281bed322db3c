"""`sublm export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def export(
    folder: Path, *, out: Path | None = None, overwrite: bool = False, quiet: bool = False, json: bool = False
) -> Any:
    """Write a model as ONNX, and check that it answers as in torch.

    Batch and length stay free. The file needs nothing of SubLM to run.

    Args:
        folder: A model's folder, as `sublm compress` wrote it.
        out: The file to write; FOLDER/model.onnx if not given.
        overwrite: Replace the file if it is there.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm export runs/sst2/models/m25
    """
    from sublm.errors import ExportError
    from sublm.export import check_onnx, export_onnx
    from sublm.export.save import load
    from sublm.progress import make_progress

    path = out or folder / "model.onnx"
    if path.exists() and not overwrite:
        raise ExportError(f"{path} is there already; replace it with --overwrite or name another with --out.")
    progress = make_progress(quiet=quiet)
    with progress.stage(f"Writing {path}"):
        model = load(folder)
        export_onnx(model, path)
    with progress.stage("Comparing it with torch"):
        difference = check_onnx(model, path)
    return {"onnx": str(path), "bytes": path.stat().st_size, "largest_difference": difference}
