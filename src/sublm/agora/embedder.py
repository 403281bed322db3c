"""Vectors of texts, for the distance filter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sublm.errors import DataError
from sublm.export import longest_text
from sublm.files import fingerprint_model
from sublm.pooling import Pooling, pool
from sublm.tasks import load_tokenizer

_BATCH = 32


class MeanEmbedder:
    """The mean of a model's last hidden states over the tokens of a text.

    Args:
        folder: An encoder with its tokenizer, such as a sentence-embedding model; others tell texts apart less well.

    Raises:
        DataError: If it cannot be loaded.
    """

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoModel

        try:
            self._model: Any = AutoModel.from_pretrained(str(folder), trust_remote_code=False).eval()
        except (OSError, ValueError, KeyError) as error:
            line = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(f"The embedder {str(folder)!r} cannot be loaded as an encoder: {line}") from error
        self._tokenizer = load_tokenizer(folder)
        self._length = min(longest_text(self._model), 512)
        self._fingerprint = fingerprint_model(str(folder))

    def to_dict(self) -> dict[str, Any]:
        """The model's files."""
        return {"model": self._fingerprint}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[N, width] of N texts."""
        parts = []
        for start in range(0, len(texts), _BATCH):
            part = list(texts[start : start + _BATCH])
            batch = self._tokenizer(part, padding=True, truncation=True, max_length=self._length, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**batch).last_hidden_state
            parts.append(pool(states, batch["attention_mask"], Pooling()).float().numpy())
        return np.concatenate(parts)
