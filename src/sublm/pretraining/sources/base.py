"""What every kind of text has in common: it is cut into parts that can be read alone, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol, get_args

from sublm.errors import DataError

Documents = Literal["blank_line", "row"]
"""What ends a document: a blank line (each line, or record, is a sentence), or every line or record."""

DOCUMENTS: tuple[str, ...] = get_args(Documents)


class Source(Protocol):
    """One file, or one split of a data set.

    A source is handed to other processes, so it holds no open file. Positions are bytes or rows, as it likes.
    """

    @property
    def name(self) -> str:
        """What messages and the metadata call it; not where it lies."""
        ...

    def check(self) -> None:
        """Reads a little, so that what cannot be read fails before the work.

        Raises:
            DataError: If it is no such text.
        """
        ...

    def fingerprint(self) -> str:
        """Of the whole content; takes about as long as reading it."""
        ...

    def parts(self, size: int) -> list[tuple[int, int]]:
        """Cuts it into parts of about `size` bytes of text: starts and stops, in order, without gaps."""
        ...

    def read(self, start: int, stop: int) -> Iterator[str | None]:
        """The sentences of a part; None where a document ends. Memory does not grow with the part."""
        ...


def sentences(records: Iterable[str], documents: Documents) -> Iterator[str | None]:
    """Sentences and ends of documents from lines or records.

    Args:
        records: Texts. Each line of one is a sentence.
        documents: What ends a document.

    Yields:
        Sentences; None where a document ends. A record without text is an empty sentence where each record is a
        document, so that it can be counted, and the end of a document where blank ones are.
    """
    for record in records:
        lines = [line for line in record.split("\n") if line.strip()] if "\n" in record else [record]
        if documents == "row":
            yield from lines or [""]
            yield None
        elif lines and (len(lines) > 1 or lines[0].strip()):
            yield from lines
        else:
            yield None


def find_column(strings: list[str], columns: list[str], wanted: str | None, name: str) -> str:
    """The column that holds the text.

    Args:
        strings: Columns of strings.
        columns: All columns.
        wanted: The one asked for.
        name: Of the source.

    Raises:
        DataError: If the one asked for is not there or holds no strings, or if it is not clear which it is.
    """
    if wanted is not None and wanted not in columns:
        raise DataError(f"{name} has no column {wanted!r}; it has {', '.join(columns)}. Name one with text=.")
    if wanted is not None and wanted not in strings:
        raise DataError(f"The column {wanted!r} of {name} holds no strings; {_listed(strings)}. Name one with text=.")
    if wanted is not None:
        return wanted
    if "text" in strings:
        return "text"
    if len(strings) == 1:
        return strings[0]
    raise DataError(f"{name} has no column 'text': {_listed(strings)}. Name one with text=.")


def _listed(strings: list[str]) -> str:
    return f"those that do are {', '.join(strings)}" if strings else "no column does"
