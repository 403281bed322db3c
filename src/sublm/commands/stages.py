"""One command per stage of a run: the stage is done anew with what is typed, and the stages it needs before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

# The command line's own words, which are no settings of a run.
_HOW = ("run", "overwrite", "quiet", "json")


def _work(stage: str, arguments: dict[str, Any]) -> Any:
    """Does a stage of an existing run. What was not typed stays as the run has it."""
    from sublm.commands._summary import FrontSummary
    from sublm.pipeline import run_stage

    changes = {name: value for name, value in arguments.items() if name not in _HOW and value is not None}
    run, overwrite, quiet = (arguments[name] for name in ("run", "overwrite", "quiet"))
    found = run_stage(stage, run=run, changes=changes, overwrite=overwrite, quiet=quiet)
    return FrontSummary(found, run) if "points" in found else found


def teacher(
    run: Path,
    *,
    teacher: str | None = None,
    teacher_epochs: int | None = None,
    teacher_learning_rate: float | None = None,
    batch_size: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Fine-tune the teacher of a run.

    What is not typed stays as the run has it.

    Args:
        run: The run directory, made by `sublm compress`.
        teacher: A model already fine-tuned for the task; 'none' for no teacher.
        teacher_epochs: Epochs of fine-tuning.
        teacher_learning_rate: Largest learning rate.
        batch_size: Texts per step.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm teacher runs/mrpc --teacher-epochs 4 --overwrite
    """
    return _work("teacher", dict(locals()))


def importance(
    run: Path,
    *,
    importance: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Score the heads, neurons, layers and channels of the teacher.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        importance: The score: taylor, taylor_gate, fisher, magnitude or none.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm importance runs/mrpc --importance fisher --overwrite
    """
    return _work("importance", dict(locals()))


def space(
    run: Path,
    *,
    space: str | None = None,
    step: int | None = None,
    min_layers: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Write the search space of a run, as a file that can be edited.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        space: small, medium, layer, large, uniform, or a space.json.
        step: Neurons are kept in multiples of this.
        min_layers: Fewest layers of a sub-network in the space small.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm space runs/mrpc --space medium --overwrite
    """
    return _work("space", dict(locals()))


def train(
    run: Path,
    *,
    strategy: str | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    weight_decay: float | None = None,
    warmup: float | None = None,
    schedule: Literal["linear", "cosine"] | None = None,
    clip: float | None = None,
    random_nets: int | None = None,
    sampling: Literal["stratified", "uniform"] | None = None,
    temperature: float | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Train the super-network of a run.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        strategy: Which sub-networks a step trains: guided, one_shot, sandwich, random, random_linear, kd or standard.
        epochs: Epochs.
        learning_rate: Largest learning rate.
        batch_size: Texts per step.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        schedule: How the learning rate falls.
        clip: Largest norm of the gradients; 0 for no clipping.
        random_nets: Random sub-networks per step.
        sampling: How they are drawn: evenly over sizes, or each variable for itself.
        temperature: Of the distillation, for classes.
        precision: auto takes bf16 where the machine gains from it.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm train runs/mrpc --strategy sandwich --epochs 5 --overwrite
    """
    return _work("train", dict(locals()))


def search(
    run: Path,
    *,
    target: list[str] | None = None,
    sampler: str | None = None,
    evaluations: int | None = None,
    objectives: list[str] | None = None,
    predictor: str | None = None,
    force: bool | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Search the super-network of a run for its Pareto front.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        target: What the chosen model must meet, such as 'latency<=8ms', 'speedup>=4x', 'macs<=25%', 'memory<=60MB'.
        sampler: How the search proposes: random, nsga2 or local_search.
        evaluations: Sub-networks to evaluate.
        objectives: What the front is made of: score and one or more of macs, parameters, latency, memory.
        predictor: A latency.json of another run, to be used instead of measuring sub-networks anew.
        force: Use a latency predictor though it was fitted on another device.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm search runs/mrpc --evaluations 500 --overwrite
    """
    return _work("search", dict(locals()))


def extract(
    run: Path,
    *,
    models: int | None = None,
    sizes: list[float] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Cut the models of the front out of the super-network.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        models: Models of the front to write, spread along it.
        sizes: Shares of the multiply-accumulates at which models are written, instead of spread ones.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm extract runs/mrpc --models 3 --overwrite
    """
    return _work("extract", dict(locals()))


def recover(
    run: Path,
    *,
    recover_epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Train the extracted models further, distilled from the teacher.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        recover_epochs: Epochs for each model.
        learning_rate: Largest learning rate.
        batch_size: Texts per step.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm recover runs/mrpc --recover-epochs 3 --overwrite
    """
    return _work("recover", dict(locals()))
