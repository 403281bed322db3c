"""What a run ran on: the machine and the versions, kept beside every number."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sublm.version import __version__

LIBRARIES = ("torch", "transformers", "accelerate", "optuna", "numpy", "onnxruntime", "openvino")


def describe_machine() -> dict[str, Any]:
    """Describes the machine in plain data, as `run.json` and `front.json` keep it.

    Returns:
        processor, cores (usable by this process), threads (torch's), memory_gib, system, device, python, sublm and
        the versions of the libraries that are installed. Nothing in it names the host or the user.
    """
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": _threads(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": _device(),
        "python": platform.python_version(),
        **library_versions(),
    }


def device_fingerprint(machine: Mapping[str, Any], runtime: str = "torch") -> dict[str, Any]:
    """What of a machine decides how long a model takes in a runtime.

    Args:
        machine: What `describe_machine` gave.
        runtime: "torch", "onnx" or "openvino".

    Returns:
        processor, cores, system, device, and the version of the library that runs models.
    """
    library = {"onnx": "onnxruntime"}.get(runtime, runtime)
    names = ("processor", "cores", "system", *(("device",) if runtime == "torch" else ()), library)
    return {name: machine.get(name) for name in names}


def device_differences(there: Mapping[str, Any], here: Mapping[str, Any], runtime: str = "torch") -> list[str]:
    """One phrase per part of the fingerprint in which two machines differ."""
    old, new = device_fingerprint(there, runtime), device_fingerprint(here, runtime)
    return [f"{name} {old[name]} there, {new[name]} here" for name in old if old[name] != new[name]]


def library_versions() -> dict[str, str]:
    """Versions of SubLM and of the libraries that decide its numbers; those not installed are left out."""
    found = {"sublm": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def usable_cores() -> int:
    """Cores this process may run on, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        if named:
            return named.group(1).strip()
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def _threads() -> int:
    import torch  # here, so that the command line starts without it

    return torch.get_num_threads()


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    mps = getattr(torch.backends, "mps", None)
    return "mps" if mps is not None and mps.is_available() else "cpu"
