"""One copy of the weights for all processes of a machine."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from sublm.errors import WorkerError

SHARED = Path("/dev/shm")
"""Where Linux keeps shared memory; containers often give it 64 MB."""


def share_weights(model: nn.Module, folder: Path = SHARED) -> None:
    """Moves parameters and buffers to shared memory, in place; those on a GPU or shared already stay where they are.

    Args:
        model: Any module.
        folder: The file system of the shared memory, looked at for room where there is one.

    Raises:
        WorkerError: If there is not room enough.
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
    model.share_memory()
