"""Reading a corpus: rows by number from shards mapped into memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import DataError, RunError
from sublm.files import fingerprint, read_json
from sublm.pretraining.build import FORMAT, META, PLAN, SHARDS, TOKENIZER
from sublm.pretraining.shards import Shard, open_shard
from sublm.pretraining.vocabulary import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_OPEN = 64  # shards mapped at a time


@dataclass(frozen=True, eq=False)
class Corpus:
    """Packed pieces on disk, or a section of them.

    Attributes:
        folder: Where they lie.
        meta: The content of corpus.json: sources, tokenizer, length, counts, shards.
        start: Number of the first row.
        stop: Number after the last row.
    """

    folder: Path
    meta: dict[str, Any]
    start: int
    stop: int
    _opened: OrderedDict[int, Shard] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Opens a corpus.

        Raises:
            RunError: If there is none, it is not complete, or was written by a later version.
        """
        folder = Path(folder)
        if not (folder / META).is_file():
            half = (folder / PLAN).is_file()
            raise RunError(
                f"{folder} holds {'a corpus that is not complete' if half else 'no corpus'}; "
                f"{'run the same `sublm pretrain-data` again' if half else 'make one with `sublm pretrain-data`'}."
            )
        meta = read_json(folder / META)
        if meta.get("format") != FORMAT:
            raise RunError(f"{folder} has the format {meta.get('format')}; this version reads {FORMAT}. Make it anew.")
        return cls(folder, meta, 0, sum(shard["rows"] for shard in meta["shards"]))

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def length(self) -> int:
        """Tokens of the longest row there can be."""
        return int(self.meta["length"])

    @property
    def vocabulary(self) -> Vocabulary:
        """Of the tokenizer it was made with."""
        return Vocabulary.from_dict(self.meta["tokenizer"])

    @property
    def fingerprint(self) -> str:
        """Of all that decides its rows."""
        return fingerprint([{key: value for key, value in self.meta.items() if key != "counts"}, self.start, self.stop])

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer it was made with; None if it was made before corpora kept theirs.

        Raises:
            DataError: If what is kept is another one, or damaged.
        """
        from sublm.tasks import load_tokenizer

        if not (self.folder / TOKENIZER).is_dir():
            return None
        tokenizer = load_tokenizer(self.folder / TOKENIZER)
        self.check_tokenizer(tokenizer)
        return tokenizer

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Refuses a tokenizer other than the one it was made with.

        Raises:
            DataError: If it is another.
        """
        other, own = vocabulary_of(tokenizer), self.vocabulary
        if other.fingerprint != own.fingerprint:
            raise DataError(
                f"{self.folder} was made with another tokenizer (of {own.size} tokens) than the model's "
                f"(of {other.size}). Make it anew with `sublm pretrain-data --tokenizer` and the model."
            )

    def section(self, start: int = 0, *, rows: int | None = None, tokens: int | None = None) -> Corpus:
        """Some of its rows, one after the other as in the text; they keep their numbers.

        Args:
            start: Rows left out before.
            rows: How many, at most; all if not said.
            tokens: Tokens of them together, special ones included, at most.

        Raises:
            DataError: If nothing is left.
        """
        stop = self.stop if rows is None else min(self.stop, self.start + start + rows)
        if tokens is not None:
            stop = self._within(self.start + start, stop, tokens)
        if start < 0 or self.start + start >= stop:
            raise DataError(
                f"No row is left of {len(self)} with start={start}, rows={rows}, tokens={tokens}. Ask for more."
            )
        return Corpus(self.folder, self.meta, self.start + start, stop, self._opened)

    def rows(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Token numbers of rows, each a view of the file."""
        return self._each(numbers, Shard.row)

    def continues(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Whether each token of rows goes on with the word before it."""
        return self._each(numbers, Shard.row_continues)

    def segments(self) -> tuple[np.ndarray, np.ndarray]:
        """First row and number of rows of every shard that has any of them."""
        bounds = self._bounds
        first, last = np.maximum(bounds[:-1], self.start), np.minimum(bounds[1:], self.stop)
        kept = last > first
        return first[kept], (last - first)[kept]

    def lengths(self, start: int, stop: int) -> np.ndarray:
        """[stop - start] tokens of consecutive rows, special ones included."""
        bounds = self._bounds
        found = [np.zeros(0, np.int64)]
        for number in range(*np.searchsorted(bounds, [start, stop], side="right") - [1, 0]):
            if number < len(bounds) - 1:
                low, high = max(start, bounds[number]) - bounds[number], min(stop, bounds[number + 1]) - bounds[number]
                found.append(np.diff(self._shard(number).offsets[low : high + 1]))
        return np.concatenate(found)

    def _each(self, numbers: np.ndarray, read: Callable[[Shard, int], np.ndarray]) -> list[np.ndarray]:
        bounds = self._bounds
        shards = np.searchsorted(bounds, numbers, side="right") - 1
        places = numbers - bounds[shards]
        return [read(self._shard(s), r) for s, r in zip(shards.tolist(), places.tolist(), strict=True)]

    def _within(self, start: int, stop: int, tokens: int) -> int:
        """The row at which a budget of tokens is used up."""
        at = start
        while at < stop:
            some = np.cumsum(self.lengths(at, min(stop, at + (1 << 16))))
            fitting = int(np.searchsorted(some, tokens, side="right"))
            if fitting < len(some):
                return at + fitting
            at, tokens = at + len(some), tokens - int(some[-1])
        return stop

    @cached_property
    def _bounds(self) -> np.ndarray:
        """[shards + 1] numbers of the rows at which shards begin."""
        rows = [shard["rows"] for shard in self.meta["shards"]]
        return np.append(0, np.cumsum(rows)).astype(np.int64)

    def _shard(self, number: int) -> Shard:
        """A shard; the one longest unused is let go when too many are open."""
        shard = self._opened.get(number)
        if shard is None:
            entry = self.meta["shards"][number]
            shard = open_shard(self.folder / SHARDS / entry["file"])
            if len(shard.offsets) - 1 != entry["rows"]:
                raise RunError(
                    f"{entry['file']} in {self.folder} has {len(shard.offsets) - 1} rows where {META} says "
                    f"{entry['rows']}. Make the corpus anew."
                )
            while len(self._opened) >= _OPEN:
                self._opened.popitem(last=False)
            self._opened[number] = shard
        self._opened.move_to_end(number)
        return shard
