"""Data sets of the `datasets` library, from the hub or saved to a folder: memory-mapped, never whole in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import DataError
from sublm.pretraining.sources.base import Documents, find_column, sentences

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH = 1000  # rows read at a time


@dataclass(frozen=True, eq=False)
class DatasetSource:
    """One split of a data set."""

    name: str
    data: Dataset
    column: str
    documents: Documents = "row"

    def check(self) -> None:
        """Reads the first rows."""
        next(self.read(0, min(1, len(self.data))), None)

    def fingerprint(self) -> str:
        """SHA-256 of the texts."""
        digest = hashlib.sha256()
        for text in self._texts(0, len(self.data)):
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def parts(self, size: int) -> list[tuple[int, int]]:
        """Ranges of rows, as if all texts were as long as a hundred of them on average."""
        rows = len(self.data)
        if not rows:
            return [(0, 0)]
        some = self.data[np.unique(np.linspace(0, rows - 1, 100).astype(np.int64)).tolist()][self.column]
        mean = sum(len((text or "").encode("utf-8", "surrogatepass")) for text in some) / len(some)
        step = max(1, round(size / max(mean, 1.0)))
        return [(start, min(start + step, rows)) for start in range(0, rows, step)]

    def read(self, start: int, stop: int) -> Iterator[str | None]:
        """The sentences of a part; None where a document ends."""
        return sentences(self._texts(start, stop), self.documents)

    def _texts(self, start: int, stop: int) -> Iterator[str]:
        for first in range(start, stop, _BATCH):
            for text in self.data[first : min(first + _BATCH, stop)][self.column]:
                yield text or ""


def of_dataset(data: Dataset, name: str, column: str | None, documents: Documents) -> DatasetSource:
    """A source from a loaded data set.

    Raises:
        DataError: If it is not clear which column holds the text.
    """
    strings = [key for key, kind in data.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")]
    column = find_column(strings, list(data.column_names), column, name)
    return DatasetSource(name, data.select_columns([column]).with_format(None), column, documents)


def load_saved(folder: Path) -> Dataset:
    """A data set that `save_to_disk` wrote.

    Raises:
        DataError: If it cannot be read, or holds several splits.
    """
    import datasets

    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:  # of many kinds, all mended alike
        raise DataError(f"{folder} cannot be read as a saved data set: {_first_line(error)}") from error
    return _one_split(data, str(folder), None)


def load_named(name: str) -> Dataset:
    """A data set of the hub: `NAME`, `NAME:CONFIGURATION` or `NAME:CONFIGURATION:SPLIT`; the split train if not said.

    Raises:
        DataError: If it cannot be loaded.
    """
    import datasets

    repository, _, rest = name.partition(":")
    config, _, split = rest.partition(":")
    try:
        data = datasets.load_dataset(repository, config or None)
    except Exception as error:  # network, cache, name or format: the way out is the same
        raise DataError(
            f"There is no file or folder {name!r}, and no data set of that name could be loaded: {_first_line(error)} "
            "Check the path, or the name (NAME:CONFIGURATION:SPLIT) and the connection."
        ) from error
    return _one_split(data, repository, split or "train")


def _one_split(data: Any, name: str, split: str | None) -> Dataset:
    if not isinstance(data, dict):
        found: Dataset = data
        return found
    if split is None or split not in data:
        raise DataError(f"{name} has the splits {', '.join(data)}; name one: its folder, or NAME:CONFIGURATION:SPLIT.")
    found = data[split]
    return found


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
