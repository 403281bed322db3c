"""Building a corpus: what is to be done, who may do it, and what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.errors import DataError, RunError
from sublm.files import PART, read_json, write_json
from sublm.lock import FolderLock
from sublm.machine import usable_cores
from sublm.pretraining.making import Job, Part, make_all
from sublm.pretraining.new_vocabulary import AROUND, NewVocabulary, trained_tokenizer, write_tokenizer
from sublm.pretraining.packing import PACKINGS, Packing
from sublm.pretraining.pieces import room
from sublm.pretraining.sources import Documents, Source, open_sources
from sublm.pretraining.vocabulary import Vocabulary, portable, vocabulary_of
from sublm.progress import Progress

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from sublm.pretraining.corpus import Corpus

FORMAT = 1
PLAN, META, SHARDS, TOKENIZER = "plan.json", "corpus.json", "shards", "tokenizer"
_OWN = {PLAN, META, SHARDS, TOKENIZER, ".lock"}
_TEXT_COUNTS = ("documents", "sentences", "empty", "split", "characters")  # of the text, however often it is packed
_PIECE_COUNTS = ("rows", "tokens", "one_token")


def build_corpus(
    texts: Sequence[str | Path | Dataset],
    tokenizer: PreTrainedTokenizerBase | NewVocabulary,
    out: str | Path,
    *,
    length: int = 128,
    packing: Packing = "sentences",
    column: str | None = None,
    documents: Documents | None = None,
    duplicates: int = 1,
    seed: int = 0,
    shard_mib: float = 8.0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Tokenises and packs texts into shards on disk.

    Killed at any moment, the same call goes on with the shards that are missing. What is written depends on the
    arguments above `workers` alone. Memory depends on the size of a shard and the number of workers alone.

    Args:
        texts: Files of plain text, JSON lines or parquet, folders of them, names of data sets, loaded data sets.
        tokenizer: A fast one; or what kind of one to train on these texts first. It is kept in `OUT/tokenizer`.
        out: The folder of the corpus.
        length: Tokens of a piece, at most, special ones included.
        packing: "sentences", "stream" or "dense"; see `sublm.pretraining.packing`.
        column: Where records hold the text.
        documents: What ends a document: "blank_line" or "row".
        duplicates: How often every text is packed; in further copies its pieces begin elsewhere.
        seed: Of these beginnings.
        shard_mib: Text of a shard, in MiB, about.
        workers: Processes that tokenise; 0 takes one per core. They import the main script again, so a script that
            asks for several needs the usual `if __name__ == "__main__":`.
        overwrite: Replace a corpus of other arguments.
        progress: Told how many shards are done.

    Returns:
        The corpus.

    Raises:
        DataError: If a text cannot be read, or an argument does not fit.
        RunError: If the folder holds something else, or a corpus of other arguments.
    """
    progress = progress or Progress()
    _check(length, packing, duplicates, seed, shard_mib, workers, tokenizer)
    room(AROUND if isinstance(tokenizer, NewVocabulary) else vocabulary_of(tokenizer).around, length)
    sources = open_sources(texts, column=column, documents=documents)
    folder = Path(out)
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder):
        with progress.stage("Reading the texts once", total=len(sources), unit="file"):
            described = _describe(sources, progress)
        kept = folder / TOKENIZER
        trains = isinstance(tokenizer, NewVocabulary)
        if isinstance(tokenizer, NewVocabulary):
            _check_claim(folder, {"sources": described, "length": length}, overwrite=overwrite)  # before it is trained
            tokenizer = trained_tokenizer(tokenizer, sources, described, kept, overwrite=overwrite, progress=progress)
        vocabulary = vocabulary_of(tokenizer)
        plan = _plan(described, vocabulary, length, packing, duplicates, seed, shard_mib)
        replaced = _claim(folder, plan, overwrite=overwrite)
        if not trains and (replaced or not kept.exists()):
            write_tokenizer(tokenizer, kept)
        job = Job(
            sources=tuple(sources),
            tokenizer=portable(tokenizer),
            vocabulary=vocabulary,
            length=length,
            packing=packing,
            duplicates=duplicates,
            seed=seed,
            folder=folder / SHARDS,
        )
        parts = _parts(sources, round(shard_mib * (1 << 20)))
        with progress.stage("Tokenising", total=len(parts), unit="shard"):
            counts = make_all(job, parts, workers or usable_cores(), progress)
        meta = {**plan, "counts": _total(counts), "shards": _list(job, parts, counts)}
        if not meta["counts"]["rows"]:
            raise DataError(_nothing(meta["counts"]))
        write_json(folder / META, meta)
    from sublm.pretraining.corpus import Corpus

    return Corpus.open(folder)


# --- what is to be done ----------------------------------------------------------------------------------------------


