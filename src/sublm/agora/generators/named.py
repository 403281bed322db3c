"""Generators by name, and one out of the names and folders a command was given."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sublm.agora.generators.back_translation import BackTranslation, seq2seq
from sublm.agora.generators.character_noise import CharacterNoise
from sublm.agora.generators.embedding_neighbours import EmbeddingNeighbours
from sublm.agora.generators.generator import Generator
from sublm.agora.generators.masked_lm import MaskedLM
from sublm.agora.generators.mixture import Mixture
from sublm.agora.generators.word_dropout import WordDropout
from sublm.agora.generators.word_swap import WordSwap
from sublm.errors import DataError
from sublm.files import fingerprint_model
from sublm.tasks import load_tokenizer

GENERATORS: tuple[str, ...] = (
    BackTranslation.name,
    CharacterNoise.name,
    EmbeddingNeighbours.name,
    MaskedLM.name,
    WordDropout.name,
    WordSwap.name,
)
"""The names `make_generator` knows."""


def make_generator(
    names: Sequence[str],
    *,
    model: str | Path,
    language_model: str | Path | None = None,
    translators: Sequence[str | Path] = (),
    share: float = 0.15,
) -> Generator:
    """The generator, or the mixture of generators, with these names.

    Args:
        names: Of `GENERATORS`.
        model: Folder of the model whose word embeddings neighbours are looked up in.
        language_model: Folder of the masked language model; `model` if left out.
        translators: Folders of two sequence-to-sequence models, there and back.
        share: Of the words of a text that are changed.

    Raises:
        DataError: If a name is unknown, or what a generator needs is missing or cannot be loaded.
    """
    made: list[Generator] = []
    for name in names:
        if name not in GENERATORS:
            near = difflib.get_close_matches(name, GENERATORS, 1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(f"generator={name!r} is not known; choose one of {', '.join(GENERATORS)}.{hint}")
        if name == EmbeddingNeighbours.name:
            found = _load("AutoModel", model, "its word embeddings are needed")[0]
            made.append(EmbeddingNeighbours.of_model(found, load_tokenizer(model), share=share))
        elif name == MaskedLM.name:
            made.append(_masked_lm(language_model or model, share))
        elif name == BackTranslation.name:
            made.append(_back_translation(translators))
        else:
            kind = {kind.name: kind for kind in (CharacterNoise, WordDropout, WordSwap)}[name]
            made.append(kind(share))
    return made[0] if len(made) == 1 else Mixture(made)


def _masked_lm(folder: str | Path, share: float) -> MaskedLM:
    model, missing = _load("AutoModelForMaskedLM", folder, "it is to fill in words")
    if missing:
        raise DataError(
            f"The model {str(folder)!r} has no trained masked-language-model head, so it cannot fill in words. Name "
            "one that has with --language-model, or use another generator, such as embedding-neighbours."
        )
    return MaskedLM(model, load_tokenizer(folder), share=share, identity=fingerprint_model(str(folder)))


def _back_translation(folders: Sequence[str | Path]) -> BackTranslation:
    if len(folders) != 2:
        raise DataError(
            f"back-translation needs two translators, there and back; {len(folders)} were given. Name the folders of "
            "two sequence-to-sequence models with --translators."
        )
    ways = []
    for folder in folders:
        model, _ = _load("AutoModelForSeq2SeqLM", folder, "it is to translate")
        ways.append(seq2seq(model.eval(), load_tokenizer(folder)))
    return BackTranslation(*ways, identity=[fingerprint_model(str(folder)) for folder in folders])


def _load(kind: str, folder: str | Path, why: str) -> tuple[Any, bool]:
    """The model, and whether weights outside its body were missing."""
    import transformers

    try:
        model, info = getattr(transformers, kind).from_pretrained(
            str(folder), trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, KeyError) as error:
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"The model {str(folder)!r} cannot be loaded as {kind}, and {why}: {line}") from error
    # A decoder tied to the embeddings is not stored; whatever else is missing was drawn at random.
    base = f"{model.base_model_prefix}."
    return model, any(not key.startswith(base) for key in info["missing_keys"])
