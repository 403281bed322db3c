"""From sentences to pieces: tokenised in bulk, packed, special tokens put around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from sublm.errors import DataError
from sublm.pretraining.packing import Packing, first_room, pack_dense, pack_sentences
from sublm.pretraining.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 1 << 18  # characters tokenised at a time: the tokenizer's own objects take some hundred bytes per token


@dataclass(frozen=True)
class Tokens:
    """The tokens of a part of the text.

    Attributes:
        ids: [tokens] int32.
        continues: [tokens] whether a token goes on with the word of the token before it.
        lengths: [sentences] tokens of each sentence that has any.
        ends: [documents] how many of these sentences there are up to the end of each document that has any.
        empty: Sentences without a token, left out.
        characters: Of all sentences.
    """

    ids: np.ndarray
    continues: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray
    empty: int
    characters: int


@dataclass(frozen=True)
class Pieces:
    """Rows for a model.

    Attributes:
        offsets: [rows + 1] where rows begin and end.
        ids: [tokens] of all rows, special tokens included.
        continues: [tokens] whether a token goes on with the word of the token before it.
        tokens: Tokens of the text in them.
        one_token: Pieces left out because they held one token, with nothing to be told from.
        split: Sentences longer than a piece.
    """

    offsets: np.ndarray
    ids: np.ndarray
    continues: np.ndarray
    tokens: int
    one_token: int
    split: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


def tokenise(sentences: Iterable[str | None], tokenizer: Tokenizer) -> Tokens:
    """Tokenises sentences, each by itself.

    Args:
        sentences: None where a document ends.
        tokenizer: The tokenizer.
    """
    ids, continues = [np.zeros(0, np.int32)], [np.zeros(0, bool)]
    lengths = [np.zeros(0, np.int64)]
    ends: list[int] = []
    kept = empty = characters = 0
    for texts, marks in _chunks(sentences):
        encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
        sizes = np.fromiter(map(len, encodings), np.int64, len(encodings))
        total = int(sizes.sum())
        ids.append(np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32, total))
        words = np.fromiter(chain.from_iterable(map(_words, encodings)), np.int64, total)
        same = np.zeros(total, bool)
        same[1:] = words[1:] == words[:-1]
        begins = np.cumsum(sizes[:-1])
        same[begins[begins < total]] = False
        continues.append(same)
        filled = np.cumsum(np.append(0, sizes > 0))
        ends += (kept + filled[marks]).tolist()
        kept += int(filled[-1])
        empty += len(texts) - int(filled[-1])
        characters += sum(map(len, texts))
        lengths.append(sizes[sizes > 0])
    closed = np.unique(np.array([*ends, kept], dtype=np.int64))
    return Tokens(
        np.concatenate(ids),
        np.concatenate(continues),
        np.concatenate(lengths),
        closed[closed > 0],
        empty,
        characters,
    )


def make_pieces(
    tokens: Tokens, vocabulary: Vocabulary, *, length: int, packing: Packing, rng: np.random.Generator | None = None
) -> Pieces:
    """Packs the tokens of a part.

    Args:
        tokens: The tokens.
        vocabulary: Says which tokens stand around a piece and between documents.
        length: Tokens of a piece, at most, special ones included.
        packing: How pieces are filled.
        rng: Given for a further copy of the text: where its pieces begin is drawn from it.
    """
    capacity = room(vocabulary.around, length)
    begins = np.append(0, tokens.ends[:-1]) if len(tokens.ends) else tokens.ends
    sizes = tokens.lengths.tolist()
    if packing == "sentences":
        documents = [sizes[begin:end] for begin, end in zip(begins.tolist(), tokens.ends.tolist(), strict=True)]
        between = None
    else:
        if vocabulary.separator is None:
            raise DataError("The tokenizer has no token to put between documents. Use packing='sentences'.")
        tokens, between, sizes = _with_separators(tokens, vocabulary.separator)
        documents = [sizes]
    ends: list[int] = []
    base = 0
    for document in documents:
        first = first_room(rng, capacity) if rng is not None else None
        total = sum(document)
        found = pack_dense(total, capacity, first) if packing == "dense" else pack_sentences(document, capacity, first)
        ends += [base + end for end in found]
        base += total
    stops = np.array(ends, dtype=np.int64)
    starts = np.append(0, stops[:-1]) if len(stops) else stops
    separators = 0
    if between is not None and len(stops):  # a separator separates nothing at the edge of a piece
        starts = starts + between[starts]
        stops = stops - between[stops - 1]
        separators = int(between.sum())
    kept = stops - starts > 1
    one_token = int((stops - starts == 1).sum())
    starts, stops = starts[kept], stops[kept]
    inside = np.concatenate([[0], np.cumsum(between)]) if between is not None and separators else None
    inner = 0 if inside is None else int((inside[stops] - inside[starts]).sum())
    offsets, ids, continues = _surround(tokens, starts, stops, vocabulary)
    return Pieces(
        offsets=offsets,
        ids=ids,
        continues=continues,
        tokens=int((stops - starts).sum()) - inner,
        one_token=one_token,
        split=int((tokens.lengths > capacity).sum()),
    )


def room(around: int, length: int) -> int:
    """Tokens of the text that a piece holds.

    Args:
        around: Special tokens of a piece.
        length: Tokens of a piece, at most.

    Raises:
        DataError: If fewer than two do.
    """
    if length < around + 2:
        raise DataError(
            f"length={length} leaves no room for two tokens beside the {around} special ones; {around + 2} do."
        )
    return length - around


def _surround(
    tokens: Tokens, starts: np.ndarray, stops: np.ndarray, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with the special tokens: offsets, ids, continues."""
    before, after = len(vocabulary.prefix), len(vocabulary.suffix)
    offsets = np.append(0, np.cumsum(stops - starts + before + after)).astype(np.int64)
    # Tokens keep their order, so it is enough to mark which of them are kept and which places are theirs.
    edges = np.zeros(len(tokens.ids) + 1, np.int8)
    edges[starts] += 1
    edges[stops] -= 1
    kept = np.cumsum(edges[:-1], dtype=np.int8).view(bool)
    theirs = np.ones(offsets[-1], bool)
    ids = np.empty(offsets[-1], np.int32)
    for place, token in enumerate(vocabulary.prefix):
        ids[offsets[:-1] + place] = token
        theirs[offsets[:-1] + place] = False
    for place, token in enumerate(reversed(vocabulary.suffix)):
        ids[offsets[1:] - 1 - place] = token
        theirs[offsets[1:] - 1 - place] = False
    ids[theirs] = tokens.ids[kept]
    continues = np.zeros(offsets[-1], bool)
    continues[theirs] = tokens.continues[kept]
    continues[offsets[:-1] + before] = False  # a word that was cut begins anew
    return offsets, ids, continues


