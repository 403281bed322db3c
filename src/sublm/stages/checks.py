"""What is refused before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sublm.errors import DataError, RunError
from sublm.export import longest_text
from sublm.settings import Settings
from sublm.tasks import Encoded


def check_choices(settings: Settings) -> None:
    """Refuses names that are not registered, before anything is read.

    Raises:
        RunError: If one is unknown; it names the choices.
    """
    from sublm.costs import Conditions
    from sublm.importance import IMPORTANCE
    from sublm.search import SAMPLERS, check_cluster, check_storage, parse_targets
    from sublm.spaces import SPACES
    from sublm.stages.exports import check_exports
    from sublm.training import STRATEGIES

    for name, known in (
        ("importance", [*IMPORTANCE, "none"]),
        ("sampler", [*SAMPLERS]),
        ("space", [*SPACES, "nested", "importance"]),
        ("strategy", [*STRATEGIES]),
    ):
        value = getattr(settings, name)
        if (name == "space" and value.endswith(".json")) or (name == "importance" and Path(value).is_dir()):
            continue
        if value not in known:
            more = {"space": ", or give a space.json", "importance": ", or give a folder of scores"}.get(name, "")
            raise RunError(f"{name}={value!r} is not known; choose one of {', '.join(sorted(known))}{more}.")
    parse_targets(settings.target, {"macs": 1.0, "parameters": 1.0, "latency": 1.0, "memory": 1.0})
    if settings.predictor is not None and not Path(settings.predictor).is_file():
        raise RunError(f"predictor: there is no file {settings.predictor!r}; give the latency.json of a run.")
    Conditions(settings.runtime, settings.runtime_precision)  # refuses pairs that there are none of
    check_exports(settings)
    # A cluster or a database that cannot be reached is noticed now, not after the training.
    if settings.ray is not None:
        check_cluster(settings.ray)
    if settings.storage is not None:
        check_storage(settings.storage)


def check_vocabulary(tokenizer: Any, model: Any) -> None:
    """Refuses a tokenizer that gives tokens the model has no embedding for.

    Raises:
        DataError: If it knows more tokens than the model.
    """
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise DataError(
            f"The tokenizer knows {len(tokenizer)} tokens, the model {rows}: they do not belong together. "
            "Save the model's own tokenizer beside it."
        )


def check_lengths(encoded: Mapping[str, Encoded], model: Any, task: str) -> None:
    """Refuses texts that are longer than the model can read.

    Raises:
        DataError: If there is one.
    """
    longest, can = max(int(rows.lengths.max()) for rows in encoded.values()), longest_text(model)
    if longest > can:
        raise DataError(f"{task}: the longest text has {longest} tokens, the model reads {can}. Pass max_length={can}.")
