"""What pieces and masks need to know of a tokenizer, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sublm.errors import DataError
from sublm.files import fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Vocabulary:
    """Token numbers with a meaning.

    Attributes:
        size: Tokens, those added to the tokenizer included.
        prefix: What a single text begins with, such as [CLS].
        suffix: What it ends with, such as [SEP].
        separator: What stands between two documents in one piece; None if there is none.
        mask: The mask token; None if there is none.
        pad: What shorter rows are filled with.
        special: All that are never masked and never drawn at random.
        fingerprint: Of the whole tokenizer.
    """

    size: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    separator: int | None
    mask: int | None
    pad: int
    special: tuple[int, ...]
    fingerprint: str

    @property
    def around(self) -> int:
        """Special tokens of a single text."""
        return len(self.prefix) + len(self.suffix)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """From what `to_dict` gave."""
        tuples = {name: tuple(data[name]) for name in ("prefix", "suffix", "special")}
        return cls(**{**data, **tuples})


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Reads a tokenizer.

    Raises:
        DataError: If it is not a fast one, or its special tokens stand elsewhere than around the text.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise DataError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, and words cannot be told from it. Load it with "
            "AutoTokenizer, or save one with a tokenizer.json."
        )
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a", add_special_tokens=True)["input_ids"]
    at = next((n for n in range(len(whole)) if bare and whole[n : n + len(bare)] == bare), None)
    if at is None:
        raise DataError(f"{type(tokenizer).__name__} encodes 'a' as {whole}, which does not hold {bare}, its tokens.")
    separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    prefix, suffix = tuple(whole[:at]), tuple(whole[at + len(bare) :])
    special = sorted({*tokenizer.all_special_ids, *prefix, *suffix})
    return Vocabulary(
        size=len(tokenizer),
        prefix=prefix,
        suffix=suffix,
        separator=separator,
        mask=tokenizer.mask_token_id,
        pad=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        special=tuple(special),
        fingerprint=fingerprint([_definition(backend), prefix, suffix, separator, tokenizer.mask_token_id, special]),
    )


def portable(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer as text for `open_portable`, which needs no transformers to read it."""
    return json.dumps(_definition(tokenizer.backend_tokenizer))


def open_portable(text: str) -> Tokenizer:
    """The tokenizer again; what reads like a special token in a text is text to it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _definition(backend: Any) -> dict[str, Any]:
    """All of a tokenizer but how it was last told to cut and fill, which a call changes."""
    definition: dict[str, Any] = json.loads(backend.to_str())
    return {**definition, "truncation": None, "padding": None}
