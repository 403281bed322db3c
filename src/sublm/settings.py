"""Everything a user decides about a run; the names are those of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sublm.errors import RunError

BASELINES = ("layer-dropping", "original-int8", "prune-and-distil")
NOT_DECIDING = (
    "baseline_sizes",
    "baselines",
    "evaluations",
    "examples",
    "exports",
    "force",
    "hours",
    "models",
    "objectives",
    "onnx",
    "population",
    "predictor",
    "racing",
    "racing_check",
    "racing_level",
    "racing_margin",
    "ray",
    "rearrange",
    "reconstruct",
    "recover_epochs",
    "refit",
    "runtime",
    "runtime_precision",
    "sampler",
    "sizes",
    "standalone",
    "storage",
    "target",
    "threads",
    "workers",
)
"""May change without making the run another one: each belongs to late stages, which see it among their inputs."""
OF_THE_CALL = ("ray", "storage", "workers")
"""Belong to the machines of one call and are not kept with the run; a storage's URL may hold a password."""


def check_settings(names: Iterable[str], kind: type[Any]) -> None:
    """Refuses settings that a dataclass of settings does not have.

    Raises:
        RunError: If there is one; it names the nearest that there is.
    """
    known = [field.name for field in fields(kind)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            mean = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(known)}."
            raise RunError(f"There is no setting {name!r}.{mean}")


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        model: A transformers encoder: a folder, or a name on the Hugging Face hub.
        task: A task by name, or a file or folder of the user's own.
        target: What the chosen model must meet, such as "latency<=8ms".
        unlabelled: A file of texts without labels, instead of a task: the fine-tuned model's own answers are learned.
        data: A folder that holds the named task, instead of the hub.
        pairs: Scored pairs of texts that embedding models are judged on, where `data` holds texts alone.
        text: The column, or the two columns, that hold the text.
        label: The column that holds the label.
        kind: Kind of the task, for data of the user's own; None finds it from the columns.
        search_share: Share of the training rows on which sub-networks are compared; they are not trained on.
        limit: Use at most this many training rows.
        max_length: Tokens after which a text is cut, or of a window on a context; None takes the task's own:
            128, for windows 384, for long passages up to 512.
        doc_stride: Tokens that neighbouring windows share; None takes a third of a window.
        teacher: A model fine-tuned for the task; "none" to do without.
        teacher_epochs: Epochs of fine-tuning the teacher, and of every baseline.
        teacher_learning_rate: Largest learning rate of fine-tuning the teacher.
        start: What the super-network is made of: the "teacher", or the "model" as it was given, which then learns the
            task as a super-network only.
        space: The search space, or the path of a space.json.
        step: Neurons are kept in multiples of this.
        min_layers: Fewest layers of a sub-network in the space `small`, where None keeps all of them, and in `uniform`
            with `stock`, where it keeps half.
        min_size: Smallest share of the MACs in the space `nested`.
        space_min: MACs of the smallest sub-network that the space `importance` is made from, such as "40%" or "4400M".
        space_max: MACs of the largest.
        space_steps: How many, both ends included.
        stock: In the space `uniform`, look at stock models alone: all heads, any of the upper half of the depths.
        importance: The score that sorts units, or a folder of saved scores; "none" leaves them as they are.
        movement_epochs: Epochs of fine-tuning in which the importance `movement` is learned.
        movement_learning_rate: Largest learning rate of weights and scores in it.
        movement_warmup_start: Share of its steps before threshold and penalty begin to grow.
        movement_penalty: Largest weight of what pulls its scores down.
        movement_reduction: From the scores of a unit's weights to its own: "sum", "mean" or "max".
        strategy: Which sub-networks a training step trains.
        epochs: Epochs of training the super-network; 0 searches the sorted teacher as it is.
        learning_rate: Largest learning rate of the super-network, the recovery and the baselines.
        batch_size: Texts per step.
        weight_decay: AdamW's.
        warmup: Share of the steps in which the learning rate rises.
        schedule: "linear" or "cosine".
        clip: Longest gradient; 0 for no clipping.
        random_nets: Random sub-networks per step.
        sampling: "stratified" over the sizes, or "uniform" per variable.
        temperature: Of the distillation, for classes.
        hidden: Weight of the teacher's hidden states in the distillation.
        label_weight: Weight of the task's own loss beside a teacher's; None means 1 for classes and 0 for regression.
        logits_weight: Weight of the teacher's logits.
        train_stages: A JSON file with a list of training stages, each opening more of the space; None trains all of it
            at once for `epochs`.
        freeze_embeddings: Keep the teacher's word embeddings as they are in everything that learns from it.
        dropout: Of everything that learns from the teacher, whose answers are smooth already.
        precision: Of training and of the search's evaluations.
        sampler: How the search proposes.
        population: Size of a generation, of a sampler that has them; None takes its own.
        evaluations: Sub-networks to evaluate.
        no_train: Train nothing: choose units of the fine-tuned model by a few hundred texts, and solve what is left by
            least squares.
        rearrange: With `no_train`, exchange units within layers first, as Kwon et al. do.
        standalone: Train every sub-network of the search alone, for `epochs`, instead of a super-network.
        hours: Wall-clock time of a standalone search; it ends with this or `evaluations`, whichever comes first.
        objectives: "score" and names of costs.
        racing: Give up sub-networks in the search once they are seen to be beaten; see `sublm.search.racing`.
        racing_level: Probability, at most, that one is given up wrongly.
        racing_margin: Give up those too that are not better by more than this.
        racing_check: So many of those given up are evaluated in full afterwards, to count the mistakes.
        models: Models of the front to write, spread along it.
        sizes: Shares of the largest's MACs at which models are written, instead of `models` spread ones.
        recover_epochs: Epochs of training each of them further; 0 writes them as found.
        reconstruct: Solve the layers of each by least squares on a few hundred texts, and keep what that betters.
        refit: Recover on all training rows, those of the search included.
        baselines: What to compare with.
        baseline_sizes: Shares of the MACs at which baselines are trained.
        examples: Show in the report texts, of those the search scored on, whose answer changed.
        onnx: Write each model as ONNX too; the same as `exports=["onnx"]`.
        exports: Forms that each model is written in too, scored and measured: names of `sublm.export.FORMS`.
        runtime: What the models will run in, and latency is measured in: "torch", "onnx" or "openvino", or one with its
            precision, such as "onnx-int8".
        runtime_precision: In what precision: "fp32", "bf16" (torch, openvino), "fp16" or "int8-static" (onnx, openvino)
            or "int8" (onnx).
        threads: Threads of one forward pass when latency is measured.
        predictor: A file with a fitted latency predictor; None fits one if latency is asked for.
        force: Use a latency predictor though it was fitted on another device.
        workers: Sub-networks evaluated at a time in the search; 1 evaluates in this process.
        ray: Address of a Ray cluster that evaluates them.
        storage: URL of a database through which several searches share their evaluations.
        seed: Of everything drawn at random.
    """

    model: str
    task: str = ""
    target: tuple[str, ...] = ()
    unlabelled: str | None = None
    data: str | None = None
    pairs: str | None = None
    text: tuple[str, ...] | None = None
    label: str | None = None
    kind: str | None = None
    search_share: float = 0.15
    limit: int | None = None
    max_length: int | None = None
    doc_stride: int | None = None
    teacher: str | None = None
    teacher_epochs: int = 4
    teacher_learning_rate: float = 1e-4
    start: str = "teacher"
    space: str = "nested"
    step: int = 32
    min_layers: int | None = None
    min_size: float = 0.08
    space_min: str = "25%"
    space_max: str = "100%"
    space_steps: int = 5
    stock: bool = True
    importance: str = "taylor"
    movement_epochs: int = 3
    movement_learning_rate: float = 1e-4
    movement_warmup_start: float = 0.4
    movement_penalty: float = 0.02
    movement_reduction: str = "max"
    strategy: str = "guided"
    epochs: int = 3
    learning_rate: float = 2e-4
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: str = "linear"
    clip: float = 1.0
    random_nets: int = 2
    sampling: str = "stratified"
    temperature: float = 10.0
    hidden: float = 0.0
    label_weight: float | None = None
    logits_weight: float = 1.0
    train_stages: str | None = None
    freeze_embeddings: bool = True
    dropout: float = 0.0
    precision: str = "auto"
    sampler: str = "nsga2"
    population: int | None = None
    evaluations: int = 40
    no_train: bool = False
    rearrange: bool = False
    standalone: bool = False
    hours: float | None = None
    objectives: tuple[str, ...] = ("score", "macs")
    racing: bool = False
    racing_level: float = 0.05
    racing_margin: float = 0.001
    racing_check: int = 0
    models: int = 10
    sizes: tuple[float, ...] = ()
    recover_epochs: int = 0
    reconstruct: bool = False
    refit: bool = False
    baselines: tuple[str, ...] = ()
    baseline_sizes: tuple[float, ...] = (0.5, 0.25, 0.1)
    examples: bool = True
    onnx: bool = False
    exports: tuple[str, ...] = ()
    runtime: str = "torch"
    runtime_precision: str = "fp32"
    threads: int = 1
    predictor: str | None = None
    force: bool = False
    workers: int = 1
    ray: str | None = None
    storage: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in LISTS:
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        for name, least in (
            ("teacher_epochs", 1),
            ("epochs", 0),
            ("recover_epochs", 0),
            ("batch_size", 1),
            ("models", 1),
            ("evaluations", 1),
            ("random_nets", 1),
            ("threads", 1),
            ("workers", 1),
            ("step", 1),
            ("max_length", 8),
            ("doc_stride", 0),
            ("space_steps", 2),
            ("movement_epochs", 1),
            ("racing_check", 0),
            ("seed", 0),
        ):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise RunError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        self._settle_runtime()
        self._settle_task()
        if self.no_train:
            self._leave_training_out()
        if not 0 < self.search_share < 1:
            raise RunError(f"search_share must lie between 0 and 1; got {self.search_share}.")
        if self.space in ("nested", "importance") and self.importance == "none":
            raise RunError(f"The space {self.space} is made from an importance: choose one, or another space.")
        if self.train_stages is not None and not self.epochs:
            raise RunError("train_stages trains the super-network, and epochs=0 leaves it untrained: drop one of them.")
        if self.start == "model" and not self.epochs:
            raise RunError("start='model' needs a training: give epochs of at least 1, or start from the teacher.")
        if self.start == "model" and self.strategy == "guided" and self.teacher != "none":
            raise RunError(
                "start='model' needs a strategy that trains the largest sub-network, and guided takes it for the "
                "teacher: choose sandwich, or start from the teacher."
            )
        if not 0 <= self.movement_warmup_start < 1:
            raise RunError(
                f"movement_warmup_start is a share of the steps, from 0 to below 1; got {self.movement_warmup_start}."
            )
        if self.population is not None and self.population < 2:
            raise RunError(f"population must be at least 2; got {self.population}.")
        if not 0 < self.racing_level < 0.5:
            raise RunError(f"racing_level is a probability above 0 and below 0.5; got {self.racing_level}.")
        if not 0 <= self.racing_margin < 1:
            raise RunError(f"racing_margin is a difference of scores, from 0 to below 1; got {self.racing_margin}.")
        if not 0 <= self.min_size < 1:
            raise RunError(f"min_size is a share of the MACs, from 0 to below 1; got {self.min_size}.")
        for name, known in (
            ("start", ("teacher", "model")),
            ("sampling", ("stratified", "uniform")),
            ("movement_reduction", ("sum", "mean", "max")),
            ("runtime", ("torch", "onnx", "openvino")),
            ("runtime_precision", ("fp32", "bf16", "fp16", "int8", "int8-static")),
            ("schedule", ("linear", "cosine")),
            ("precision", ("auto", "fp32", "bf16", "fp16")),
        ):
            if getattr(self, name) not in known:
                raise RunError(f"{name}={getattr(self, name)!r} is not known; choose one of {', '.join(known)}.")
        for name in ("sizes", "baseline_sizes"):
            wrong_sizes = [size for size in getattr(self, name) if not 0 < size <= 1]
            if wrong_sizes:
                raise RunError(f"{name} are shares of the MACs, above 0 and at most 1; got {wrong_sizes}.")
        if self.storage is not None and "://" not in self.storage:
            raise RunError(f"storage is a URL such as postgresql://HOST/DATABASE; got {self.storage!r}.")
        unknown = [name for name in self.baselines if name not in BASELINES]
        if unknown:
            raise RunError(f"baselines: {unknown} not known; choose from {', '.join(BASELINES)}.")
        if "score" not in self.objectives or len(self.objectives) < 2:
            raise RunError("objectives must be score and at least one cost: macs, parameters, latency or memory.")
        wrong = [name for name in self.objectives if name not in ("score", "macs", "parameters", "latency", "memory")]
        if wrong:
            raise RunError(f"objectives: {wrong} not known; choose from score, macs, parameters, latency, memory.")
        if len({*self.objectives}) < len(self.objectives):
            raise RunError(f"objectives: each can be given once; got {', '.join(self.objectives)}.")
        if self.hours is not None and not self.hours > 0:
            raise RunError(f"hours must be above 0; got {self.hours}.")
        if self.hours is not None and not self.standalone:
            raise RunError("hours limits a standalone search: add standalone, or limit the search with evaluations.")
        if self.rearrange and not self.no_train:
            raise RunError("rearrange is a step of no_train: add that, or leave it out.")
        if self.standalone and self.reconstruct:
            raise RunError("reconstruct follows the super-network, and a standalone search trains none: leave it out.")
        if self.standalone and self.racing:
            raise RunError("racing gives up evaluations, and a standalone search trains: leave it out, or take moasha.")
        if self.standalone and self.storage is not None:
            raise RunError("storage shares scores, and a standalone search has models to keep; use workers, or ray.")
        if self.standalone and not self.epochs:
            raise RunError("standalone trains every sub-network of the search, so epochs must be at least 1.")
        if self.refit and not self.recover_epochs:
            raise RunError("refit trains the chosen models on all rows, so recover_epochs must be at least 1.")

    def _settle_runtime(self) -> None:
        """Takes apart a runtime that is written with its precision."""
        if "-" not in self.runtime:
            return
        from sublm.costs.conditions import split_runtime

        runtime, precision = split_runtime(self.runtime)
        if self.runtime_precision not in ("fp32", precision):
            raise RunError(
                f"runtime={self.runtime!r} says {precision}, and runtime_precision={self.runtime_precision!r} another: "
                "leave one of them out."
            )
        for name, value in (("runtime", runtime), ("runtime_precision", precision)):
            object.__setattr__(self, name, value)

    def _settle_task(self) -> None:
        """Makes a file of texts the task, whose labels nothing learns from."""
        if self.unlabelled is None:
            if not self.task:
                raise RunError(
                    "There is nothing to do well at: give task=, a name or a file of your own, or unlabelled=, texts "
                    "without labels."
                )
            return
        if self.task not in ("", self.unlabelled):
            raise RunError(
                f"unlabelled={self.unlabelled!r} takes the place of a task, and task={self.task!r} was given too: "
                "leave one of them out."
            )
        for name, wrong in (("label", self.label), ("label_weight", self.label_weight), ("data", self.data)):
            if wrong:
                raise RunError(f"unlabelled has no labels, so {name}={wrong!r} does not fit: leave it out.")
        if self.teacher == "none":
            raise RunError("unlabelled learns from a fine-tuned model alone, so teacher='none' leaves nothing.")
        for name, value in (("task", self.unlabelled), ("label_weight", 0.0)):
            object.__setattr__(self, name, value)

    @property
    def original(self) -> str:
        """The model whose answers are learned where there are no labels: the teacher, if one is given."""
        return self.model if self.teacher in (None, "none") else str(self.teacher)

    def _leave_training_out(self) -> None:
        """Settles what `no_train` implies, and refuses what it cannot do."""
        trains = [kind for kind in self.baselines if kind != "original-int8"]
        for name, wrong, way in (
            ("standalone", self.standalone, "leave it out"),
            ("recover_epochs", self.recover_epochs > 0, "leave it out"),
            ("train_stages", self.train_stages is not None, "leave it out"),
            ("start", self.start != "teacher", "leave it out"),
            ("baselines", bool(trains), "only original-int8 needs no training"),
            ("space", self.space not in ("nested", "medium"), "heads and neurons of every layer are chosen freely"),
            ("importance", self.importance not in ("taylor", "fisher", "none"), "it is the Fisher information here"),
        ):
            if wrong:
                raise RunError(f"no_train trains nothing, so {name}={getattr(self, name)!r} does not fit: {way}.")
        for name, value in (("space", "medium"), ("importance", "none"), ("epochs", 0)):
            object.__setattr__(self, name, value)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Settings:
        """Settings from plain data; unknown names are refused."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise RunError(f"Unknown settings: {', '.join(unknown)}.")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: tuples as lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def lasting(self) -> dict[str, Any]:
        """The settings that are kept with the run."""
        return {name: value for name, value in self.to_dict().items() if name not in OF_THE_CALL}

    def deciding(self) -> dict[str, Any]:
        """The settings that make a run what it is; the others may change from call to call."""
        return {name: value for name, value in self.to_dict().items() if name not in NOT_DECIDING}

    def changed(self, **changes: Any) -> Settings:
        """A copy with some changed, and without what was set for the sampler or the kind of search that is replaced."""
        for name, other in (("sampler", "population"), ("standalone", "hours")):
            if changes.get(name, getattr(self, name)) != getattr(self, name):
                changes.setdefault(other, None)
        return replace(self, **changes)

    @property
    def default_folder(self) -> Path:
        """Where the run goes if no folder is named."""
        return Path("runs") / Path(self.task).stem


LISTS = tuple(field.name for field in fields(Settings) if str(field.type).startswith("tuple"))
"""Settings of several values; kept as tuples, whatever they are given as."""
