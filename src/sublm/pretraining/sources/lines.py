"""Files of lines: parts by bytes, so that no process has to read what is before its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sublm.errors import DataError

LONGEST = 1 << 16  # bytes of a line of plain text; a longer one is read as several, so that memory stays small
_SEARCHED = 1 << 20  # bytes in which a line's end is looked for before a part begins inside of the line
_MARK = b"\xef\xbb\xbf"  # a byte order mark


def parts(path: Path, size: int, *, whole_lines: bool) -> list[tuple[int, int]]:
    """Cuts a file into parts of about `size` bytes that begin where lines begin.

    Args:
        path: The file.
        size: Bytes.
        whole_lines: Never cut a line. Otherwise one of more than 1 MiB is cut at a space.
    """
    total = path.stat().st_size
    with path.open("rb") as stream:
        found = {_boundary(stream, at, whole_lines=whole_lines) for at in range(0, total, size)}
    starts = sorted(found - {total})
    return list(zip(starts, [*starts[1:], total], strict=True)) if starts else [(0, 0)]


def read_lines(path: Path, start: int, stop: int, *, whole_lines: bool) -> Iterator[tuple[int, str]]:
    """The lines of a part, each with the byte it begins at.

    Raises:
        DataError: If a line is not UTF-8, or the file has become shorter.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        at, kept = start, b""
        while at + len(kept) < stop:
            left = stop - at - len(kept)
            part = stream.readline(left if whole_lines else min(left, LONGEST))
            if not part:
                raise DataError(f"{path.name} became shorter while it was read. Run again when it is complete.")
            line = kept + part
            cut = len(line)
            if not line.endswith(b"\n") and at + cut < stop:  # longer than the limit
                space = line.rfind(b" ")
                cut = space if space > 0 else _last_character(line)
            yield at, _decode(line[:cut], path, at)
            at, kept = at + cut, line[cut:]


def line_number(path: Path, at: int) -> int:
    """The number of the line that holds a byte, from 1; reads all before it, so it is for messages alone."""
    count, left = 1, at
    with path.open("rb") as stream:
        while left and (block := stream.read(min(left, 1 << 20))):
            count += block.count(b"\n")
            left -= len(block)
    return count


def _boundary(stream: BinaryIO, at: int, *, whole_lines: bool) -> int:
    """Where a part begins that is wanted at a byte: at the start of a line if one is near."""
    if at == 0:
        return 0
    stream.seek(at - 1)
    if whole_lines:
        while True:
            line = stream.readline(1 << 20)
            if not line or line.endswith(b"\n"):
                return stream.tell()
    block = stream.read(_SEARCHED)
    end = block.find(b"\n")
    if end >= 0:
        return at + end
    if len(block) < _SEARCHED:  # the line ends with the file
        return at - 1 + len(block)
    space = block.find(b" ", 1)
    if space >= 0:
        return at - 1 + space
    near = block[:5]
    character = next((i for i in range(1, len(near)) if near[i] & 0xC0 != 0x80), len(near))
    return at - 1 + character


def _last_character(line: bytes) -> int:
    """Where the last character of a cut line begins: it may not be whole."""
    at = len(line) - 1
    while at > 1 and line[at] & 0xC0 == 0x80:
        at -= 1
    return max(at, 1)


def _decode(line: bytes, path: Path, at: int) -> str:
    if at == 0:
        line = line.removeprefix(_MARK)
    try:
        return line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}: line {line_number(path, at + error.start)} is not UTF-8 text (byte {at + error.start}). "
            "Save the file as UTF-8."
        ) from None