def _with_separators(tokens: Tokens, separator: int) -> tuple[Tokens, np.ndarray, list[int]]:
    """The tokens with a separator between documents, where these are, and the lengths with it as a sentence."""
    total = np.append(0, np.cumsum(tokens.lengths))
    places = total[tokens.ends[:-1]]
    between = np.insert(np.zeros(len(tokens.ids), np.int64), places, 1)
    sizes = np.insert(tokens.lengths, tokens.ends[:-1], 1).tolist()
    ids, continues = np.insert(tokens.ids, places, separator), np.insert(tokens.continues, places, False)
    return Tokens(ids, continues, tokens.lengths, tokens.ends, tokens.empty, tokens.characters), between, sizes


def _chunks(sentences: Iterable[str | None]) -> Iterator[tuple[list[str], list[int]]]:
    """Texts to tokenise together, and after how many of them documents end."""
    texts: list[str] = []
    marks: list[int] = []
    size = 0
    for sentence in sentences:
        if sentence is None:
            marks.append(len(texts))
            continue
        texts.append(sentence)
        size += len(sentence)
        if size >= _CHUNK or len(texts) >= 8192:
            yield texts, marks
            texts, marks, size = [], [], 0
    if texts or marks:
        yield texts, marks


def _words(encoding: Any) -> list[int]:
    """A word's number for every token; a token that belongs to no word is one by itself."""
    words = encoding.word_ids
    return [-place - 1 if word is None else word for place, word in enumerate(words)] if None in words else words
