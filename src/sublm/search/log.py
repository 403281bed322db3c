"""The append-only record of evaluations: one line each, on the disk before the search goes on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from sublm.errors import RunError
from sublm.search.evaluation import Evaluation
from sublm.spaces.space import SearchSpace

try:
    import fcntl
except ImportError:  # Windows has no such locks; there two searches in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

NAME = "evaluations.jsonl"


class EvaluationLog:
    """`evaluations.jsonl` of one search, held by one process at a time."""

    def __init__(self, folder: Path, space: SearchSpace) -> None:
        """Opens or creates the log and takes hold of it.

        Raises:
            RunError: If another process is searching in the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._space = space
        self._file: IO[bytes] = open(self.path, "a+b")  # noqa: SIM115  # held until close
        if fcntl is not None:
            try:
                # The system drops the lock when the process dies, however it dies.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise RunError(f"Another process is searching in {folder}; wait for it or choose another.") from None
        _sync_folder(folder)

    def read(self) -> list[Evaluation]:
        """Every evaluation recorded; a last line that was cut off by a kill is taken away.

        Raises:
            RunError: If another line cannot be read.
        """
        self._file.seek(0)
        content = self._file.read()
        lines = content.split(b"\n")
        torn = lines.pop()  # what follows the last line end: nothing, unless the writing was cut off
        found: list[Evaluation] = []
        for number, line in enumerate(lines):
            try:
                evaluation = Evaluation.from_line(line.decode(), self._space)
                if evaluation.number != number:
                    raise RunError(f"evaluation {evaluation.number} stands where {number} should")
            except (RunError, UnicodeDecodeError) as error:
                raise RunError(
                    f"{self.path}, line {number + 1}: {error}. Search in another folder, or remove the lines from "
                    "there on to go on from what stands before."
                ) from None
            found.append(evaluation)
        if torn:
            self._file.truncate(len(content) - len(torn))
            os.fsync(self._file.fileno())
        return found

    def append(self, evaluation: Evaluation) -> None:
        """Writes one evaluation and waits until it is on the disk."""
        self._file.write(evaluation.to_line(self._space).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Lets go of the log."""
        self._file.close()


def _sync_folder(folder: Path) -> None:
    """Makes a new file's name durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
