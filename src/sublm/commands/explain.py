"""`sublm explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def explain(
    run: Path,
    *,
    model: str | None = None,
    batch: int = 16,
    rounds: int = 20,
    seed: int = 0,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Say why a model of a run is faster, or why it is not.

    The original and the model are measured as the run deploys them, whole and with their attention, their FFNs and
    both switched off: what a part costs is what the model is quicker without it, the mean of beside the other part and
    alone. Batches of the task's own lengths show what padding costs; where the data is not at hand any more, it is
    estimated, which is said. What was found is kept in the run; `sublm report` shows it on the page.

    Args:
        run: The run directory, finished.
        model: Name of a model of the front; the chosen one if not given.
        batch: Texts per batch, for what padding costs.
        rounds: Times everything is measured.
        seed: Of the random texts.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm explain runs/sst2
    """
    from sublm.commands._summary import ExplainSummary
    from sublm.progress import make_progress
    from sublm.stages.explain import explain as work

    with make_progress(quiet=quiet).stage("Measuring"):
        return ExplainSummary(work(run, model=model, batch=batch, rounds=rounds, seed=seed))
