"""What a search over a pre-trained super-network is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sublm.errors import RunError
from sublm.search import SAMPLERS


@dataclass(frozen=True)
class SearchSettings:
    """What a search over a pre-trained super-network is asked for.

    Attributes:
        run: The run directory of the pre-training.
        target: What every sub-network must meet, such as "speedup>=4x"; shares and speed-ups are of the base.
        base: The model that these are of, a folder or a name on the hub; None takes the whole super-network. Encoders
            are compared.
        tasks: Proxy tasks, by name or files of the user's own: fitness is their mean score on rows set aside. None
            judges by the validation loss.
        task_epochs: Epochs of fine-tuning on each; 0 fits a linear model on the features as they are (see `Probes`).
        task_learning_rate: Largest learning rate of these fine-tunings.
        task_limit: Training rows of each, at most.
        data: Folder in which tasks lie, a folder each; None takes the hub.
        sampler: Name of a sampler.
        evaluations: Sub-networks looked at; the published 4 generations of 25. With more, a done search goes on.
        fast: Look at one sub-network per depth alone, which obeys the development rule.
        top: How many are written.
        further_steps: Steps that each of these is trained further, without warm-up; 0 leaves them as they are.
        runtime: What runs them: "torch", "onnx" or "openvino".
        runtime_precision: One that the runtime has.
        threads: Threads of one forward pass.
        length: Tokens of a text whose costs are counted; 0 takes the mean of the pieces of the pre-training.
        seed: Of the search and of the measurements.
    """

    run: str
    target: tuple[str, ...]
    base: str | None = None
    tasks: tuple[str, ...] = ()
    task_epochs: int = 1
    task_learning_rate: float = 5e-5
    task_limit: int = 2000
    data: str | None = None
    sampler: str = "autotinybert"
    evaluations: int = 100
    fast: bool = False
    top: int = 3
    further_steps: int = 0
    runtime: str = "torch"
    runtime_precision: str = "fp32"
    threads: int = 1
    length: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.target:
            raise RunError("target: say what the sub-networks must meet, such as 'speedup>=4x' or 'macs<=25%'.")
        for name, least in (("evaluations", 1), ("top", 1), ("further_steps", 0), ("task_epochs", 0), ("length", 0)):
            if getattr(self, name) < least:
                raise RunError(f"{name}={getattr(self, name)} must be at least {least}.")
        if not self.task_learning_rate > 0:
            raise RunError(f"task_learning_rate={self.task_learning_rate} must be above 0.")
        if self.sampler not in SAMPLERS:
            raise RunError(f"sampler={self.sampler!r} is not known; choose one of {', '.join(sorted(SAMPLERS))}.")

    def deciding(self) -> dict[str, Any]:
        """What makes a run another one; more of the others may be asked for later."""
        return {name: value for name, value in asdict(self).items() if name not in ("run", "top", "further_steps")}
