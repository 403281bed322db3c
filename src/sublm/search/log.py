"""The append-only record of evaluations: one line each, on the disk before the search goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from sublm.errors import RunError
from sublm.lock import FolderLock
from sublm.search.evaluation import Evaluation
from sublm.spaces.space import SearchSpace

NAME = "evaluations.jsonl"


class EvaluationLog:
    """`evaluations.jsonl` of one search, held by one process at a time."""

    def __init__(self, folder: Path, space: SearchSpace) -> None:
        """Opens or creates the log and takes hold of its folder.

        Raises:
            RunError: If another process is searching in the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._space = space
        self._lock = FolderLock(folder)
        self._lock.acquire()
        self._file: IO[bytes] = open(self.path, "a+b")  # noqa: SIM115  # held until close

    def read(self) -> list[Evaluation]:
        """Every evaluation recorded, as told; a last line that was cut off by a kill is taken away.

        Raises:
            RunError: If another line cannot be read.
        """
        self._file.seek(0)
        content = self._file.read()
        lines = content.split(b"\n")
        torn = lines.pop()  # what follows the last line end: nothing, unless the writing was cut off
        found: list[Evaluation] = []
        numbers: set[int] = set()
        for number, line in enumerate(lines):
            try:
                evaluation = Evaluation.from_line(line.decode(), self._space)
                if evaluation.number in numbers:
                    raise RunError(f"evaluation {evaluation.number} stands there a second time")
            except (RunError, UnicodeDecodeError) as error:
                raise RunError(
                    f"{self.path}, line {number + 1}: {error}. Search in another folder, or remove the lines from "
                    "there on to go on from what stands before."
                ) from None
            found.append(evaluation)
            numbers.add(evaluation.number)
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
        self._lock.release()