def _describe(sources: Sequence[Source], progress: Progress) -> list[dict[str, Any]]:
    """What tells the texts from others, read whole."""
    described = []
    for number, source in enumerate(sources):
        progress.update(number)
        kept = {"column": getattr(source, "column", None), "documents": getattr(source, "documents", None)}
        described.append({"name": source.name, "fingerprint": source.fingerprint(), **kept})
    progress.update(len(sources))
    return described


def _plan(
    described: list[dict[str, Any]],
    vocabulary: Vocabulary,
    length: int,
    packing: Packing,
    duplicates: int,
    seed: int,
    shard_mib: float,
) -> dict[str, Any]:
    """All that decides the shards, as plain data."""
    return {
        "format": FORMAT,
        "tokenizer": vocabulary.to_dict(),
        "length": length,
        "packing": packing,
        "duplicates": duplicates,
        "seed": seed,
        "shard_mib": float(shard_mib),
        "sources": described,
    }


def _parts(sources: Sequence[Source], size: int) -> list[Part]:
    ranges = [(number, *part) for number, source in enumerate(sources) for part in source.parts(size)]
    return [Part(number, *given) for number, given in enumerate(ranges)]


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder with out=.")
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _OWN) if folder.is_dir() else []
    foreign = [name for name in foreign if not name.endswith(PART)]
    if foreign:
        raise RunError(f"{folder} holds {', '.join(foreign[:3])}, which is no corpus; name an empty folder with out=.")


def _claim(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> bool:
    """Makes the folder this plan's: empty of any other's shards, and of what a killed process left half written.

    Returns:
        Whether it was another's.
    """
    shards = folder / SHARDS
    other = _check_claim(folder, plan, overwrite=overwrite)
    if other:
        (folder / META).unlink(missing_ok=True)
        shutil.rmtree(shards, ignore_errors=True)
    write_json(folder / PLAN, plan)
    shards.mkdir(exist_ok=True)
    for left in shards.glob(f"*{PART}"):
        left.unlink(missing_ok=True)
    return other


def _check_claim(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether the folder holds a corpus of another plan, of which a part may be given.

    Raises:
        RunError: If it does, and is not to be overwritten.
    """
    from sublm.files import plain

    if not (folder / PLAN).exists():
        if (folder / SHARDS).exists():
            raise RunError(f"{folder} holds shards without {PLAN}; remove them, or name another folder with out=.")
        return False
    wanted, found = plain(plan), read_json(folder / PLAN)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing and not overwrite:
        raise RunError(
            f"{folder} holds a corpus made with {_differences(found, wanted, differing)}. Name another folder with "
            "out=, or replace it with overwrite."
        )
    return bool(differing)


def _differences(found: dict[str, Any], wanted: dict[str, Any], names: Sequence[str]) -> str:
    words = []
    for name in names:
        simple = not isinstance(wanted[name], (dict, list)) and name in found
        words.append(f"{name}={found[name]} (now {wanted[name]})" if simple else f"other {name}")
    return ", ".join(words)


def _check(
    length: int, packing: str, duplicates: int, seed: int, shard_mib: float, workers: int, tokenizer: Any
) -> None:
    if packing not in PACKINGS:
        raise DataError(f"packing={packing!r} is unknown; choose one of {', '.join(PACKINGS)}.")
    for name, value, least in (("duplicates", duplicates, 1), ("seed", seed, 0), ("workers", workers, 0)):
        if value < least:
            raise DataError(f"{name}={value} must be at least {least}.")
    if not 0.001 <= shard_mib <= 256:
        raise DataError(f"shard_mib={shard_mib:g} must be between 0.001 and 256.")
    longest = getattr(tokenizer, "model_max_length", None)
    if longest is not None and length > longest:
        raise DataError(f"length={length} is more than the {longest} tokens that the model reads.")


# --- what was done ---------------------------------------------------------------------------------------------------


def _total(counts: Sequence[Sequence[dict[str, Any]]]) -> dict[str, int]:
    text = {name: sum(copies[0][name] for copies in counts) for name in _TEXT_COUNTS}
    pieces = {name: sum(copy[name] for copies in counts for copy in copies) for name in _PIECE_COUNTS}
    return {**pieces, **text}


def _list(job: Job, parts: Sequence[Part], counts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The shards, all of the first copy before those of the second."""
    return [
        {"file": job.path(part, copy).name, "rows": copies[copy]["rows"], "tokens": copies[copy]["tokens"]}
        for copy in range(job.duplicates)
        for part, copies in zip(parts, counts, strict=True)
    ]


def _nothing(counts: dict[str, int]) -> str:
    return (
        f"The texts gave no piece: {counts['sentences']} sentences with text, {counts['empty']} empty ones, "
        f"{counts['one_token']} pieces of one token. Check that the files, and text=, are the ones meant."
    )
