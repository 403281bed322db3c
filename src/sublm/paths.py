"""Paths that lead nowhere, told before any library is loaded."""

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path

from sublm.errors import DataError, UsageError


def check_folder(name: str, path: str | Path | None) -> None:
    """Refuses a model's path that does not exist, before it is taken for a name on the hub.

    Raises:
        DataError: If it looks like a path and nothing is there.
    """
    if path in (None, "none") or Path(str(path)).exists():
        return
    if _looks_like_a_path(str(path)):
        raise DataError(f"{name}: there is no folder {str(path)!r}. Give a transformers folder, or a name on the hub.")


def check_data(path: str | Path | None) -> None:
    """Refuses a path of data that does not exist; a name of a task or of the hub is none.

    Raises:
        DataError: If it looks like a path and nothing is there.
    """
    if path is None or Path(path).exists():
        return
    if _looks_like_a_path(str(path)) or (len(Path(path).parts) == 1 and Path(path).suffix):
        raise no_such_path(Path(path))


def check_output(name: str, path: Path) -> None:
    """Refuses a file that could not be written, before the work begins whose result it is for.

    Raises:
        UsageError: If it is a folder, or nothing can be written beside it.
    """
    if path.is_dir():
        raise UsageError(f"{name}: {path} is a folder; give the name of a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"{name}: {path} cannot be written ({error.strerror}); give another place.") from None


def no_such_path(path: Path) -> DataError:
    """The error for a file or folder that is not there; it names one beside it with nearly that name."""
    around = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, around, 1)
    hint = f" Did you mean {near[0]!r} beside it?" if near else ""
    return DataError(f"there is no file or folder {str(path)!r}.{hint} Check the path.")


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "~", "/")) or name.count("/") > 1
