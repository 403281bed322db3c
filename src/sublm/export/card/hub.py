"""What the Hub reads of a model card, and what it knows of a parent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sublm.tasks.load import PUBLISHED

PIPELINES = {
    "classification": ("text-classification", "Text classification", "AutoModelForSequenceClassification"),
    "regression": ("text-classification", "Text regression", "AutoModelForSequenceClassification"),
    "multiple_choice": ("multiple-choice", "Multiple choice", "AutoModelForMultipleChoice"),
    "candidates": ("text-classification", "Text classification", "AutoModelForSequenceClassification"),
    "span": ("question-answering", "Question answering", "AutoModelForQuestionAnswering"),
    "tokens": ("token-classification", "Token classification", "AutoModelForTokenClassification"),
    "rerank": ("text-ranking", "Reranking", "AutoModelForSequenceClassification"),
    "embedding": ("sentence-similarity", "Semantic similarity", "SentenceTransformer"),
}
"""Kind of task -> the Hub's name of the pipeline, its name for people, the class that loads it."""

METRIC_IDS = {
    "em": "exact_match",
    "f1a": "f1",
    "has_answer_em": "exact_match",
    "has_answer_f1": "f1",
    "macro_f1": "f1",
    "matthews": "matthews_correlation",
    "mrr_10": "mrr",
    "ndcg_10": "ndcg",
    "no_answer_em": "exact_match",
    "no_answer_f1": "f1",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
"""Metrics whose name on the Hub is another."""

DATASETS = {name: (published.hub, published.config) for name, published in PUBLISHED.items()}
"""Tasks whose data is on the Hub -> its name there and the configuration."""

RUNTIMES = {"torch": "PyTorch", "onnx": "ONNX Runtime", "openvino": "OpenVINO"}
"""Runtimes as people write them."""

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def on_hub(name: str) -> bool:
    """Whether a model is called by a name on the Hub rather than by a path."""
    return bool(_HUB_NAME.match(name)) and not Path(name).exists()


def known_of(parent: str | Path) -> dict[str, Any]:
    """License and languages that the card beside a local parent, or in the Hub's local cache, states.

    Args:
        parent: A folder or a name on the Hub; nothing is downloaded.

    Returns:
        `license` (with `license_name` and `license_link`) and `language`, each only if known; fields of `ModelCard`.
    """
    from huggingface_hub import RepoCard, try_to_load_from_cache

    path = Path(parent) / "README.md"
    if not path.is_file() and _HUB_NAME.match(str(parent)):
        cached = try_to_load_from_cache(str(parent), "README.md")
        path = Path(cached) if isinstance(cached, str) else path
    if not path.is_file():
        return {}
    try:
        stated = RepoCard.load(path, ignore_metadata_errors=True).data.to_dict()
    except Exception:  # somebody else's file: not being readable is not this model's error
        return {}
    found: dict[str, Any] = {}
    licenses = ("license", "license_name", "license_link")
    found |= {name: stated[name] for name in licenses if isinstance(stated.get(name), str)}
    language = stated.get("language")
    language = [language] if isinstance(language, str) else language
    if isinstance(language, list) and language and all(isinstance(code, str) for code in language):
        found["language"] = tuple(language)
    return found
