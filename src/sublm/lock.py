"""A lock on a folder: held by one process at a time, freed by the system when that process dies, however it dies."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path
from types import TracebackType
from typing import IO

from sublm.errors import RunError

_held: set[Path] = set()  # the system's lock does not stop a second holder within the same process


class FolderLock:
    """`with FolderLock(folder):` refuses if another process, or another part of this one, holds the folder.

    The file `.lock` stays behind, empty of meaning: the lock is the system's, not the file's being there, so that a
    run that was killed never has to be unlocked by hand.
    """

    def __init__(self, folder: Path):
        self._path = (folder / ".lock").resolve()
        self._stream: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._stream is not None

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            RunError: If somebody else holds it.
        """
        if self._path in _held:
            raise RunError(f"{self._path.parent} is already open in this process; close the other run first.")
        stream = self._path.open("a+", encoding="utf-8")
        try:
            _lock(stream)
        except OSError:
            stream.seek(0)
            holder = stream.read()
            stream.close()
            raise RunError(
                f"{self._path.parent} is in use by {_describe(holder)}; wait until it ends, stop it, or give "
                "another folder with --out."
            ) from None
        stream.seek(0)
        stream.truncate()
        json.dump({"pid": os.getpid(), "host": platform.node()}, stream)
        stream.flush()
        self._stream = stream
        _held.add(self._path)

    def release(self) -> None:
        """Frees the lock; nothing happens if it is not held."""
        if self._stream is not None:
            _held.discard(self._path)
            self._stream.close()
            self._stream = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _describe(holder: str) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        data = json.loads(holder)
        where = "" if data["host"] == platform.node() else f" on {data['host']}"
        return f"process {int(data['pid'])}{where}"
    return "another process"


if os.name == "nt":  # pragma: no cover

    def _lock(stream: IO[str]) -> None:
        import msvcrt

        # A byte far behind the text, so that others can still read who holds it.
        stream.seek(1 << 20)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]

else:

    def _lock(stream: IO[str]) -> None:
        import fcntl

        # Record locks belong to the process alone: a forked data worker that outlives it does not keep them.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
