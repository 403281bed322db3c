"""`sublm compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def compress(
    model: str,
    *,
    task: str,
    target: list[str] | None = None,
    out: Path | None = None,
    recipe: str | None = None,
    data: str | None = None,
    text: list[str] | None = None,
    label: str | None = None,
    search_share: float = 0.15,
    limit: int | None = None,
    max_length: int = 128,
    teacher: str | None = None,
    teacher_epochs: float = 3.0,
    space: str = "small",
    step: int = 32,
    importance: Literal["taylor", "fisher", "magnitude", "none"] = "taylor",
    strategy: str = "one_shot",
    epochs: float = 3.0,
    learning_rate: float = 2e-5,
    batch_size: int = 32,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    schedule: Literal["linear", "cosine"] = "linear",
    clip: float = 1.0,
    random_nets: int = 2,
    sampling: Literal["stratified", "uniform"] = "stratified",
    temperature: float = 10.0,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    sampler: str = "nsga2",
    evaluations: int = 200,
    objectives: list[str] | None = None,
    models: int = 10,
    recover_epochs: float = 1.0,
    refit: bool = False,
    baselines: list[str] | None = None,
    onnx: bool = False,
    runtime: Literal["torch", "onnx"] = "torch",
    threads: int = 1,
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Turn a model and a task into a front of smaller, ordinary models.

    Fine-tunes a teacher, makes it a super-network, trains that, searches its sub-networks for the best scores at every
    cost, and writes the best as ordinary models with a report. Stopped at any moment, the same command goes on where
    it was.

    Args:
        model: A transformers encoder: a folder, or a name on the Hugging Face hub.
        task: A task by name (cola, mnli, mrpc, qnli, qqp, rte, sst2, stsb, wnli, imdb, swag, stdlib-docs), or a CSV,
            JSON-lines or parquet file, or a folder with one file per split.
        target: What the chosen model must meet, such as 'latency<=8ms', 'macs<=25%', 'parameters<=10M'. Several must
            all be met.
        out: The run directory; runs/TASK if not given.
        recipe: Start from the settings of a published system: plm-nas. What is typed wins.
        data: A folder that holds the named task, instead of the hub.
        text: The column, or the two columns, that hold the text; found if not given.
        label: The column that holds the label; found if not given.
        search_share: Share of the training rows on which sub-networks are compared; they are not trained on.
        limit: Use at most this many training rows.
        max_length: Tokens after which a text is cut.
        teacher: A model already fine-tuned for the task; 'none' starts from MODEL itself. One is fine-tuned if not
            given.
        teacher_epochs: Epochs of fine-tuning the teacher.
        space: The search space: small, medium, layer, large, or a space.json.
        step: Neurons are kept in multiples of this.
        importance: The score by which heads, neurons and layers are sorted.
        strategy: Which sub-networks a training step trains: standard, random, random_linear, sandwich, one_shot or kd.
        epochs: Epochs of training the super-network.
        learning_rate: Largest learning rate, in every training.
        batch_size: Texts per step, in every training.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        schedule: How the learning rate falls.
        clip: Largest norm of the gradients; 0 for no clipping.
        random_nets: Random sub-networks per step.
        sampling: How they are drawn: evenly over sizes, or each variable for itself.
        temperature: Of the distillation, for classes.
        precision: Of training and of evaluation in the search; auto takes bf16 where the machine gains from it.
        sampler: How the search proposes: random, nsga2 or local_search.
        evaluations: Sub-networks to evaluate.
        objectives: What the front is made of: score and one or more of macs, parameters, latency; score and macs if
            not given.
        models: Models of the front to write.
        recover_epochs: Epochs of training each of them further, distilled from the teacher.
        refit: Train the super-network again on all training rows, those of the search included, once the front is
            known.
        baselines: What to compare with: original, layer-dropping, prune-and-distil. Each costs its own training.
        onnx: Write each model as ONNX too.
        runtime: What latency is measured on.
        threads: Threads used when latency is measured.
        seed: Of everything drawn at random.
        dry_run: Check everything, show the plan and what it costs, and stop.
        overwrite: Use the run directory though it holds a run with other settings; stages that the change does not
            touch are kept.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm compress ./my-classifier --task sst2 --target 'latency<=8ms'
        sublm compress MODEL --task reviews.csv --label stars --target 'macs<=25%'
        sublm compress MODEL --task mrpc --recipe plm-nas --dry-run
    """
    settings = dict(locals())
    from sublm.compress import compress as work

    for name in ("target", "baselines"):
        settings[name] = settings[name] or []
    settings["objectives"] = objectives or ["score", "macs"]
    return work(**settings)
