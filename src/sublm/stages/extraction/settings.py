"""What is asked of `sublm extract-optimal`, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sublm.architectures import Shape
from sublm.errors import UsageError
from sublm.files import plain
from sublm.search.fptas import GRIDS, Grid, Theta, named_shape, thetas
from sublm.search.fptas.curve import LEAST_POINTS

Start = Literal["scratch", "slices"]
"""Where a candidate's first weights come from."""

_SIZES = ("layers", "heads", "hidden", "neurons")


@dataclass(frozen=True)
class ExtractionSettings:
    """The settings of an extraction; `sublm extract-optimal --help` says what each means."""

    out: Path
    corpus: Path | None = None
    task: str | None = None
    model: str | None = None
    start: Start = "scratch"
    grid: str | None = None
    grid_layers: list[int] | None = None
    grid_heads: list[int] | None = None
    grid_hidden: list[int] | None = None
    grid_neurons: list[int] | None = None
    maximum: str = "largest"
    compare_maximum: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    stride: int = 1
    exhaustive: bool = False
    count_embeddings: bool = True
    cost: str = "macs"
    runtime: str = "torch"
    runtime_precision: str = "fp32"
    threads: int = 1
    length: int = 128
    rounds: int = 20
    train_steps: int = 100
    checks: int = 10
    error_at: int | None = None
    error: str = "relative"
    learning_rate: list[float] = field(default_factory=lambda: [1e-3])
    batch_size: list[int] = field(default_factory=lambda: [32])
    weight_decay: list[float] = field(default_factory=lambda: [0.01])
    seeds: int = 1
    section: int = 256
    limit: int | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.corpus is None) == (self.task is None):
            raise UsageError(
                "Give either --corpus, text packed by `sublm pretrain-data`, for the masked-language-model loss, or "
                "--task for the loss of a task."
            )
        if self.model is None and (self.task is not None or self.start == "slices" or self.maximum == "model"):
            what = "--task needs its tokenizer" if self.task else f"{self.start} and {self.maximum} are of one"
            raise UsageError(f"--model is missing: {what}.")
        if self.grid is not None and self.grid not in GRIDS:
            raise UsageError(
                f"There is no grid {self.grid!r}; there are {', '.join(GRIDS)}. Or give --grid-layers, ..."
            )
        for name in ("stride", "seeds", "train_steps", "checks", "section", "length", "rounds", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(self, name)}.")
        _ = self.thetas  # which checks them
        if self.checks > self.train_steps:
            raise UsageError(f"--checks {self.checks} are more than --train-steps {self.train_steps}; ask for fewer.")
        if self.error_at is not None and self.error_at > self.train_steps and self.checks < LEAST_POINTS:
            raise UsageError(f"--error-at {self.error_at} extrapolates, which takes --checks {LEAST_POINTS} at least.")

    @property
    def thetas(self) -> tuple[Theta, ...]:
        """Θ."""
        return thetas(self.learning_rate, self.batch_size, self.weight_decay)

    @property
    def kept_seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def grid_of(self, model: Shape | None) -> Grid:
        """Ξ: the sizes given, else the named grid's, else the model's own.

        Raises:
            UsageError: If a size is said nowhere.
        """
        named = GRIDS[self.grid] if self.grid is not None else None
        sizes: dict[str, tuple[int, ...]] = {}
        for name in _SIZES:
            given = getattr(self, f"grid_{name}")
            if given:
                sizes[name] = tuple(given)
            elif named is not None:
                sizes[name] = getattr(named, name)
            elif model is not None:
                sizes[name] = (getattr(model, name),)
        missing = [f"--grid-{name}" for name in _SIZES if name not in sizes]
        if missing:
            raise UsageError(f"{', '.join(missing)}: which sizes? Give them, or --grid {next(iter(GRIDS))}.")
        return Grid(**sizes)

    def maxima(self, model: Shape | None) -> tuple[Shape | None, list[Shape | None]]:
        """The maximum point, None for the largest of the grid, and those that it is compared with."""
        return named_shape(self.maximum, model=model), [named_shape(name, model=model) for name in self.compare_maximum]

    def configuration(self) -> dict[str, Any]:
        """Plain data: what decides the result."""
        return {name: plain(value) for name, value in vars(self).items() if name != "out"}
