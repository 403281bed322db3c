"""`sublm pretrain-search`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def pretrain_search(
    run: Path,
    *,
    target: list[str],
    out: Path | None = None,
    recipe: str | None = None,
    base: str | None = None,
    tasks: list[str] | None = None,
    task_epochs: int = 1,
    task_learning_rate: float = 5e-5,
    task_limit: int = 2000,
    data: Path | None = None,
    sampler: str = "autotinybert",
    evaluations: int = 100,
    fast: bool = False,
    top: int = 3,
    further_steps: int = 0,
    runtime: Literal["torch", "onnx", "openvino"] = "torch",
    runtime_precision: Literal["fp32", "bf16", "fp16", "int8", "int8-static"] = "fp32",
    threads: int = 1,
    length: int = 0,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Search a pre-trained super-network for the best sub-networks within a budget.

    Sub-networks are judged by the validation loss of the weights they share, which needs no training, or by short
    fine-tunings. The best are written as complete folders, and trained further if that is wanted. Costs are those of
    the encoder. Stopped or killed, the same command goes on.

    Args:
        run: The run directory of `sublm pretrain`.
        target: What they must meet, such as 'speedup>=4x', 'latency<=8ms', 'macs<=25%' or 'parameters<=10M'; times
            are measured on this machine.
        out: Where to; RUN/search if not given.
        recipe: Start from published settings: autotinybert, autotinybert-kd or autotinybert-fast.
        base: The model that shares and speed-ups are of: a folder, or a name on the hub; the paper's is
            google-bert/bert-base-uncased. The whole super-network if not given.
        tasks: Judge by the mean score on these tasks, in place of the validation loss.
        task_epochs: Epochs of fine-tuning on each; 0 fine-tunes nothing and fits a linear model on the features.
        task_learning_rate: Largest learning rate of these fine-tunings.
        task_limit: Training rows of each, at most.
        data: A folder that holds the tasks, a folder each, instead of the hub.
        sampler: How sub-networks are proposed; the default is the published evolution, in generations of 25.
        evaluations: Sub-networks to look at.
        fast: Look at one sub-network per depth alone, which obeys the development rule
            1.6 d_m <= d_f <= 1.9 d_m and 0.7 d_m <= d_qkv <= d_m.
        top: How many are written.
        further_steps: Train each of them so many steps further, without warm-up.
        runtime: What runs them.
        runtime_precision: In which precision.
        threads: Threads of one forward pass.
        length: Tokens of a text that costs are counted for; 0 takes the mean of the pieces.
        seed: Of the search and of the measurements.
        overwrite: Use the folder though it holds a search with other settings.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm pretrain-search runs/pretrain-my-model --target 'speedup>=4x' --top 1
        sublm pretrain-search runs/pretrain-my-model --target 'macs<=25%' --fast --top 1
        sublm pretrain-search runs/pretrain-my-model --target 'speedup>=7x' --base ./bert-base
    """
    given = {name: value for name, value in locals().items() if name not in _OWN}
    from sublm.progress import make_progress
    from sublm.stages.pretrain import SearchSettings, execute_search

    given |= {"run": str(run), "target": tuple(target), "tasks": tuple(tasks or ())}
    settings = SearchSettings(**given, data=None if data is None else str(data))
    found = execute_search(settings, out or run / "search", make_progress(quiet=quiet), overwrite=overwrite)
    if json:
        return found
    lines = {}
    for model in found["models"]:
        speed = f", {model['speedup']:.2f}x as fast" if "speedup" in model else ""
        further = f", {model['further']['loss']:.4f} after further training" if "further" in model else ""
        lines[model["shape"]] = (
            f"score {model['score']:.4f}{further}, {model['costs']['macs'] / 1e6:.1f} M MACs, "
            f"{model['costs']['parameters'] / 1e6:.2f} M parameters{speed}"
        )
    return {"looked at": len(found["evaluations"]), **lines, "folder": found["run"]}


_OWN = ("out", "recipe", "overwrite", "quiet", "json", "data")
