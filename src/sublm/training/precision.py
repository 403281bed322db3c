"""Which precision training runs in, decided by what the hardware has, and the Accelerator for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from sublm.errors import TrainingError
from sublm.training.options import TrainOptions
from sublm.training.team import join_processes, runs_on_cpu

Precision = Literal["fp32", "bf16", "fp16"]
CPUINFO = Path("/proc/cpuinfo")


def choose_precision(asked: str, device: torch.device) -> Precision:
    """The precision to train in.

    Args:
        asked: "auto", "fp32", "bf16" or "fp16"; "auto" takes bf16 where the device computes in it, else fp32.
        device: Where the training runs.

    Raises:
        TrainingError: If the name is unknown or the device cannot do it.
    """
    if asked == "auto":
        return "bf16" if gains_from_bf16(device) else "fp32"
    if asked not in ("fp32", "bf16", "fp16"):
        raise TrainingError(f'precision={asked!r} is not known; choose "auto", "fp32", "bf16" or "fp16".')
    if asked == "fp16" and device.type == "cpu":
        raise TrainingError('precision="fp16" needs a GPU, and this training runs on the CPU; take "bf16" or "auto".')
    return cast(Precision, asked)


def gains_from_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 arithmetic of its own (emulated bf16 is slower than fp32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _processor_has_bf16()


def _processor_has_bf16() -> bool:
    found = False
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):  # private: may vanish, hence the fallback
        check = getattr(torch.cpu, name, None)
        found = found or (check is not None and bool(check()))
    if found:
        return True
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextmanager
def open_accelerator(options: TrainOptions) -> Iterator[tuple[Accelerator, Precision]]:
    """An Accelerator for a training, and the precision chosen.

    Accelerate allows one precision and one device per process, we one per training: its shared states are set aside
    and put back. The process group, if there is one, is left alone.
    """
    cpu = options.device == "cpu" or runs_on_cpu()
    own, shared = AcceleratorState._shared_state, PartialState._shared_state
    before = dict(own), dict(shared)
    own.clear()
    if cpu and shared.get("num_processes", 1) == 1:
        shared.clear()
    try:
        precision = choose_precision(options.precision, join_processes(cpu=cpu).device)
        accelerator = Accelerator(cpu=cpu, mixed_precision="no" if precision == "fp32" else precision)
        accelerator.gradient_accumulation_steps = 1  # the loop weighs its batches itself
        yield accelerator, precision
    finally:
        own.clear()
        own.update(before[0])
        if shared.get("num_processes", 1) == 1:
            shared.clear()
            shared.update(before[1])


def evaluation_precision(precision: str) -> str:
    """The precision of evaluations beside a training: that of the training, which "auto" finds out; fp32 for fp16."""
    chosen = choose_precision(precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return "fp32" if chosen == "fp16" else chosen
