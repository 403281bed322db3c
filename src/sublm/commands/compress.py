"""`sublm compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sublm.settings import LISTS, Settings


def compress(
    model: str,
    *,
    task: str | None = None,
    target: list[str] | None = None,
    unlabelled: str | None = None,
    out: Path | None = None,
    recipe: str | None = None,
    data: str | None = None,
    pairs: str | None = None,
    text: list[str] | None = None,
    label: str | None = None,
    kind: str | None = None,
    search_share: float = Settings.search_share,
    limit: int | None = None,
    max_length: int | None = None,
    doc_stride: int | None = None,
    teacher: str | None = None,
    teacher_epochs: int = Settings.teacher_epochs,
    teacher_learning_rate: float = Settings.teacher_learning_rate,
    start: Literal["teacher", "model"] = "teacher",
    space: str = Settings.space,
    step: int = Settings.step,
    min_layers: int | None = None,
    min_size: float = Settings.min_size,
    space_min: str = Settings.space_min,
    space_max: str = Settings.space_max,
    space_steps: int = Settings.space_steps,
    stock: bool = True,
    importance: str = Settings.importance,
    movement_epochs: int = Settings.movement_epochs,
    movement_learning_rate: float = Settings.movement_learning_rate,
    movement_warmup_start: float = Settings.movement_warmup_start,
    movement_penalty: float = Settings.movement_penalty,
    movement_reduction: Literal["sum", "mean", "max"] = "max",
    strategy: str = Settings.strategy,
    epochs: int = Settings.epochs,
    learning_rate: float = Settings.learning_rate,
    batch_size: int = Settings.batch_size,
    weight_decay: float = Settings.weight_decay,
    warmup: float = Settings.warmup,
    schedule: Literal["linear", "cosine"] = "linear",
    clip: float = Settings.clip,
    random_nets: int = Settings.random_nets,
    sampling: Literal["stratified", "uniform"] = "stratified",
    temperature: float = Settings.temperature,
    hidden: float = Settings.hidden,
    label_weight: float | None = None,
    logits_weight: float = Settings.logits_weight,
    train_stages: str | None = None,
    freeze_embeddings: bool = Settings.freeze_embeddings,
    dropout: float = Settings.dropout,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    sampler: str = Settings.sampler,
    population: int | None = None,
    evaluations: int = Settings.evaluations,
    no_train: bool = False,
    rearrange: bool = False,
    standalone: bool = False,
    hours: float | None = None,
    objectives: list[str] | None = None,
    racing: bool = Settings.racing,
    racing_level: float = Settings.racing_level,
    racing_margin: float = Settings.racing_margin,
    racing_check: int = Settings.racing_check,
    models: int = Settings.models,
    sizes: list[float] | None = None,
    recover_epochs: int = Settings.recover_epochs,
    reconstruct: bool = False,
    refit: bool = False,
    baselines: list[str] | None = None,
    baseline_sizes: list[float] | None = None,
    examples: bool = True,
    onnx: bool = False,
    exports: list[str] | None = None,
    runtime: str = Settings.runtime,
    runtime_precision: Literal["fp32", "bf16", "fp16", "int8", "int8-static"] = "fp32",
    threads: int = Settings.threads,
    predictor: str | None = None,
    force: bool = False,
    workers: int = Settings.workers,
    ray: str | None = None,
    storage: str | None = None,
    seed: int = Settings.seed,
    only_importance: bool = False,
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
        task: A task by name (cola, mnli, mrpc, qnli, qqp, rte, sst2, stsb, wnli, boolq, cb, copa, multirc, record,
            superglue_rte, wic, wsc, imdb, race, race_high, race_middle, squad, squad_v2, swag, stdlib-docs,
            embedding), or a CSV, JSON, parquet or CoNLL file, or a folder with one file per split.
        target: What the chosen model must meet, such as 'latency<=8ms', 'speedup>=4x', 'macs<=25%', 'parameters<=10M',
            'memory<=60MB'. Several must all be met.
        out: The run directory; runs/TASK if not given.
        recipe: Start from the settings of a published system: plm-nas, plm-nas-standalone, eftnas-s1,
            eftnas-s2. What is typed wins.
        unlabelled: Texts without labels instead of a task: one per line, or a table with one or two columns of texts.
            The fine-tuned MODEL's own answers are learned, and scores are the agreement with them.
        data: A folder that holds the named task, instead of the hub; for the task embedding, texts or scored pairs.
        pairs: For the task embedding, whose texts need no labels: scored pairs that models are judged on, a file, a
            folder, or stsb from the hub. Not needed where DATA holds scored pairs.
        text: The column, or the two columns, that hold the text; found if not given.
        label: The column that holds the label; found if not given.
        kind: Of a file of your own: classification, regression, span (answers in a text), tokens (a tag per word),
            rerank (passages for queries) or embedding (similar texts); found, except the last, if not given.
        search_share: Share of the training rows on which sub-networks are compared; they are not trained on.
        limit: Use at most this many training rows.
        max_length: Tokens after which a text is cut, 128 if not given, up to 512 for tasks with long passages; for
            questions on a context, tokens of a window, 384 if not given.
        doc_stride: Tokens that neighbouring windows on a long context share; a third of a window if not given.
        teacher: A model already fine-tuned for the task; 'none' starts from MODEL itself. One is fine-tuned if not
            given.
        teacher_epochs: Epochs of fine-tuning the teacher, and of every baseline.
        teacher_learning_rate: Largest learning rate of fine-tuning the teacher.
        start: What the super-network is made of: the teacher, or MODEL as it was given, which then learns the task as a
            super-network only.
        space: The search space: nested (one family, each member holding all smaller ones), importance (the widths that
            occur in a few nested sub-networks), small, medium, layer, large, uniform, homogeneous,
            homogeneous-kd, or a space.json.
        step: Neurons are kept in multiples of this.
        min_layers: Fewest layers of a sub-network in the spaces small and uniform; if not given, all of them in small,
            half of them in uniform.
        min_size: Smallest share of the MACs in the space nested.
        space_min: Multiply-accumulates of the smallest sub-network that the space importance is made from, as '25%' or
            '4400M'.
        space_max: Of the largest one.
        space_steps: Sub-networks that it is made from, both ends included.
        stock: In the space uniform, end in models of stock transformers classes: all heads are kept, and the number of
            layers and that of neurons vary. Widths of their own per layer (nested) need the modelling file beside the
            weights; on STS-B and MRPC, one seed each, they gained nothing at 50 % of the MACs, 0 and 2 points at
            33 %, where stock models took 5 to 14 % less time, and 6 and 4 points at 25 %.
        importance: The score by which heads, neurons and layers are sorted: taylor, taylor_gate, fisher,
            magnitude, movement or none; or a folder of saved scores, such as another run's.
        movement_epochs: Epochs of fine-tuning in which the importance movement is learned.
        movement_learning_rate: Largest learning rate of weights and scores in it.
        movement_warmup_start: Share of its steps before threshold and penalty begin to grow.
        movement_penalty: Largest weight of what pulls its scores down.
        movement_reduction: From the scores of a unit's weights to its own.
        strategy: Which sub-networks a training step trains: guided, one_shot, sandwich, random, random_linear, kd or
            standard.
        epochs: Epochs of training the super-network; 0 searches the sorted teacher as it is.
        learning_rate: Largest learning rate of the super-network, of the recovery and of the baselines.
        batch_size: Texts per step, in every training.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        schedule: How the learning rate falls.
        clip: Largest norm of the gradients; 0 for no clipping.
        random_nets: Random sub-networks per step.
        sampling: How they are drawn: evenly over sizes, or each variable for itself.
        temperature: Of the distillation, for classes.
        hidden: Weight of the teacher's hidden states in the distillation.
        label_weight: Weight of the task's own loss beside a teacher's; 1 for classes and 0 for regression if not given.
        logits_weight: Weight of the teacher's logits.
        train_stages: A JSON file with a list of training stages, each opening more of the space; all of it is trained
            at once, for the epochs given, without.
        freeze_embeddings: Keep the teacher's word embeddings as they are in everything that learns from it.
        dropout: Of everything that learns from the teacher, whose answers are smooth already.
        precision: Of training and of evaluation in the search; auto takes bf16 where the machine gains from it.
        sampler: How the search proposes: autotinybert, ehvi, exhaustive, grid, local_search, lsbo, moasha, morea,
            nsga2, pareto_ea, random, rsbo or tpe.
        population: Size of a generation, of a sampler that has them; its own if not given.
        evaluations: Sub-networks to evaluate.
        no_train: Train nothing: choose heads and neurons of a fine-tuned MODEL by a few hundred texts, and solve what
            is left by least squares. Takes minutes.
        rearrange: With --no-train, exchange units within layers before that by the block of the Fisher information, as
            published; where layers are solved afterwards, it gains nothing on average and loses at small sizes.
        standalone: Train every sub-network of the search alone, for EPOCHS, instead of a super-network. Takes far
            longer; moasha stops the poor ones early.
        hours: Wall-clock time of a standalone search; it ends with this or EVALUATIONS, whichever comes first.
        objectives: What the front is made of: score and one or more of macs, parameters, latency, memory; score and
            macs if not given.
        racing: In the search, give up sub-networks once they are seen, on part of the rows, to be beaten by a cheaper
            one.
        racing_level: Probability, at most, that a sub-network is given up wrongly.
        racing_margin: Give up those too that are not better than the cheaper one by more than this.
        racing_check: So many of those given up are evaluated in full afterwards, to count the mistakes.
        models: Models of the front to write, spread along it.
        sizes: Shares of the multiply-accumulates at which models are written, instead of spread ones, such as 0.5 0.25.
        recover_epochs: Epochs of training each of them further, distilled from the teacher; 0 writes them as found.
        reconstruct: Solve the layers of each by least squares to follow the whole super-network, and keep that where it
            scores better on the search rows.
        refit: Recover on all training rows, those of the search included.
        baselines: What to compare with: layer-dropping, prune-and-distil (each trains one model per size) and
            original-int8. The teacher itself is always shown.
        baseline_sizes: Shares of the multiply-accumulates at which baselines are trained; 0.5, 0.25 and 0.1 if not
            given.
        examples: Show in the report texts, of those the search scored on, whose answer changed.
        onnx: Write each model as ONNX too, which is --exports onnx.
        exports: Forms that each model is written in too, scored on the task and measured: onnx, onnx-fp16, onnx-int8,
            onnx-int8-static, openvino, openvino-fp16, openvino-int8-static.
        runtime: What the models will run in: torch, onnx or openvino, or one with its precision, such as onnx-int8.
            Latency is measured in it, and the model is chosen by its score there.
        runtime_precision: In what precision: bf16 in torch and openvino, fp16 and int8-static in onnx and openvino,
            int8 in onnx.
        threads: Threads used when latency is measured.
        predictor: A latency.json of another run, to be used instead of measuring sub-networks anew.
        force: Use a latency predictor though it was fitted on another device.
        workers: Sub-networks evaluated at a time in the search, each in a process; 1 evaluates in this one.
        ray: Address of a Ray cluster on which they are evaluated, such as 'auto' or HOST:6379.
        storage: Database through which several searches share their evaluations, such as postgresql://HOST/NAME.
        seed: Of everything drawn at random.
        only_importance: Stop when the importance is there and the search space written.
        dry_run: Check everything, show the plan and what it costs, and stop.
        overwrite: Use the run directory though it holds a run with other settings; stages that the change does not
            touch are kept.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm compress ./my-classifier --task sst2 --target 'latency<=8ms'
        sublm compress MODEL --task reviews.csv --label stars --target 'macs<=25%'
        sublm compress ./my-classifier --task sst2 --no-train --sizes 0.7 0.5
        sublm compress ./my-classifier --unlabelled texts.txt --target 'speedup>=2x'
        sublm compress MODEL --task mrpc --recipe eftnas-s1 --dry-run
    """
    settings = dict(locals())
    from sublm.commands._summary import FrontSummary, PlanSummary
    from sublm.pipeline import compress as work

    # Those are the command line's own; and lists cannot be defaults of a signature: left to Settings if not given.
    skipped = {"recipe", "json", *(name for name in (*LISTS, "task") if settings[name] is None)}
    found = work(**{name: value for name, value in settings.items() if name not in skipped})
    if dry_run:
        return PlanSummary(found)
    if only_importance:
        return found
    return FrontSummary(found, out or Settings(model=model, task=task or "", unlabelled=unlabelled).default_folder)
