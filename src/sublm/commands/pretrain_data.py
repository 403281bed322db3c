"""`sublm pretrain-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def pretrain_data(
    texts: list[str],
    *,
    out: Path,
    tokenizer: str | None = None,
    train_vocabulary: int = 0,
    vocabulary_kind: Literal["wordpiece", "bpe"] = "wordpiece",
    cased: bool = False,
    length: int = 128,
    packing: Literal["sentences", "stream", "dense"] = "sentences",
    text: str | None = None,
    documents: Literal["blank_line", "row"] | None = None,
    duplicates: int = 1,
    seed: int = 0,
    shard_mib: float = 8.0,
    workers: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Tokenise and pack text for pre-training, once, into files that are read from disk.

    Texts are files (.txt, .jsonl, .parquet), folders of them, folders that the datasets library saved, or names of
    data sets (NAME:CONFIGURATION:SPLIT). Memory stays the same however large they are. Stopped or killed, the same
    command goes on.

    Args:
        texts: What to read.
        out: Folder of the corpus; the tokenizer is kept in its folder tokenizer/.
        tokenizer: A model, or a folder with its tokenizer; the vocabulary is taken as it is.
        train_vocabulary: In place of a tokenizer: train a vocabulary of so many tokens on the texts first.
        vocabulary_kind: Of a trained one: wordpiece, as BERT's, or bpe, of bytes, as RoBERTa's.
        cased: Let a trained WordPiece tell upper from lower case; BPE always does.
        length: Tokens of a piece, at most, special ones included.
        packing: With sentences, a piece is filled with whole sentences of one document; with stream, it goes on into
            the next document after a separator; with dense, sentences are also cut where a piece is full.
        text: Column, or key, of the text in records; found if it is clear.
        documents: What ends a document; a blank line in plain text and every record elsewhere if not given.
        duplicates: How often every text is packed; in further copies, pieces begin elsewhere.
        seed: Decides where pieces of further copies begin.
        shard_mib: MiB of text per file, about; smaller takes less memory.
        workers: Processes that tokenise; 0 takes one per core.
        overwrite: Replace a corpus that was made with other settings.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm pretrain-data books/ wiki.jsonl --tokenizer ./my-model --out corpus --length 128
        sublm pretrain-data books/ --train-vocabulary 16000 --vocabulary-kind bpe --out corpus
    """
    from sublm.errors import UsageError
    from sublm.pretraining import NewVocabulary, build_corpus
    from sublm.progress import make_progress
    from sublm.tasks import load_tokenizer

    if (tokenizer is None) == (not train_vocabulary):
        raise UsageError(
            "Give either --tokenizer, a model or a folder with its tokenizer, or --train-vocabulary with a number of "
            "tokens, such as 30000."
        )
    corpus = build_corpus(
        texts,
        load_tokenizer(tokenizer) if tokenizer else NewVocabulary(train_vocabulary, vocabulary_kind, cased),
        out,
        length=length,
        packing=packing,
        column=text,
        documents=documents,
        duplicates=duplicates,
        seed=seed,
        shard_mib=shard_mib,
        workers=workers,
        overwrite=overwrite,
        progress=make_progress(quiet=quiet),
    )
    counts = corpus.meta["counts"]
    return {
        "corpus": str(out),
        "vocabulary": corpus.vocabulary.size,
        "pieces": counts["rows"],
        "tokens": counts["tokens"],
        "tokens_per_piece": round(counts["tokens"] / counts["rows"], 1),
        "documents": counts["documents"],
        "sentences": counts["sentences"],
        "sentences_split": counts["split"],
        "empty_skipped": counts["empty"],
        "one_token_skipped": counts["one_token"],
    }
