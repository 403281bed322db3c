"""What the stages of a run share: settings, data, tokenizer, scoring, training folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sublm.errors import DataError, RunError
from sublm.export import longest_text
from sublm.importance import labelled_loss, own_answers, relation_under_dropout
from sublm.importance.passes import Loss
from sublm.progress import Progress
from sublm.run import Run, Stage, file_fingerprint, fingerprint
from sublm.settings import Settings
from sublm.tasks import (
    TASKS,
    Encoded,
    EncodedTask,
    TaskData,
    build_model,
    encode_task,
    evaluate,
    load_task,
    load_tokenizer,
    predict,
)
from sublm.tasks.encoding import default_length
from sublm.tasks.kinds import kind_of
from sublm.tasks.unlabelled import answer_splits, load_unlabelled
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
from sublm.training.precision import evaluation_precision

ANSWERS = "predictions"
"""Folder of the answers to questions, a folder per model, in the official format."""

UNKNOWN = 0.05
"""Share of unknown tokens above which the user is warned."""

MANY = 8
"""Classes that are shown by name."""

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
        a training that goes on where another ended, so that its batches are others.
        """

        def show(step: int, steps: int, loss: float, rate: float) -> None:
            self.progress.update(step, steps, loss=loss)

        if self.team.leads and self.team.size > 1:
            own = {"teacher": teacher, "split": split, "layers": layers, "student": student}
            self.team.share(Job((network, strategy, options, folder), own, probe is not None))
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


def open_workspace(settings: Settings, run: Run, progress: Progress, team: Team | None = None) -> Workspace:
    """Loads and checks everything a run needs, before any long work.

    Raises:
        DataError: If the task or the tokenizer cannot be used.
        UnsupportedModelError: If the model cannot be made elastic.
    """
    from sublm.supernet.layout import find_layout

    check_choices(settings)
    for name in ("model", "teacher"):
        check_folder(name, getattr(settings, name))
    with progress.stage("Reading the task and the model"):
        data = _load_data(settings)
        for note in (*_columns_read(settings, data), *data.notes):
            progress.message(note)
        tokenizer = load_tokenizer(settings.model)
        model, _ = build_model(settings.model, data.task, seed=settings.seed)
        find_layout(model)
        check_vocabulary(tokenizer, model)
        max_length = settings.max_length or min(default_length(data.task), longest_text(model))
        rows = encode_task(data, tokenizer, max_length, doc_stride=settings.doc_stride)
        answers: dict[str, np.ndarray] = {}
        if settings.unlabelled:
            original, _ = build_model(settings.original, data.task, seed=settings.seed)
            answers = {name: predict(original, part) for name, part in rows.splits.items()}
            data = answer_splits(data, answers, {name: part.spans for name, part in rows.splits.items()})
            rows = encode_task(data, tokenizer, max_length, doc_stride=settings.doc_stride)
        if unknown := _unknown_share(rows.splits["train"], tokenizer):
            progress.warning(unknown)
        encoded = dict(rows.splits)
        encoded["full_train"] = encoded["train"].joined(encoded["search"])
        check_lengths(encoded, model, settings.task)
        work = Workspace(
            settings=settings,
            run=run,
            progress=progress,
            data=data,
            tokenizer=tokenizer,
            encoded=encoded,
            model_fingerprint=fingerprint_model(settings.model),
            precision=evaluation_precision(settings.precision),
            team=team or Team(),
            answers=answers,
        )
        # One evaluation batch: what is wrong with model and data together shows now, not after the training.
        evaluate(model, encoded["search"].select(range(min(16, len(encoded["search"])))), data.task)
    return work


def _columns_read(settings: Settings, data: TaskData) -> list[str]:
    """Which columns of a file of one's own were taken for what, where they were not all named."""
    task = data.task
    if settings.unlabelled or settings.task in TASKS or (settings.text and settings.label):
        return []
    names = " and ".join(map(repr, task.texts))
    found = f"{task.kind} of {names} by {task.label!r}" if task.label else f"{task.kind} of {names}"
    many = ", ..." if len(task.labels) > MANY else ""
    classes = f" ({', '.join(map(str, task.labels[:MANY]))}{many})" if task.labels else ""
    return [f"Read as {found}{classes}."]


def _unknown_share(rows: Encoded, tokenizer: Any) -> str:
    """A warning, if the tokenizer does not know much of the texts: it may be of another language."""
    unknown = tokenizer.unk_token_id
    if unknown is None or rows.chooses:
        return ""
    some = [np.asarray(row) for row in rows.input_ids[:1000]]
    share = sum(int((row == unknown).sum()) for row in some) / max(sum(map(len, some)), 1)
    if share <= UNKNOWN:
        return ""
    return f"{share:.0%} of the tokens are unknown to the tokenizer: are the texts in the model's language and script?"


