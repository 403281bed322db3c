"""One copy of the weights for all processes of a machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from torch import nn
from torch.multiprocessing import get_sharing_strategy

from sublm.errors import WorkerError

SHARED = Path("/dev/shm")
"""Where Linux keeps shared memory; containers often give it 64 MB."""
_BESIDES = 32
"""Open files that a process needs besides, at least: pipes to its workers, logs, the rows."""
_ROOM = 256
"""And so many at most."""


def share_weights(model: nn.Module, folder: Path = SHARED) -> None:
    """Moves parameters and buffers to shared memory, in place; those on a GPU or shared already stay where they are.

    Args:
        model: Any module.
        folder: The file system of the shared memory, looked at for room where there is one.

    Raises:
        WorkerError: If there is not room enough, or every tensor cannot have the open file that it takes.
    """
    private = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *model.buffers())
        if not tensor.is_shared() and tensor.device.type == "cpu"
    }
    needed = sum(private.values())
    if hasattr(os, "statvfs") and folder.is_dir():
        found = os.statvfs(folder)
        free = found.f_bavail * found.f_frsize
        # Without room, the first write beyond it would kill the process instead of failing.
        if needed > free:
            raise WorkerError(
                f"Workers share the super-network's weights, {needed / 2**20:.0f} MiB, but {folder} has "
                f"{free / 2**20:.0f} MiB left. Give the container more (docker run --shm-size=2g), or use --workers 1."
            )
    if private and get_sharing_strategy() == "file_descriptor":
        _allow_open_files(len(private))
    model.share_memory()


def _allow_open_files(more: int) -> None:
    """Raises the limit of this process, which those that it starts inherit, as far as need be."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        there = len(os.listdir("/dev/fd"))
    except OSError:
        there = 0
    wanted = there + more + _ROOM
    if _reaches(soft, wanted):
        return
    allowed = wanted if _reaches(hard, wanted) else hard
    if not _reaches(allowed, there + more + _BESIDES):
        raise WorkerError(
            f"Workers share {more} of the model's tensors, each of which takes an open file, but this process may have "
            f"only {hard} open and has {there}. Allow {wanted} (ulimit -n {wanted}), or use --workers 1."
        )
    with contextlib.suppress(OSError, ValueError):  # what goes wrong then is said where it does
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _reaches(limit: int, wanted: int) -> bool:
    """Whether a limit, below zero or huge if there is none, allows so many."""
    return limit < 0 or limit >= wanted
