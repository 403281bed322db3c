"""How far a training is, and what it has found so far."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from sublm.training import checkpoints
from sublm.training.options import Record, TrainResult
from sublm.training.stopping import stalls


@dataclass(frozen=True)
class Best:
    """The weights that the probe liked best.

    Attributes:
        score: What it said.
        step: Steps done by then.
        weights: The model's tensors by name, copies.
    """

    score: float
    step: int
    weights: Mapping[str, Tensor]


@dataclass
class Course:
    """The course of a training: what its checkpoints say in plain data, but for the random states.

    Attributes:
        step: Steps done.
        history: The records so far.
        unrecorded: Losses of the steps since the last record.
        best: What the probe liked best; None before it was called.
        before: Seconds of the processes that were interrupted.
        began: When this process took over, by `time.perf_counter`.
    """

    step: int = 0
    history: list[Record] = field(default_factory=list)
    unrecorded: list[float] = field(default_factory=list)
    best: Best | None = None
    before: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall-clock time of the training, that before an interruption included."""
        return self.before + time.perf_counter() - self.began

    def judge(self, score: float, model: nn.Module) -> None:
        """Keeps the model's weights if no score before is higher."""
        if not math.isnan(score) and (self.best is None or score >= self.best.score):
            self.best = Best(score, self.step, checkpoints.copy_tensors(checkpoints.model_tensors(model)))

    def record(self, epoch: float, learning_rate: float, score: float | None) -> Record:
        """Sums up the steps since the last record."""
        loss = sum(self.unrecorded) / len(self.unrecorded)
        self.unrecorded.clear()
        self.history.append(Record(self.step, epoch, loss, learning_rate, score))
        return self.history[-1]

    def stalls(self, patience: int) -> bool:
        """Whether the last probes brought nothing better than the best before them; never without patience."""
        return bool(patience) and stalls([record.score for record in self.history], patience)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without weights."""
        return {
            "history": [asdict(record) for record in self.history],
            "unrecorded": self.unrecorded,
            "best_score": self.best.score if self.best is not None else None,
            "best_step": self.best.step if self.best is not None else None,
            "seconds": self.seconds,
        }

    def restore(self, step: int, state: Mapping[str, Any], best: Mapping[str, Tensor]) -> None:
        """Goes on from what `to_dict` gave after `step` steps; `best` are the weights that the probe liked best."""
        self.step, self.before = step, float(state["seconds"])
        self.history = [Record(**record) for record in state["history"]]
        self.unrecorded = list(state["unrecorded"])
        if state["best_step"] is not None:
            self.best = Best(state["best_score"], state["best_step"], best)

    def result(self, steps: int, precision: str, *, resumed: bool, ended: bool) -> TrainResult:
        """What the training gives back."""
        return TrainResult(
            steps=steps,
            seconds=self.seconds,
            history=tuple(self.history),
            best_score=self.best.score if self.best is not None else None,
            best_step=self.best.step if self.best is not None else steps,
            resumed=resumed,
            precision=precision,
            ended=ended,
        )
