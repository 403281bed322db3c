"""`sublm trim-vocabulary`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def trim_vocabulary(
    model: Path,
    *,
    corpus: list[str],
    out: Path,
    keep: int | None = None,
    min_count: int | None = None,
    covers: float | None = None,
    characters: Literal["seen", "all"] = "seen",
    check: list[str] | None = None,
    text: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Cut a model's tokenizer and embeddings to what a language or a domain uses.

    A text whose tokens are all kept gets the same tokens, and the same answers, as before. Without --keep, --min-count
    or --covers all tokens of the corpus are kept. Trim before you compress: a search keeps every token.

    Args:
        model: The folder of a model and its tokenizer.
        corpus: Texts that show what is used: files (.txt, .jsonl, .parquet), folders of them, or names of data sets.
        out: Folder of the smaller model.
        keep: Tokens to keep at most, the most frequent; special ones and single characters count.
        min_count: Keep the tokens found at least so often.
        covers: Keep the most frequent tokens that make up this share of the corpus, such as 0.9999.
        characters: Single characters that stay as tokens, for words that are new: those seen in the corpus and
            those of ASCII, or all.
        check: Other texts, of which it is told how many get other tokens.
        text: Column, or key, of the text in records; found if it is clear.
        overwrite: Replace the folder if it is there.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm trim-vocabulary ./my-model --corpus reviews.txt --out ./smaller
        sublm trim-vocabulary ./my-model --corpus wiki/ --covers 0.9999 --out ./smaller
    """
    from sublm.commands._trim_summary import TrimSummary
    from sublm.progress import make_progress
    from sublm.vocabulary import Choice, trim_folder

    report = trim_folder(
        model,
        corpus,
        out,
        Choice(keep, min_count, covers, characters),
        check=check or [],
        column=text,
        overwrite=overwrite,
        progress=make_progress(quiet=quiet),
    )
    return TrimSummary(report)
