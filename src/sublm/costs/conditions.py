"""Under what conditions a forward pass is measured, and which of them a runtime offers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from numbers import Integral
from typing import Any

from sublm.errors import LatencyError

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "torch": ("fp32", "bf16"),
    "onnx": ("fp32", "fp16", "int8", "int8-static"),
    "openvino": ("fp32", "bf16", "fp16", "int8-static"),
}
"""Runtime -> precisions it is measured in.

"int8" measures the ranges of activations in every pass, "int8-static" has measured them beforehand. torch's own dynamic
int8 is deprecated, ONNX Runtime has no bf16 on CPUs and unpacks fp16 there, and OpenVINO runs dynamically quantised
files slower than those in fp32.
"""

MODULES: Mapping[str, str] = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""Runtime -> the module that runs it; the runtime's name is also that of SubLM's extra."""


@dataclass(frozen=True)
class Conditions:
    """What is fixed while a forward pass is timed.

    Attributes:
        runtime: One of `RUNTIMES`.
        precision: One that the runtime has; "file" for a file of which nothing else is known.
        threads: Threads of one forward pass.
        length: Tokens of a text, or the lengths over which a round takes the mean.
        batch: Texts in one forward pass, all of the same length.
    """

    runtime: str = "torch"
    precision: str = "fp32"
    threads: int = 1
    length: int | tuple[int, ...] = 128
    batch: int = 1

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise LatencyError(f"runtime must be one of {', '.join(RUNTIMES)}; got {self.runtime!r}.")
        known = RUNTIMES[self.runtime]
        if self.precision not in known and not (self.precision == "file" and self.runtime != "torch"):
            raise LatencyError(
                f"precision must be one of {', '.join(known)} in the runtime {self.runtime}; got {self.precision!r}."
            )
        for name in ("threads", "length", "batch"):
            value = getattr(self, name)
            if isinstance(value, Integral):  # NumPy's are no int, and runtimes and JSON refuse them
                object.__setattr__(self, name, int(value))
        for name in ("threads", "batch"):
            if getattr(self, name) < 1:
                raise LatencyError(f"{name} must be at least 1; got {getattr(self, name)}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = asdict(self)
        return data | {"length": list(self.length) if isinstance(self.length, tuple) else self.length}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conditions:
        """Reads what `to_dict` wrote; other entries are passed over."""
        found = cls(**{name: data[name] for name in cls.__dataclass_fields__ if name != "length"})
        length = data["length"]
        return replace(found, length=tuple(length) if isinstance(length, (list, tuple)) else length)


def split_runtime(name: str) -> tuple[str, str | None]:
    """A runtime that is written with its precision: "onnx-int8" is ("onnx", "int8"), "onnx" is ("onnx", None)."""
    runtime, _, precision = name.partition("-")
    return runtime, precision or None


def grid(
    runtimes: Sequence[str] = ("torch",),
    precisions: Sequence[str] = ("fp32",),
    threads: Sequence[int] = (1,),
    lengths: Iterable[int | tuple[int, ...]] = (128,),
    batches: Sequence[int] = (1,),
) -> tuple[list[Conditions], list[str]]:
    """Every combination that exists; a runtime written with its precision, such as "onnx-int8", is taken in that alone.

    Returns:
        The conditions, and a sentence for every pair of runtime and precision that was left out.

    Raises:
        LatencyError: If a name is unknown, a number is too small, or nothing is left.
    """
    written = [split_runtime(name) for name in runtimes]
    runtimes = [runtime for runtime, own in written if own is None]
    exact = [(runtime, own) for runtime, own in written if own is not None]
    unknown = sorted({r for r, _ in written if r not in RUNTIMES})
    if unknown:
        raise LatencyError(f"runtime must be one of {', '.join(RUNTIMES)}; got {', '.join(map(repr, unknown))}.")
    offered = dict.fromkeys(precision for known in RUNTIMES.values() for precision in known)
    unknown = sorted({p for p in (*precisions, *(own for _, own in exact)) if p not in offered})
    if unknown:
        raise LatencyError(f"precision must be one of {', '.join(offered)}; got {', '.join(map(repr, unknown))}.")
    pairs = list(dict.fromkeys([*((r, p) for r in runtimes for p in precisions), *exact]))
    kept = [(r, p) for r, p in pairs if p in RUNTIMES[r]]
    left_out = [f"{r} has no {p}; it has {', '.join(RUNTIMES[r])}." for r, p in pairs if p not in RUNTIMES[r]]
    if not kept:
        raise LatencyError(f"Nothing is left to measure: {' '.join(left_out)}")
    rest = (dict.fromkeys(batches), dict.fromkeys(lengths), dict.fromkeys(threads))
    return [
        Conditions(runtime, precision, number, length, batch)
        for (runtime, precision), batch, length, number in itertools.product(kept, *rest)
    ], left_out


def is_installed(runtime: str) -> bool:
    """Whether the package that runs it is there; nothing is imported."""
    return find_spec(MODULES[runtime]) is not None
