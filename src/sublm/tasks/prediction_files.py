"""A model's answers as files that SQuAD's official scripts read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sublm.files import write_text
from sublm.tasks.span_decoding import Answer, Decoded

PREDICTIONS, N_BEST_FILE, NULL_ODDS = "predictions.json", "nbest_predictions.json", "null_odds.json"


def write_predictions(folder: str | Path, decoded: Decoded, *, threshold: float = 0.0) -> list[Path]:
    """Writes ``predictions.json`` (id to text), ``nbest_predictions.json`` and, for 2.0, ``null_odds.json``.

    Args:
        folder: Made if it is not there.
        decoded: The answers, several per question for a useful n-best file.
        threshold: On the null odds, where a question may have no answer.

    Returns:
        The files.
    """
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    questions = decoded.rows.questions
    ids = [questions.ids[number] for number in decoded.numbers]
    content: dict[str, Any] = {
        PREDICTIONS: dict(zip(ids, decoded.predictions(threshold), strict=True)),
        N_BEST_FILE: {
            name: _n_best([*found, none] if questions.no_answer else found)
            for name, found, none in zip(ids, decoded.answers, decoded.null, strict=True)
        },
    }
    if questions.no_answer:
        content[NULL_ODDS] = dict(zip(ids, map(float, decoded.odds), strict=True))
    for name, values in content.items():
        write_text(where / name, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
    return [where / name for name in content]


def _n_best(answers: list[Answer]) -> list[dict[str, Any]]:
    """The answers, best first, with the share of each in the sum of exponentials."""
    ranked = sorted(answers, key=lambda found: -found.score) or [Answer("", 0.0, 0.0)]
    weights = [math.exp(found.score - ranked[0].score) for found in ranked]
    return [
        {
            "text": found.text,
            "probability": weight / sum(weights),
            "start_logit": found.start_logit,
            "end_logit": found.end_logit,
        }
        for found, weight in zip(ranked, weights, strict=True)
    ]
