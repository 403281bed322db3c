"""What candidates are trained on for a few steps: packed text, or a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sublm.errors import DataError
from sublm.files import plain
from sublm.pretraining import Corpus, Masking, PieceBatches
from sublm.stages.extraction.family import Family, family_of_corpus, family_of_model
from sublm.stages.extraction.settings import ExtractionSettings
from sublm.stages.extraction.trainer import ShortTraining
from sublm.tasks import (
    Encoded,
    build_model,
    count_batches,
    encode,
    evaluation_batches,
    load_task,
    load_tokenizer,
    training_batches,
)
from sublm.training import TaskObjective
from sublm.training.objectives import PretrainingObjective

_SECTION_BATCH = 32
_SECTION_SEED = 0
"""Of the masks of the section, the same for all."""


@dataclass(frozen=True)
class Material:
    """Everything that is read before the search.

    Attributes:
        family: What candidates have in common.
        surrogate: Trains them.
        chance: The loss of guessing.
        described: In words, for the result.
        tokenizer: Of the model, or of the corpus; None if that keeps none.
    """

    family: Family
    surrogate: ShortTraining
    chance: float
    described: dict[str, Any]
    tokenizer: Any


def read_material(settings: ExtractionSettings) -> Material:
    """Reads the data and the model.

    Raises:
        DataError: If they do not fit each other, or are too small.
        UnsupportedModelError: If the model's family is not known.
    """
    return _text(settings) if settings.corpus is not None else _task(settings)


def _text(s: ExtractionSettings) -> Material:
    assert s.corpus is not None
    corpus = Corpus.open(s.corpus)
    if s.model is None:
        tokenizer = corpus.load_tokenizer()
        family = family_of_corpus(corpus, tokenizer)
    else:
        tokenizer = load_tokenizer(s.model)
        corpus.check_tokenizer(tokenizer)
        family = family_of_model(s.model, s.start)
    size = int(family.config.vocab_size)
    if corpus.vocabulary.size > size:
        raise DataError(
            f"{s.corpus} has {corpus.vocabulary.size} tokens, the model {size}: they do not belong together."
        )
    if corpus.length > family.reads:
        raise DataError(
            f"{s.corpus} has pieces of {corpus.length} tokens, the model reads {family.reads}. Make a corpus with "
            f"`sublm pretrain-data --length {family.reads}`."
        )
    if len(corpus) < s.section + max(s.batch_size):
        raise DataError(
            f"{s.corpus} has {len(corpus)} pieces; --section {s.section} and a batch of {max(s.batch_size)} take "
            f"{s.section + max(s.batch_size)}. Give more text, or a smaller --section."
        )
    kept = len(corpus) - s.section
    learned, held = corpus.section(rows=kept), corpus.section(kept)
    masking = Masking()
    held_batches = PieceBatches(held, batch_size=_SECTION_BATCH, masking=masking, seed=_SECTION_SEED, shuffle=False)
    objective = PretrainingObjective()
    section = [batch for batch in held_batches(0) if objective.count(batch)]
    if not section:
        raise DataError(f"No token of the {s.section} pieces of the section is masked: they are too short.")
    surrogate = ShortTraining(
        make=family.make,
        epochs=lambda batch_size, seed: PieceBatches(learned, batch_size=batch_size, masking=masking, seed=seed),
        section=section,
        objective=objective,
        steps=s.train_steps,
        checks=s.checks,
        precision=s.precision,
        mark={**family.mark, "learned": learned.fingerprint, "section": held.fingerprint, "masking": plain(masking)},
    )
    described = {
        "loss": "masked language model",
        "pieces": len(learned),
        "section": {"pieces": len(held), "masked_tokens": sum(map(objective.count, section))},
        "length": corpus.length,
        "vocabulary": size,
    }
    return Material(family, surrogate, math.log(size), described, tokenizer)


def _task(s: ExtractionSettings) -> Material:
    assert s.task is not None
    assert s.model is not None
    task_data = load_task(s.task, limit=s.limit, seed=s.seed)
    task, tokenizer = task_data.task, load_tokenizer(s.model)
    family = family_of_model(s.model, s.start)
    train = encode(task_data.train, task, tokenizer, s.length)
    held = encode(task_data.search, task, tokenizer, s.length)
    held = held.select(np.arange(min(s.section, len(held))))
    longest = max(int(rows.lengths.max()) for rows in (train, held))
    if longest > family.reads:
        raise DataError(
            f"{s.task}: the longest text has {longest} tokens, the model reads {family.reads}. Pass --length "
            f"{family.reads}."
        )
    pad = int(tokenizer.pad_token_id or 0)
    section = list(evaluation_batches(held, pad_token_id=pad))

    def epochs(batch_size: int, seed: int) -> Any:
        return lambda epoch: training_batches(train, batch_size, seed=seed, epoch=epoch, pad_token_id=pad)

    surrogate = ShortTraining(
        make=lambda shape, seed: build_model(family.make(shape, seed), task, seed=seed)[0],
        epochs=epochs,
        section=section,
        objective=TaskObjective(task.kind),
        steps=s.train_steps,
        checks=s.checks,
        precision=s.precision,
        mark={**family.mark, "data": task_data.fingerprint, "length": s.length, "section": len(held)},
    )
    described = {
        "loss": f"{task.name} ({task.kind})",
        "rows": len(train),
        "steps_per_epoch": [count_batches(train, size) for size in s.batch_size],
        "section": {"rows": len(held)},
        "length": s.length,
    }
    return Material(family, surrogate, chance_loss(task.kind, len(task.labels), held, section), described, tokenizer)


def chance_loss(kind: str, labels: int, held: Encoded, section: Sequence[dict[str, Tensor]]) -> float:
    """The loss of guessing: the logarithm of how many answers there are, or the variance of the values.

    Args:
        kind: Kind of the task.
        labels: Classes of a classification.
        held: The rows of the section.
        section: Their batches.
    """
    if kind == "regression":
        return max(1e-6, float(np.var(held.labels)))
    if kind == "span":
        return math.log(max(2.0, float(held.lengths.mean())))
    return math.log(max(2, held.choices if held.chooses else labels))
