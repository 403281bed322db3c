"""Files of a run: written whole or not at all, and fingerprinted."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from sublm.errors import RunError

PART = ".part"
"""What is being written ends in it."""


def plain(value: Any) -> Any:
    """Turns a value into what JSON knows: paths become text, tuples lists, sets sorted lists, dataclasses dicts.

    Raises:
        TypeError: If something in it has no plain form, so that nothing is fingerprinted by its address.
    """
    if value is None or isinstance(value, (bool, str)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"JSON keys must be text; found {sorted(str(type(key).__name__) for key in value)}.")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=canonical)
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # NumPy's and torch's scalars and arrays
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain form; give text, numbers, lists or a to_dict() method.")


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; equal values give equal text."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """SHA-256 of the value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def file_fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of everything in a folder.

    Hidden files of a folder are left out, and so is where it lies: a moved model keeps its fingerprint.

    Raises:
        RunError: If there is nothing at that path.
    """
    path = Path(path)
    if path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    if path.is_dir():
        inside = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        kept = sorted(name.as_posix() for name in inside if not any(part.startswith(".") for part in name.parts))
        return fingerprint([[name, file_fingerprint(path / name)] for name in kept])
    raise RunError(f"There is no file or folder at {path}.")


def fingerprint_model(name: str) -> str:
    """Fingerprint of a model's folder, or of its name on the hub."""
    folder = Path(name)
    if not folder.is_dir():
        return fingerprint({"hub": name})
    found = [*folder.iterdir(), *folder.glob("[0-9]_*/*")]  # the second: modules of sentence-transformers
    files = sorted(p for p in found if p.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"))
    return fingerprint({path.relative_to(folder).as_posix(): file_fingerprint(path) for path in files})


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file so that a reader, or a run that is killed, sees the old file or the new one, never a part.

    Args:
        path: The file; its folder is made if missing.
        text: The whole content, written as UTF-8.
    """
    with writing(path) as stream:
        stream.write(text.encode("utf-8"))


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file beside its place, which takes the place once the block ends well; see `write_text`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with beside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_json(path: str | Path, data: Any) -> None:
    """Writes JSON that people can read (indented, keys as given), whole or not at all.

    Numbers that are not finite become null: strict readers, browsers among them, refuse NaN.
    """
    text = json.dumps(finite(plain(data)), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        RunError: If it is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not JSON ({error}); remove it, or the folder, to start afresh.") from None


def finite(value: Any) -> Any:
    """Plain data with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
