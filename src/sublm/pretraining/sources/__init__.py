"""Where the text comes from: a file per kind, all behind the same few methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.errors import DataError
from sublm.pretraining.sources.base import DOCUMENTS, Documents, Source
from sublm.pretraining.sources.dataset import DatasetSource, load_named, load_saved, of_dataset
from sublm.pretraining.sources.jsonl import JsonLines, open_json_lines
from sublm.pretraining.sources.parquet import Parquet, open_parquet
from sublm.pretraining.sources.text import TextFile

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["DatasetSource", "Documents", "JsonLines", "Parquet", "Source", "TextFile", "open_sources"]

_TEXT = (".txt", ".text", ".md", ".raw", ".tokens", "")
_JSON = (".jsonl", ".ndjson", ".json")
_KNOWN = (*_TEXT[:-1], *_JSON, ".parquet")


def open_sources(
    texts: Sequence[str | Path | Dataset], *, column: str | None = None, documents: Documents | None = None
) -> list[Source]:
    """Finds out what each text is, and checks that it can be read.

    Args:
        texts: Files, folders of files, folders that `datasets` saved, names of data sets, or loaded data sets.
        column: Where records hold the text; found if it is clear.
        documents: What ends a document; a blank line in plain text and every record elsewhere, if not said.

    Returns:
        The sources, in the order given; the files of a folder by name.

    Raises:
        DataError: If one is missing, named twice or cannot be read.
    """
    if documents is not None and documents not in DOCUMENTS:
        raise DataError(f"documents={documents!r} is unknown; choose one of {', '.join(DOCUMENTS)}.")
    if not texts:
        raise DataError("No text was given; name at least one file, folder or data set.")
    seen: set[Path] = set()
    sources: list[Source] = []
    for text in texts:
        sources += _open(text, column, documents, seen)
    for source in sources:
        source.check()
    return sources


def _open(text: Any, column: str | None, documents: Documents | None, seen: set[Path]) -> list[Source]:
    if not isinstance(text, (str, Path)):
        return [of_dataset(text, "a data set", column, documents or "row")]
    path = Path(text)
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return [of_dataset(load_saved(path), path.name, column, documents or "row")]
        files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in _KNOWN)
        if not files:
            raise DataError(f"{path} holds no file that ends in one of {', '.join(_KNOWN)}.")
        return [source for file in files for source in _open(file, column, documents, seen)]
    if not path.is_file():
        if isinstance(text, Path) or path.is_absolute() or path.suffix.lower() in _KNOWN or str(text).startswith("."):
            raise DataError(f"There is no file or folder {str(text)!r}. Check the path.")
        return [of_dataset(load_named(text), text, column, documents or "row")]
    if path.resolve() in seen:
        raise DataError(f"{path} is named twice. Name it once; duplicates=2 packs every text twice.")
    seen.add(path.resolve())
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return [open_parquet(path, column, documents or "row")]
    if suffix in _JSON:
        return [open_json_lines(path, column, documents or "row")]
    if suffix in _TEXT:
        return [TextFile(path, documents or "blank_line")]
    raise DataError(
        f"{path.name} is no text that SubLM reads; the name must end in one of {', '.join(_KNOWN)}. "
        "Unpack compressed files; turn tables into parquet or JSON lines."
    )
