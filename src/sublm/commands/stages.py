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
    movement_epochs: int | None = None,
    movement_learning_rate: float | None = None,
    movement_warmup_start: float | None = None,
    movement_penalty: float | None = None,
    movement_reduction: Literal["sum", "mean", "max"] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Score the heads, neurons, layers and channels of the teacher.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        importance: The score: taylor, taylor_gate, fisher, magnitude, movement or none; or a folder of saved scores.
        movement_epochs: Epochs of fine-tuning in which the importance movement is learned.
        movement_learning_rate: Largest learning rate of weights and scores in it.
        movement_warmup_start: Share of its steps before threshold and penalty begin to grow.
        movement_penalty: Largest weight of what pulls its scores down.
        movement_reduction: From the scores of a unit's weights to its own.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm importance runs/mrpc --importance fisher --overwrite
    """
    return _work("importance", dict(locals()))


def space(
    run: Path | None = None,
    *,
    space: str | None = None,
    step: int | None = None,
    min_layers: int | None = None,
    space_min: str | None = None,
    space_max: str | None = None,
    space_steps: int | None = None,
    from_importance: Path | None = None,
    from_nncf: Path | None = None,
    model: str | None = None,
    min_macs: str = "25%",
    max_macs: str = "100%",
    steps: int = 5,
    align: int = 32,
    depth: bool = True,
    length: int | None = None,
    widest: int | None = None,
    out: Path = Path("space.json"),
    nncf: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Write a search space to a file that can be edited.

    With RUN, what is not typed stays as the run has it. Without, a space is made from saved importance, or read from a
    published file of groups and widths; its sizes are computed from the widths alone.

    Args:
        run: The run directory.
        space: Of a run: nested, importance, small, medium, layer, large, uniform, homogeneous,
            homogeneous-kd, or a space.json.
        step: Of a run: neurons are kept in multiples of this.
        min_layers: Of a run: fewest layers of a sub-network in the spaces small and uniform.
        space_min: Of a run: multiply-accumulates of the smallest sub-network that the space importance is made from.
        space_max: Of a run: of the largest.
        space_steps: Of a run: sub-networks it is made from, both ends included.
        from_importance: Folder of an importance.safetensors, or that file, to make a space from.
        from_nncf: A published file of groups and widths to read.
        model: The model, for its sizes and its head; a BERT of the scores' or the groups' sizes if not given.
        min_macs: Multiply-accumulates of the smallest sub-network that the space is made from, as '25%' or '4400M'.
        max_macs: Of the largest.
        steps: Sub-networks that it is made from, both ends included.
        align: Neurons are kept in multiples of this.
        depth: Let half-layers go of which under 2 % would be left.
        length: Tokens that multiply-accumulates are counted at; 128, or what the published file says.
        widest: Read only so many widths of each published group, the largest.
        out: Where to write the space.
        nncf: Write it as groups and widths too, to this file.
        overwrite: Change the settings of the run; replace the files.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm space runs/mrpc --space medium --overwrite
        sublm space --from-importance runs/mrpc --min-macs 4400M --steps 5 --align 32
        sublm space --from-nncf published.json --out published-space.json
    """
    typed: dict[str, Any] = dict(locals())
    files: dict[str, Any] = {"from_importance": from_importance, "from_nncf": from_nncf}
    of_run = ("space", "step", "min_layers", "space_min", "space_max", "space_steps")
    if run is not None:
        from sublm.errors import UsageError

        if any(files.values()):
            raise UsageError("Give either RUN or --from-importance or --from-nncf, not both.")
        return _work("space", {name: typed[name] for name in ("run", *of_run, *_HOW[1:])})
    from sublm.stages.spaces import write_space

    making = ("min_macs", "max_macs", "steps", "align", "depth") if from_importance is not None else ()
    shared = {name: typed[name] for name in ("model", "length", "widest", "out", "nncf", "overwrite", *making)}
    return write_space(**files, **shared)


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
    population: int | None = None,
    evaluations: int | None = None,
    standalone: bool | None = None,
    hours: float | None = None,
    objectives: list[str] | None = None,
    racing: bool | None = None,
    racing_level: float | None = None,
    racing_margin: float | None = None,
    racing_check: int | None = None,
    predictor: str | None = None,
    force: bool | None = None,
    workers: int | None = None,
    ray: str | None = None,
    storage: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Search the super-network of a run for its Pareto front.

    With --standalone no super-network is needed: every candidate is cut from the teacher and trained alone.

    What is not typed stays as the run has it.

    Args:
        run: The run directory.
        target: What the chosen model must meet, such as 'latency<=8ms', 'speedup>=4x', 'macs<=25%', 'memory<=60MB'.
        sampler: How the search proposes: autotinybert, ehvi, exhaustive, grid, local_search, lsbo, moasha, morea,
            nsga2, pareto_ea, random, rsbo or tpe.
        population: Size of a generation, of a sampler that has them.
        evaluations: Sub-networks to evaluate.
        standalone: Train every sub-network alone, with the run's training settings.
        hours: Wall-clock time of a standalone search; it ends with this or EVALUATIONS, whichever comes first.
        objectives: What the front is made of: score and one or more of macs, parameters, latency, memory.
        racing: Give up sub-networks once they are seen, on part of the rows, to be beaten by a cheaper one.
        racing_level: Probability, at most, that a sub-network is given up wrongly.
        racing_margin: Give up those too that are not better than the cheaper one by more than this.
        racing_check: So many of those given up are evaluated in full afterwards, to count the mistakes.
        workers: Sub-networks evaluated at a time in the search, each in a process. In this process if not given.
        ray: Address of a Ray cluster on which they are evaluated, such as 'auto' or HOST:6379.
        storage: Database through which several searches share their evaluations, such as postgresql://HOST/NAME.
        predictor: A latency.json of another run, to be used instead of measuring sub-networks anew.
        force: Use a latency predictor though it was fitted on another device.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm search runs/mrpc --evaluations 500 --overwrite
        sublm search runs/mrpc --standalone --sampler moasha --hours 2
        sublm search runs/mrpc --evaluations 500 --workers 8
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
        recover_epochs: Epochs for each model; those of the run if not given, at least 1.
        learning_rate: Largest learning rate.
        batch_size: Texts per step.
        overwrite: Change the settings of the run.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm recover runs/mrpc --recover-epochs 3 --overwrite
    """
    return _work("recover", dict(locals()))
