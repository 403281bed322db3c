"""The network of a pre-training: super-network or plain model, its teacher, its space and what a step trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sublm.costs import cost_model
from sublm.errors import RunError
from sublm.importance import IMPORTANCE, Importance, compute_importance
from sublm.progress import Progress
from sublm.run import Run, read_json, write_text
from sublm.spaces import SPACES, SearchSpace, StratifiedSampler, Subnet, nested
from sublm.spaces.subnet import count
from sublm.stages.pretrain.folders import attach_projection, write_folder
from sublm.stages.pretrain.models import (
    Student,
    check_pair,
    cut_teacher,
    heads_of,
    load_student,
    load_teacher,
    make_projection,
)
from sublm.stages.pretrain.settings import PLAIN, PretrainSettings
from sublm.stages.pretrain.text import Text
from sublm.stages.workspace import doing
from sublm.supernet import SuperNet
from sublm.training import STRATEGIES, Strategy, fixed
from sublm.training.objectives import PretrainingObjective, Terms, read_terms

IMPORTANCE_BATCHES = 8
TEACHER = "teacher"
"""Folder of a run: the model that was its own teacher, its units in the order of the super-network."""
GRIDS = ("homogeneous", "homogeneous-kd")
"""Spaces that vary the hidden size in steps of their own."""


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
        student: The model with its head, elastic if there is a super-network.
        supernet: The super-network around it; None to train it as it is.
        space: Its sub-networks; None without a super-network.
        teacher: Whom it learns from; None for nobody.
        terms: What it learns.
    """

    student: Student
    supernet: SuperNet | None
    space: SearchSpace | None
    teacher: Any
    terms: Terms

    @property
    def trained(self) -> SuperNet | nn.Module:
        """What the training loop is given."""
        return self.student.model if self.supernet is None else self.supernet


INPLACE = ("full", "guided", "kd", "one_shot")
"""Strategies by which, without a teacher, sub-networks learn from the largest."""


def terms_of(settings: PretrainSettings) -> Terms:
    """What is lowered, as asked for."""
    terms = read_terms(settings.objective)
    return replace(terms, relation_heads=settings.relation_heads) if settings.relation_heads else terms


def with_inplace(terms: Terms, strategy: str) -> Terms:
    """The terms of a super-network; who learns in place learns logits if the objective has nothing else to learn."""
    return replace(terms, logits=1.0) if strategy in INPLACE and not terms.distils else terms


def space_name(settings: PretrainSettings, student: Student) -> str:
    """The space that was asked for, or the usual one."""
    if settings.space is not None:
        return settings.space
    return PLAIN if student.cut else "homogeneous"


def check_names(settings: PretrainSettings) -> None:
    """Refuses names that are not registered, before anything is read.

    Raises:
        RunError: If one is unknown; it names the choices.
    """
    scores = [name for name in IMPORTANCE if name != "movement"]
    for name, known in (
        ("space", [*SPACES, "nested", PLAIN]),
        ("importance", ["auto", "none", *scores]),
        ("strategy", [*STRATEGIES]),
    ):
        value = getattr(settings, name)
        if value is None or value in known or (name == "space" and value.endswith(".json")):
            continue
        more = ", or give a space.json" if name == "space" else ""
        raise RunError(f"{name}={value!r} is not known; choose one of {', '.join(sorted(known))}{more}.")
    read_terms(settings.objective)


