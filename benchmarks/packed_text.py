"""The text that benchmarks of pre-training share, and the processor time that they report."""

from __future__ import annotations

import resource
from pathlib import Path

from sublm.pretraining import build_corpus
from sublm.tasks import load_tokenizer

TEXTS = ("books", "wikitext2")


def pack(data: Path, model: str, work: Path, length: int) -> tuple[Path, Path]:
    """The corpora to train and to validate on."""
    found = []
    for name, split in (("corpus", "train"), ("validation", "validation")):
        texts = [data / text / f"{split}.parquet" for text in TEXTS]
        folder = work / f"{name}-{length}"
        build_corpus(texts, load_tokenizer(model), folder, length=length, packing="stream", column="text")
        found.append(folder)
    return found[0], found[1]


def processor_minutes() -> float:
    """Of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used) / 60
