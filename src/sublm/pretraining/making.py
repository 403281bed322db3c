"""Making a corpus's shards: one or more for every part of the text, in any order, by any number of processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import RunError
from sublm.pretraining.packing import Packing
from sublm.pretraining.pieces import make_pieces, tokenise
from sublm.pretraining.shards import read_counts, write_shard
from sublm.pretraining.sources import Source
from sublm.pretraining.vocabulary import Vocabulary, open_portable
from sublm.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Part:
    """A part of a source, which becomes one shard for every copy."""

    number: int
    source: int
    start: int
    stop: int


@dataclass(frozen=True)
class Job:
    """What every process needs to make shards.

    Attributes:
        sources: The texts.
        tokenizer: As `portable` wrote it.
        vocabulary: Its special tokens.
        length: Tokens of a piece, at most.
        packing: How pieces are filled.
        duplicates: Copies of every text.
        seed: Decides where the pieces of further copies begin.
        folder: Where the shards go.
    """

    sources: tuple[Source, ...]
    tokenizer: str
    vocabulary: Vocabulary
    length: int
    packing: Packing
    duplicates: int
    seed: int
    folder: Path

    def path(self, part: Part, copy: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{part.number:06d}-{copy}.arrow"


def make_shards(job: Job, part: Part, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Makes the shards of a part, one per copy.

    Returns:
        The counts of each.
    """
    source = job.sources[part.source]
    tokens = tokenise(source.read(part.start, part.stop), tokenizer)
    found = []
    for copy in range(job.duplicates):
        rng = np.random.default_rng([job.seed, copy, part.number]) if copy else None
        pieces = make_pieces(tokens, job.vocabulary, length=job.length, packing=job.packing, rng=rng)
        counts = {
            "rows": len(pieces),
            "tokens": pieces.tokens,
            "one_token": pieces.one_token,
            "split": pieces.split,
            "documents": len(tokens.ends),
            "sentences": len(tokens.lengths),
            "empty": tokens.empty,
            "characters": tokens.characters,
        }
        write_shard(job.path(part, copy), pieces, job.vocabulary.size, counts)
        found.append(counts)
    return found


def make_all(job: Job, parts: Sequence[Part], workers: int, progress: Progress) -> list[list[dict[str, Any]]]:
    """The counts of all shards, made or found, by part and copy."""
    found: dict[int, list[dict[str, Any]]] = {}
    for part in parts:
        counts = [read_counts(job.path(part, copy)) for copy in range(job.duplicates)]
        if None not in counts:
            found[part.number] = [count for count in counts if count is not None]
    left = [part for part in parts if part.number not in found]
    tokens = sum(copies[0]["tokens"] for copies in found.values())
    progress.update(len(found), len(parts))
    for number, copies in _made(job, left, min(workers, len(left))):
        found[number] = copies
        tokens += copies[0]["tokens"]
        progress.update(len(found), len(parts), tokens=tokens)
    return [found[part.number] for part in parts]


def _made(job: Job, parts: Sequence[Part], workers: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Makes the shards of parts, in any order."""
    if workers <= 1:
        tokenizer = open_portable(job.tokenizer)
        for part in parts:
            yield part.number, make_shards(job, part, tokenizer)
        return
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # Started afresh rather than forked: a fork would copy torch's and the tokenizer's threads in an unknown state.
    with _single_threads():
        executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(job,))
        waiting, queue = set(), iter(parts)
        try:
            for part in queue:
                waiting.add(executor.submit(_work, part))
                if len(waiting) >= 2 * workers:
                    break
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    if (following := next(queue, None)) is not None:
                        waiting.add(executor.submit(_work, following))
        except BrokenProcessPool:
            raise RunError(
                "A process that tokenised was killed, perhaps for want of memory. Run the same again, with fewer "
                "workers or a smaller shard_mib; the shards that are done stay."
            ) from None
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


_state: dict[str, Any] = {}  # of a worker process: its job and tokenizer


def _start_worker(job: Job) -> None:
    import os
    import threading
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends its workers in order
    parent = parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)  # a parent that was killed cannot say so; its worker must not write on beside a new one

    threading.Thread(target=end_with_parent, daemon=True).start()
    _state.update(job=job, tokenizer=open_portable(job.tokenizer))


def _work(part: Part) -> tuple[int, list[dict[str, Any]]]:
    return part.number, make_shards(_state["job"], part, _state["tokenizer"])


@contextmanager
def _single_threads() -> Iterator[None]:
    """Processes started inside tokenise with one thread each; the cores are shared by processes already."""
    import os

    names = ("TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
