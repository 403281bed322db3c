"""What the stages of a run share: settings, data, tokenizer, scoring, training folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sublm.importance import labelled_loss, own_answers, relation_under_dropout
from sublm.importance.passes import Loss
from sublm.progress import Progress
from sublm.run import Run, Stage
from sublm.settings import Settings
from sublm.tasks import Encoded, EncodedTask, TaskData, predict
from sublm.training import (
    Distillation,
    Hooks,
    Objective,
    Strategy,
    Team,
    TrainOptions,
    TrainResult,
    objective_of,
    train,
)

ANSWERS = "predictions"
"""Folder of the answers to questions, a folder per model, in the official format."""

CHAIN = ("teacher", "importance", "space", "train", "search")
"""The stages that stand on each other."""


@dataclass(frozen=True)
class Job:
    """A training as it is handed to the other processes of a team.

    Attributes:
        arguments: Of `Workspace.train`.
        options: Its named arguments.
        probes: Whether weights are chosen by a probe, which the first process calls.
    """

    arguments: tuple[Any, ...]
    options: dict[str, Any]
    probes: bool


@dataclass
class Workspace:
    """The open run with everything its stages read.

    Attributes:
        settings: What the user decided.
        run: The run directory, open.
        progress: Where to say how far the work is.
        data: The task's examples.
        tokenizer: The model's tokenizer.
        encoded: Split -> tokenised rows: "train", "search", "validation", "full_train" and the task's extra splits.
        model_fingerprint: Of the model's files.
        trained: Whether the model comes with a head trained for the task.
        precision: Precision of evaluations during the search ("fp32" or "bf16").
        team: The processes that train together.
        answers: Of texts without labels, what the original says: split -> logits.
    """

    settings: Settings
    run: Run
    progress: Progress
    data: TaskData
    tokenizer: Any
    encoded: dict[str, Encoded]
    model_fingerprint: str
    trained: bool
    precision: str
    team: Team = field(default_factory=Team)
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Name of the primary metric."""
        return self.data.task.metric

    @property
    def pad(self) -> int:
        """Token that fills shorter rows."""
        return int(self.tokenizer.pad_token_id or 0)

    @property
    def rows(self) -> EncodedTask:
        """The task with its tokenised splits."""
        return EncodedTask(self.data.task, self.encoded, tuple(self.data.extra), self.pad, answers=self.answers)

    def stage(self, name: str, inputs: Mapping[str, Any], outputs: Sequence[str] = (), *, upto: str = "") -> Stage:
        """Where a stage stands.

        It depends on the stages of the chain before it and on nothing else, so that what is looked at beside (latency,
        baselines) makes no training stale.

        Args:
            name: The stage's name.
            inputs: What decides its outcome.
            outputs: What it writes, relative to the run.
            upto: The last stage of `CHAIN` it depends on; for a stage of the chain, the one before it.
        """
        end = CHAIN.index(name) if name in CHAIN else CHAIN.index(upto) + 1 if upto else 0
        after = [before for before in CHAIN[:end] if self.run.knows(before)]
        return self.run.stage(name, inputs, after=after, outputs=outputs)

    def batches(self, split: str = "train") -> Callable[[int], Iterator[dict[str, Tensor]]]:
        """Epoch -> its batches of a split."""
        return self.rows.batches(split, self.settings.batch_size, self.settings.seed)

    def steps_per_epoch(self, split: str = "train") -> int:
        """Batches of one epoch."""
        return self.rows.steps_per_epoch(split, self.settings.batch_size)

    def scores(self, model: Any, split: str, *, precision: str = "fp32", keep: str | None = None) -> dict[str, float]:
        """Every metric of the task on a split; for validation, the extra splits too (`metric@split`).

        Args:
            model: Where it is.
            split: Name of the split.
            precision: Of the forward passes.
            keep: Name under which answers to questions are kept (see `answers_of`).
        """
        return self.judge(lambda encoded: predict(model, encoded, precision=precision), split, keep=keep)

    def judge(
        self, answer: Callable[[Encoded], np.ndarray], split: str, *, keep: str | None = None
    ) -> dict[str, float]:
        """The same of anything that gives logits; arguments as in `scores`."""
        folder = self.run.folder / ANSWERS / keep if keep else None
        return self.rows.judge(answer, split, keep=folder)

    @property
    def fine_tuning(self) -> Distillation:
        """How the original itself learns: from labels where there are any, else from a teacher alone."""
        return Distillation(self.settings.temperature, labels=0.0 if self.settings.unlabelled else None)

    def score_loss(self) -> Loss:
        """What scores of units take gradients of: the task's loss, or what the original says itself without labels.

        The original has no error on its own answers, and an error of zero has no gradient.
        """
        kind: Any = self.data.task.kind
        if kind == "embedding":
            return relation_under_dropout
        return own_answers(kind, seed=self.settings.seed) if self.settings.unlabelled else labelled_loss(kind)

    def answers_of(self, name: str) -> list[str]:
        """The folder of a model's answers, if the task has any: what `scores(..., keep=name)` writes."""
        return [f"{ANSWERS}/{name}"] if self.data.task.kind == "span" else []

    def probe(self, model: Any) -> Callable[[], float]:
        """Scores a model on the search split; used to keep the best weights of a training."""
        return lambda: self.scores(model, "search", precision=self.precision)[self.metric]

    def options(self, epochs: int, learning_rate: float) -> TrainOptions:
        """Options of one training."""
        s = self.settings
        return TrainOptions(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=s.batch_size,
            weight_decay=s.weight_decay,
            warmup=s.warmup,
            schedule=s.schedule,
            clip=s.clip,
            precision=s.precision,
            seed=s.seed,
        )

    def distillation(self, layers: tuple[int, ...] | None = None) -> Distillation:
        """How students learn from teachers; `layers` are the teacher's that a student kept."""
        s = self.settings
        return Distillation(
            temperature=s.temperature, labels=s.label_weight, logits=s.logits_weight, hidden=s.hidden, layers=layers
        )

    def objective(self, distillation: Distillation) -> Objective:
        """What trainings of the run's task lower."""
        return objective_of(self.data.task.kind, distillation)

    def train(
        self,
        network: Any,
        strategy: Strategy,
        options: TrainOptions,
        folder: Path,
        *,
        teacher: nn.Module | None = None,
        probe: Callable[[], float] | None = None,
        split: str = "train",
        layers: tuple[int, ...] | None = None,
        student: bool = True,
        hooks: Hooks | None = None,
        first_epoch: int = 0,
        pause: Callable[[int], bool] | None = None,
    ) -> TrainResult:
        """Trains with the run's data; resumes from `folder`, also after a `pause`.

        A student, cut from its teacher, keeps its word embeddings, which fit already: their dense gradient and
        optimizer state would cost a small sub-network more than its whole encoder. It also trains without dropout: the
        teacher's answers are smooth already, and drawing the masks takes time. `first_epoch` numbers the epochs of
        a training that goes on where another ended, so that its batches are others. All of this is the same in every
        process of the team, but for the probe, which the first one calls, and `pause`: only who trains alone may pause.
        """

        def show(step: int, steps: int, loss: float, rate: float) -> None:
            self.progress.update(step, steps, loss=loss)

        own: dict[str, Any] = {"teacher": teacher, "split": split, "layers": layers, "student": student}
        # Sent in one piece: hooks that are the network itself, or refer to it, are so in the others, too.
        own |= {"hooks": hooks, "first_epoch": first_epoch}
        job = Job((network, strategy, options, folder), own, probe is not None)
        s = self.settings
        model = network if isinstance(network, nn.Module) else network.model
        words: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
        student = student and teacher is not None
        frozen = student and s.freeze_embeddings
        words.requires_grad_(not frozen)
        dropouts = [(m, m.p) for m in model.modules() if isinstance(m, nn.Dropout)] if student else []
        for module, _ in dropouts:
            module.p = s.dropout
        try:
            with self.team.training(job):
                return train(
                    network,
                    lambda epoch: self.batches(split)(first_epoch + epoch),
                    strategy,
                    options,
                    steps_per_epoch=self.steps_per_epoch(split),
                    objective=self.objective(self.distillation(layers) if student else self.fine_tuning),
                    teacher=teacher,
                    probe=probe,
                    folder=folder,
                    identity={
                        "data": self.data.fingerprint,
                        "split": split,
                        "frozen": frozen,
                        "dropout": s.dropout,
                    },
                    progress=show,
                    hooks=hooks,
                    pause=pause,
                )
        finally:
            words.requires_grad_(True)
            for module, p in dropouts:
                module.p = p

    @contextmanager
    def doing(self, stage: Stage, title: str, *, unit: str = "step") -> Iterator[Path]:
        """See `doing`."""
        with doing(self.run, self.progress, stage, title, unit=unit) as folder:
            yield folder


@contextmanager
def doing(run: Run, progress: Progress, stage: Stage, title: str, *, unit: str = "step") -> Iterator[Path]:
    """Does a stage that is not done; gives a folder for checkpoints that is gone afterwards.

    `unit` is what its progress counts.
    """
    folder = run.folder / "training" / stage.name.replace(" ", "-")
    if not stage.cut_off:
        shutil.rmtree(folder, ignore_errors=True)
    if stage.changed:
        progress.message(f"{title} again: {'; '.join(stage.changed)}")
    with run.working(stage), progress.stage(title, unit=unit):
        yield folder
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another stage's checkpoints are still there
        folder.parent.rmdir()