def prepare(
    settings: PretrainSettings,
    run: Run,
    text: Text,
    tokenizer: Any,
    progress: Progress,
    marks: Mapping[str, Any],
    *,
    plan: bool = False,
) -> Network:
    """Loads the models, sorts the units and defines the space.

    Args:
        settings: Of the run.
        run: The run, open.
        text: Its text.
        tokenizer: Of the model.
        progress: Told how far it is.
        marks: Fingerprints of the model and of the corpus.
        plan: Only for a plan: nothing is noted in the run, and units are not scored by passes over text.
    """
    terms = terms_of(settings)
    student = load_student(settings.model, from_scratch=settings.from_scratch, seed=settings.seed, tokenizer=tokenizer)
    name = space_name(settings, student)
    itself = settings.teacher is not None and settings.teacher == settings.model
    if itself and settings.from_scratch:
        raise RunError("teacher: a model that begins from scratch cannot be its own teacher; name another.")
    teacher: Any = None
    if settings.teacher is not None:
        teacher = load_teacher(settings.teacher, terms, layers=settings.teacher_layers)
    vocabulary = student.model.config.vocab_size
    if name == PLAIN:
        heads = heads_of(student.model)
        size = getattr(student.model.config, "head_size", None) or student.model.config.hidden_size // heads
        check_pair(terms, teacher, vocabulary=vocabulary, heads=heads, narrowest=heads * int(size))
        _project(settings, student.model, teacher, terms, saved=settings.model)
        return Network(student, None, None, teacher, terms)
    if type(student.model).__name__.startswith("Subnet"):
        raise RunError(
            f"{settings.model} is a sub-network whose sizes no stock configuration expresses, so space={name!r} cannot "
            f"be cut from it. Leave space out, or give space={PLAIN}, to train it further as it is."
        )
    supernet = SuperNet(student.model)
    space: SearchSpace | None = None
    if name != "nested":  # which follows the scores
        space = _make_space(settings, name, supernet, None)
        _check_space(terms, teacher, vocabulary, space)
    method = _method(settings, student)
    importance: Importance | None = None
    if method != "none" and plan:
        importance = compute_importance(supernet, "magnitude")
    elif method != "none":
        importance = _score(method, settings, run, supernet, text, progress, marks)
    if importance is not None:
        if (terms.attention or terms.relations) and not itself:  # compared with the teacher's, one by one
            importance = replace(importance, heads=torch.zeros_like(importance.heads))
        importance = supernet.reorder(importance)
    if itself:  # the same function, its units in the new order
        teacher = _itself(supernet, terms, settings.teacher_layers)
        if not plan:
            _note_teacher(run, supernet, tokenizer, progress)
    if space is None:
        space = _make_space(settings, name, supernet, importance)
        _check_space(terms, teacher, vocabulary, space)
    if not plan:
        _note_space(run, space, progress)
    _project(settings, student.model, teacher, terms)
    return Network(student, supernet, space, teacher, with_inplace(terms, settings.strategy))


def objective_of(network: Network) -> PretrainingObjective:
    """The objective of a network's terms."""
    return PretrainingObjective(network.terms)


def strategy_of(settings: PretrainSettings, network: Network) -> Strategy:
    """Which sub-networks a step trains."""
    teach: Any = "labels" if network.teacher is None else "teacher"
    if network.supernet is None or network.space is None:
        return fixed(teach=teach)
    options: dict[str, Any] = {"teach": teach}
    if settings.strategy != "standard":
        space = network.space
        stratified = settings.sampling == "stratified" and space.size > 1
        sampler = StratifiedSampler(space, cost_model(network.supernet).macs).sample if stratified else space.sample
        options |= {"random_nets": settings.subnets, "sampler": sampler}
    return STRATEGIES[settings.strategy](network.space, **options)


def _itself(supernet: SuperNet, terms: Terms, layers: int) -> Any:
    """A copy of the whole super-network as it is now."""
    teacher = supernet.extract(supernet.largest)
    return cut_teacher(teacher if terms.logits else teacher.base_model, layers)


def _project(settings: PretrainSettings, model: Any, teacher: Any, terms: Terms, saved: str | None = None) -> None:
    """Gives the model a projection, if its hidden states are compared; that of a folder fits unsorted channels only."""
    if terms.hidden:
        hidden, width = model.config.hidden_size, teacher.config.hidden_size
        attach_projection(model, make_projection(saved, hidden, width, seed=settings.seed))


