"""A vocabulary of one's own, trained on the text that is packed with it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sublm.errors import DataError, RunError
from sublm.files import PART, plain, read_json, write_json
from sublm.pretraining.sources import Source
from sublm.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

Kind = Literal["wordpiece", "bpe"]
LEAST = {"wordpiece": 100, "bpe": 256 + 5}
"""Fewest tokens of a kind; byte-level BPE has all bytes and the special tokens."""
AROUND = 2
"""Special tokens that tokenizers of both kinds put around a text."""
TRAINED = "trained.json"
"""In a tokenizer's folder: from what, and how, it was trained."""
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_PART, _BATCH = 8 << 20, 1000  # bytes of text read, and texts counted, at a time
_ALPHABET = 1000  # characters that WordPiece keeps at most; rarer ones make a word unknown


@dataclass(frozen=True)
class NewVocabulary:
    """What kind of vocabulary to train.

    Attributes:
        size: Tokens, special ones included; fewer where the text gives no more.
        kind: "wordpiece", as BERT's, with [CLS] and [SEP]; or "bpe", of bytes, as RoBERTa's, with <s> and </s>.
        cased: Whether WordPiece tells upper from lower case, and accents from none; BPE always does.
    """

    size: int
    kind: Kind = "wordpiece"
    cased: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"vocabulary_kind={self.kind!r} is not known; choose one of {', '.join(get_args(Kind))}.")
        if self.size < LEAST[self.kind]:
            raise DataError(
                f"A {self.kind} vocabulary of {self.size} tokens is too small: train_vocabulary must be at least "
                f"{LEAST[self.kind]}; 30000 is usual."
            )


Texts = Callable[[], Iterable[list[str]]]
"""Gives the texts from the beginning, some at a time."""


def train_tokenizer(new: NewVocabulary, texts: Texts) -> PreTrainedTokenizerBase:
    """A tokenizer of transformers' with a vocabulary trained on texts: the same for the same texts.

    Memory grows with the number of different words, not with the text.

    Args:
        new: What kind.
        texts: Gives lists of texts; asked twice for WordPiece, which counts characters first.

    Raises:
        DataError: If the texts hold no word.
    """
    tokenizer = _train_wordpiece(new, texts) if new.kind == "wordpiece" else _train_bpe(new, texts)
    special = len(tokenizer.all_special_tokens)
    if len(tokenizer) <= special + (256 if new.kind == "bpe" else 0):
        raise DataError(
            "The texts hold too few words to train a vocabulary on. Check that the files, and text=, are those meant."
        )
    return tokenizer


def trained_tokenizer(
    new: NewVocabulary,
    sources: Sequence[Source],
    described: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    overwrite: bool,
    progress: Progress,
) -> PreTrainedTokenizerBase:
    """Trains a tokenizer on texts and keeps it in a folder, or takes the one that is there.

    Args:
        new: What kind.
        sources: The texts.
        described: Their names and fingerprints.
        folder: Where the tokenizer lies; its folder is that of a corpus.
        overwrite: Replace one that was trained otherwise.
        progress: Told how far it is.

    Raises:
        RunError: If the folder holds another tokenizer.
        DataError: If the texts hold no word.
    """
    from sublm.tasks import load_tokenizer

    wanted = plain({"vocabulary": asdict(new), "sources": list(described)})
    found = read_json(folder / TRAINED) if (folder / TRAINED).is_file() else None
    if found == wanted:
        return load_tokenizer(folder)
    if folder.exists() and not overwrite:
        raise RunError(
            f"{folder} holds {_difference(found, wanted)}. Name another folder with out=, or replace it with overwrite."
        )
    with progress.stage("Training the vocabulary", total=len(sources), unit="file"):
        tokenizer = train_tokenizer(new, lambda: _texts(sources, progress))
    write_tokenizer(tokenizer, folder, wanted)
    return tokenizer


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, trained: Mapping[str, Any] | None = None) -> None:
    """Writes a tokenizer, whole or not at all, in place of one that is there.

    Args:
        tokenizer: The tokenizer.
        folder: Its folder.
        trained: What it was trained on, if it was.
    """
    for left in folder.parent.glob(f".{folder.name}.*{PART}"):
        shutil.rmtree(left, ignore_errors=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}{PART}")
    tokenizer.save_pretrained(str(beside))
    if trained is not None:
        write_json(beside / TRAINED, trained)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(beside, folder)


def _train_wordpiece(new: NewVocabulary, texts: Texts) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    inner = Tokenizer(models.WordPiece(unk_token=_BERT[1]))
    inner.normalizer = normalizers.BertNormalizer(lowercase=not new.cased)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet, inside = _alphabet(inner, texts(), min(_ALPHABET, (new.size - len(_BERT)) // 2))
    # The trainer would number the characters inside words as it comes across them, in another order every time, and
    # break ties by those numbers; so they are given to it.
    trainer = trainers.WordPieceTrainer(
        vocab_size=new.size,
        special_tokens=[*_BERT, *(f"##{character}" for character in inside)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    inner.train_from_iterator(texts(), trainer)
    return BertTokenizer(vocab=_by_number(inner.get_vocab()), do_lower_case=not new.cased)


def _train_bpe(new: NewVocabulary, texts: Texts) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import AddedToken, RobertaTokenizer

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=new.size,
        special_tokens=list(_ROBERTA),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts(), trainer)
    # transformers annotates both more narrowly than what it takes.
    merges: Any = [tuple(pair) for pair in json.loads(inner.to_str())["model"]["merges"]]
    mask: Any = AddedToken(_ROBERTA[4], lstrip=True, special=True)  # it stands for a word and the space before it
    return RobertaTokenizer(vocab=_by_number(inner.get_vocab()), merges=merges, mask_token=mask)


def _alphabet(inner: Tokenizer, texts: Iterable[list[str]], most: int) -> tuple[list[str], list[str]]:
    """The commonest characters of texts, and those of them that can stand inside a word."""
    counts: Counter[str] = Counter()
    for some in texts:
        counts.update(inner.normalizer.normalize_str("\n".join(some)))
    common = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))[:most]
    inside = [c for c in common if len(inner.pre_tokenizer.pre_tokenize_str(f"a{c}")) == 1]
    return sorted(common), sorted(inside)


def _by_number(vocabulary: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))


def _texts(sources: Sequence[Source], progress: Progress) -> Iterator[list[str]]:
    """All sentences, some at a time."""
    for number, source in enumerate(sources):
        progress.update(number, len(sources))
        for part in source.parts(_PART):
            sentences = (text for text in source.read(*part) if text)
            while batch := list(islice(sentences, _BATCH)):
                yield batch
    progress.update(len(sources), len(sources))


def _difference(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> str:
    if found is None:
        return "a tokenizer that was given, not trained here"
    old, new = found.get("vocabulary", {}), wanted["vocabulary"]
    words = [f"{name}={old.get(name)} (now {new[name]})" for name in new if old.get(name) != new[name]]
    return f"a vocabulary trained with {', '.join(words) or 'other texts'}"
