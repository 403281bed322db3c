"""What follows a pre-training, such as a search: it is opened again, and what comes of it has a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from sublm.progress import Progress, make_progress
from sublm.run import Run, write_json
from sublm.settings import check_settings
from sublm.stages.pretrain.reopen import Trained, reopen

RESULTS = "results.json"
SCHEMA = 1


class Following(Protocol):
    """Settings of what follows a pre-training; the run directory of that comes first."""

    @property
    def run(self) -> str:
        """The run directory of the pre-training."""
        ...

    @property
    def seed(self) -> int:
        """Of everything drawn at random."""
        ...

    def deciding(self) -> dict[str, Any]:
        """What makes a run another one."""
        ...


def call(
    execute: Callable[..., dict[str, Any]],
    kind: type[Any],
    run: str | Path,
    given: Mapping[str, Any],
    *,
    out: str | Path,
    overwrite: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Does it for a caller in Python, who may write lists for tuples.

    Args:
        execute: What does it, given the settings, a folder and a progress.
        kind: The class of its settings.
        run: The run directory of the pre-training.
        given: The other settings.
        out: Where to; a name alone stands for a folder in the run.
        overwrite: Use the folder though it holds a run with other settings.
        quiet: Show nothing but errors.

    Raises:
        RunError: If a setting is unknown or wrong.
    """
    check_settings(given, kind)
    asked: Following = kind(str(run), **{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})
    return execute(asked, Path(out), make_progress(quiet=quiet), overwrite=overwrite)


def follow(
    settings: Following,
    folder: Path,
    progress: Progress,
    do: Callable[[Trained, Run], dict[str, Any]],
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Opens both runs, does it, and writes what was found.

    Returns:
        What `results.json` holds and, as "run", the folder.
    """
    with progress.stage("Opening the pre-training"):
        trained = reopen(settings.run, progress)
    with Run(folder, settings.deciding(), overwrite=overwrite, seed=settings.seed) as run:
        found = {"schema": SCHEMA, **do(trained, run), "machine": run.machine}
        write_json(folder / RESULTS, found)
    return {**found, "run": str(folder)}