def _load_data(settings: Settings) -> TaskData:
    """The task's examples, or texts without labels."""
    shared: dict[str, Any] = {"text": settings.text, "search_share": settings.search_share}
    shared |= {"seed": settings.seed, "limit": settings.limit}
    if settings.unlabelled:
        return load_unlabelled(settings.unlabelled, settings.original, **shared)
    shared |= {"label": settings.label, "kind": settings.kind}
    data = load_task(settings.task, data=settings.data, pairs=settings.pairs, announce=False, **shared)
    return replace(data, notes=(*data.notes, *kind_of(data.task.kind).notes(settings.model)))


def check_choices(settings: Settings) -> None:
    """Refuses names that are not registered, before anything is read.

    Raises:
        RunError: If one is unknown; it names the choices.
    """
    from sublm.costs import Conditions
    from sublm.importance import IMPORTANCE
    from sublm.search import SAMPLERS, check_cluster, check_storage, parse_targets
    from sublm.spaces import SPACES
    from sublm.stages.exports import check_exports
    from sublm.training import STRATEGIES

    for name, known in (
        ("importance", [*IMPORTANCE, "none"]),
        ("sampler", [*SAMPLERS]),
        ("space", [*SPACES, "nested", "importance"]),
        ("strategy", [*STRATEGIES]),
    ):
        value = getattr(settings, name)
        if (name == "space" and value.endswith(".json")) or (name == "importance" and Path(value).is_dir()):
            continue
        if value not in known:
            more = {"space": ", or give a space.json", "importance": ", or give a folder of scores"}.get(name, "")
            raise RunError(f"{name}={value!r} is not known; choose one of {', '.join(sorted(known))}{more}.")
    parse_targets(settings.target, {"macs": 1.0, "parameters": 1.0, "latency": 1.0, "memory": 1.0})
    if settings.predictor is not None and not Path(settings.predictor).is_file():
        raise RunError(f"predictor: there is no file {settings.predictor!r}; give the latency.json of a run.")
    Conditions(settings.runtime, settings.runtime_precision)  # refuses pairs that there are none of
    check_exports(settings)
    # A cluster or a database that cannot be reached is noticed now, not after the training.
    if settings.ray is not None:
        check_cluster(settings.ray)
    if settings.storage is not None:
        check_storage(settings.storage)


def check_folder(name: str, path: str | None) -> None:
    """Refuses a path that does not exist, before it is taken for a name on the hub.

    Raises:
        DataError: If it looks like a path and nothing is there.
    """
    if path in (None, "none") or Path(str(path)).exists():
        return
    if str(path).startswith((".", "~", "/")) or str(path).count("/") > 1:
        raise DataError(f"{name}: there is no folder {path!r}. Give a transformers folder, or a name on the hub.")


def fingerprint_model(name: str) -> str:
    """Fingerprint of a model's folder, or of its name on the hub."""
    folder = Path(name)
    if not folder.is_dir():
        return fingerprint({"hub": name})
    found = [*folder.iterdir(), *folder.glob("[0-9]_*/*")]  # the second: modules of sentence-transformers
    files = sorted(p for p in found if p.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"))
    return fingerprint({path.relative_to(folder).as_posix(): file_fingerprint(path) for path in files})


def check_vocabulary(tokenizer: Any, model: Any) -> None:
    """Refuses a tokenizer that gives tokens the model has no embedding for.

    Raises:
        DataError: If it knows more tokens than the model.
    """
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise DataError(
            f"The tokenizer knows {len(tokenizer)} tokens, the model {rows}: they do not belong together. "
            "Save the model's own tokenizer beside it."
        )


def check_lengths(encoded: Mapping[str, Encoded], model: Any, task: str) -> None:
    """Refuses texts that are longer than the model can read.

    Raises:
        DataError: If there is one.
    """
    longest, can = max(int(rows.lengths.max()) for rows in encoded.values()), longest_text(model)
    if longest > can:
        raise DataError(f"{task}: the longest text has {longest} tokens, the model reads {can}. Pass max_length={can}.")


def spread(costs: Sequence[float], number: int) -> list[float]:
    """Targets from the smallest to the largest cost, evenly spaced on a logarithmic scale."""
    low, high = min(costs), max(costs)
    if number == 1 or low == high:
        return [high]
    return [low * (high / low) ** (i / (number - 1)) for i in range(number)]


def plural(number: int, what: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