def _method(settings: PretrainSettings, student: Student) -> str:
    """The score that sorts the units."""
    method = settings.importance
    if method == "auto":
        method = "none" if settings.from_scratch else "taylor" if student.trained_head else "magnitude"
    if method not in ("magnitude", "none") and not student.trained_head:
        raise RunError(
            f"importance={method!r} looks at the loss of the masked tokens, and {settings.model} has no trained head "
            "for them. Choose magnitude, or none."
        )
    return method


def _score(
    method: str,
    settings: PretrainSettings,
    run: Run,
    supernet: SuperNet,
    text: Text,
    progress: Progress,
    marks: Mapping[str, Any],
) -> Importance:
    """Scores of the units: by the masked tokens of a few batches, or by their weights."""
    inputs = {"method": method, "batches": IMPORTANCE_BATCHES, "batch_size": settings.batch_size, **marks}
    stage = run.stage("importance", inputs, after=[], outputs=["importance.safetensors", "importance.json"])
    if not stage.done:
        objective = PretrainingObjective()

        def loss(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
            return objective.loss(objective.answer(model, batch), None, batch, None)

        with doing(run, progress, stage, f"Scoring units ({method})"):
            options = {} if method == "magnitude" else {"loss": loss}
            batches = islice(text.steps(0), IMPORTANCE_BATCHES)
            compute_importance(supernet, method, batches, **options).save(run.folder)
    return Importance.load(run.folder)


def _make_space(
    settings: PretrainSettings, name: str, supernet: SuperNet, importance: Importance | None
) -> SearchSpace:
    if Path(name).suffix == ".json":
        space = SearchSpace.from_dict(read_json(name))
        if space.shape != supernet.shape:
            raise RunError(f"{name} belongs to a model of shape {space.shape}; this one has {supernet.shape}.")
        space.largest.check(supernet.shape)
        return space
    if name == "nested":
        if importance is None:
            raise RunError("The space nested follows the order of the units: choose an importance other than none.")
        return nested(supernet, importance, cost_model(supernet).macs, step=settings.step)
    more = {"hidden_step": settings.hidden_step} if name in GRIDS else {}
    return SPACES[name](supernet, step=settings.step, **more)


def _note_teacher(run: Run, supernet: SuperNet, tokenizer: Any, progress: Progress) -> None:
    """Writes the model as it was before training, in the order of the super-network: further training needs that."""
    after = [stage for stage in ("importance",) if run.knows(stage)]
    stage = run.stage("teacher", {"model": supernet.shape}, after=after, outputs=[TEACHER])
    if not stage.done:
        with doing(run, progress, stage, "Writing the teacher"):
            whole = supernet.extract(supernet.largest)
            write_folder(whole, run.folder / TEACHER, tokenizer=tokenizer, overwrite=True)


def _note_space(run: Run, space: SearchSpace, progress: Progress) -> None:
    after = [stage for stage in ("importance",) if run.knows(stage)]
    stage = run.stage("space", {"space": space.to_dict()}, after=after, outputs=["space.json"])
    if not stage.done:
        with doing(run, progress, stage, f"Writing the search space ({space.name}, {space.size:.3g} settings)"):
            write_text(run.folder / "space.json", space.to_json() + "\n")


def _check_space(terms: Terms, teacher: Any, vocabulary: int, space: SearchSpace) -> None:
    """Refuses a teacher that a space's sub-networks cannot be compared with."""
    heads, narrowest = _fewest(space)
    check_pair(terms, teacher, vocabulary=vocabulary, heads=heads, narrowest=narrowest)


def _fewest(space: SearchSpace) -> tuple[int, int]:
    """Fewest attention heads and least attention width in a layer of the space's smallest sub-network."""
    smallest: Subnet = space.smallest
    heads = [kept for layer in smallest.layers if (kept := count(smallest.heads[layer]))]
    return (min(heads), min(heads) * count(smallest.head_size)) if heads else (0, 0)
