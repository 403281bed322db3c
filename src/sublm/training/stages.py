"""Training in stages, as data: each opens more of the space and has its own epochs and learning rate.

Progressive shrinking trains the largest sub-network first, then narrower ones, then ones without some half-layers.
Everything at once is a single stage, and what EFTNAS's released configurations do. The names of the fields are those of
its files.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from sublm.errors import TrainingError
from sublm.spaces.space import SearchSpace
from sublm.spaces.variables import Choice, Variable
from sublm.training.strategies import Draw, Strategy

DIMENSIONS = ("width", "depth")
_ELSEWHERE = ("reorg_weights", "reorg_interval", "bn_adapt")
"""Fields of published files for what is done elsewhere, once, or does not concern transformers."""


@dataclass(frozen=True)
class TrainStage:
    """One stage.

    Attributes:
        train_dims: What is elastic: "width" (heads and neurons), "depth" (whole half-layers), both or neither.
        epochs: Passes over the data.
        width_indicator: Of every layer, this many widths are trained, the largest.
        depth_indicator: Of every run of neighbouring half-layers that may go, this many may, the last.
        init_lr: Largest learning rate; None takes that of the training.
        epochs_lr: Epochs after which the cosine would reach 0; None stands for `epochs`.
        sample_rate: Steps for which random sub-networks are kept before others are drawn.
    """

    train_dims: tuple[str, ...] = DIMENSIONS
    epochs: int = 1
    width_indicator: int = 1
    depth_indicator: int = 1
    init_lr: float | None = None
    epochs_lr: float | None = None
    sample_rate: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "train_dims", tuple(self.train_dims))
        unknown = [name for name in self.train_dims if name not in DIMENSIONS]
        if unknown or len(set(self.train_dims)) < len(self.train_dims):
            raise TrainingError(f"train_dims={list(self.train_dims)}: choose from {', '.join(DIMENSIONS)}, each once.")
        for name in ("epochs", "width_indicator", "depth_indicator", "sample_rate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise TrainingError(f"{name} of a training stage must be a whole number above 0; got {value!r}.")
        if self.init_lr is not None and not self.init_lr > 0:
            raise TrainingError(f"init_lr of a training stage must be above 0; got {self.init_lr}.")
        if self.epochs_lr is not None and self.epochs_lr < self.epochs:
            raise TrainingError(
                f"epochs_lr={self.epochs_lr} of a training stage ends before its epochs={self.epochs}: the learning "
                "rate would rise again. Give at least as many."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "train_dims": list(self.train_dims)}


def read_stages(data: Any) -> tuple[TrainStage, ...]:
    """Reads a list of stages; checks that none closes what an earlier one opened.

    Args:
        data: A list of mappings with the fields of `TrainStage`.

    Raises:
        TrainingError: If it is no such list.
    """
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise TrainingError("Training stages are a list of one or more mappings, such as [{'epochs': 3}].")
    known = {field.name for field in fields(TrainStage)}
    stages = []
    for number, entry in enumerate(data, start=1):
        if not isinstance(entry, Mapping):
            raise TrainingError(f"Training stage {number} is no mapping but {entry!r}.")
        unknown = sorted(entry.keys() - known - {*_ELSEWHERE})
        if unknown:
            raise TrainingError(f"Training stage {number}: {unknown} not known; there are {', '.join(sorted(known))}.")
        stages.append(TrainStage(**{name: value for name, value in entry.items() if name in known}))
    for number, (before, after) in enumerate(pairwise(stages), start=2):
        closed = sorted({*before.train_dims} - {*after.train_dims})
        if closed:
            raise TrainingError(f"Training stage {number} leaves out {', '.join(closed)}, which the one before trains.")
    return tuple(stages)


def restrict(space: SearchSpace, stage: TrainStage) -> SearchSpace:
    """What a stage trains of a space whose layers have widths of their own.

    Args:
        space: A space called "importance" or "medium".
        stage: The stage.

    Returns:
        The same space with fewer widths.

    Raises:
        TrainingError: If the space has no widths per layer.
    """
    if space.name not in ("importance", "medium"):
        raise TrainingError(
            f"Stages restrict the widths of single layers, which the space {space.name} does not have: train it in one "
            "stage, or search importance or medium."
        )
    halves = [f"{kind}_{layer}" for layer in range(space.shape.layers) for kind in ("heads", "neurons")]
    skippable = [0 in space.variables[name].values() for name in halves]
    variables: dict[str, Variable] = {}
    for place, name in enumerate(halves):
        widths = sorted((width for width in space.variables[name].values() if width), reverse=True)
        kept = widths[: stage.width_indicator if "width" in stage.train_dims else 1]
        # How many half-layers that may go follow directly: the last of a run has none.
        following = next((i for i, may_go in enumerate(skippable[place + 1 :]) if not may_go), len(halves) - place - 1)
        goes = "depth" in stage.train_dims and following < stage.depth_indicator
        if skippable[place] and (goes or not kept):
            kept.append(0)
        variables[name] = Choice(tuple(reversed(kept)))
    return SearchSpace("importance", space.shape, {name: variables[name] for name in space.variables}, space.options)


@dataclass(frozen=True)
class _Held:
    strategy: Strategy
    rate: int
    seed: int

    def draws(self, step: int, steps: int, rng: random.Random) -> Sequence[Draw]:
        return self.strategy.draws(step, steps, random.Random(f"{self.seed}/held/{step // self.rate}"))

    def describe(self) -> dict[str, Any]:
        describe = getattr(self.strategy, "describe", None)
        inner = describe() if describe is not None else {"name": type(self.strategy).__qualname__}
        return {**inner, "sample_rate": self.rate, "seed": self.seed}


def held(strategy: Strategy, rate: int, *, seed: int = 0) -> Strategy:
    """A strategy whose random sub-networks stay for `rate` steps.

    Args:
        strategy: The strategy; its draws must depend on nothing but the generator (and the course of the training).
        rate: Steps.
        seed: Of the draws.
    """
    return strategy if rate == 1 else _Held(strategy, rate, seed)
