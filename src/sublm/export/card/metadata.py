"""The YAML at the head of a model card."""

from __future__ import annotations

import math

from sublm.export.card.hub import DATASETS, METRIC_IDS, PIPELINES, on_hub
from sublm.export.card.model_card import ModelCard

_NAS = "neural-architecture-search"


def render_metadata(card: ModelCard) -> str:
    """The YAML that the Hub reads: only what it accepts, so a parent that is a path is not named there."""
    from huggingface_hub import EvalResult, ModelCardData

    pipeline, title, _ = PIPELINES[card.kind]
    dataset, configuration = DATASETS.get(card.task, (card.task_name, None))
    finite = {name: score for name, score in card.scores.items() if math.isfinite(score)}
    results = [
        EvalResult(
            task_type=pipeline,
            task_name=title,
            dataset_type=dataset,
            dataset_name=card.task_name,
            dataset_config=configuration,
            dataset_split=card.split,
            metric_type=METRIC_IDS.get(name, name),
            metric_name=name,
            metric_value=round(float(score), 6),
        )
        for name, score in finite.items()
    ]
    data = ModelCardData(
        base_model=card.parent if on_hub(card.parent) else None,
        datasets=dataset if card.task in DATASETS else None,
        eval_results=results or None,
        language=list(card.language) or None,
        library_name="sentence-transformers" if card.kind == "embedding" else "transformers",
        license=card.license,
        license_name=card.license_name,
        license_link=card.license_link,
        metrics=list(dict.fromkeys(METRIC_IDS.get(name, name) for name in card.scores)),
        model_name=card.name,
        pipeline_tag=pipeline,
        tags=["sublm"] if card.hyperparameters else ["sublm", "compression", "pruning", "distillation", _NAS],
    )
    return data.to_yaml()
