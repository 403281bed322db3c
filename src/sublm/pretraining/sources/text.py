"""Plain text: one sentence per line and a blank line between documents, or one document per line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sublm.files import file_fingerprint
from sublm.pretraining.sources import lines
from sublm.pretraining.sources.base import Documents, sentences


@dataclass(frozen=True)
class TextFile:
    """A file of plain text, UTF-8."""

    path: Path
    documents: Documents = "blank_line"

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def check(self) -> None:
        """Reads the first lines."""
        for _ in islice(self.read(0, self.path.stat().st_size), 1000):
            pass

    def fingerprint(self) -> str:
        """SHA-256 of the bytes."""
        return file_fingerprint(self.path)

    def parts(self, size: int) -> list[tuple[int, int]]:
        """Ranges of bytes."""
        return lines.parts(self.path, size, whole_lines=False)

    def read(self, start: int, stop: int) -> Iterator[str | None]:
        """The sentences of a part; None where a document ends."""
        found = lines.read_lines(self.path, start, stop, whole_lines=False)
        return sentences((line for _, line in found), self.documents)
