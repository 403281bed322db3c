"""`sublm pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def pretrain(
    model: str,
    *,
    corpus: list[str],
    out: Path | None = None,
    shapes: list[str] | None = None,
    recipe: str | None = None,
    objective: str = "mlm",
    teacher: str | None = None,
    teacher_layers: int = 0,
    relation_heads: int = 0,
    space: str | None = None,
    step: int = 4,
    hidden_step: int = 4,
    importance: str = "auto",
    from_scratch: bool = False,
    strategy: str = "random",
    subnets: int = 3,
    parts: int = 0,
    sampling: Literal["uniform", "stratified"] = "uniform",
    steps: int = 0,
    epochs: int = 1,
    batch_size: int = 256,
    accumulation: int = 1,
    learning_rate: float = 1e-4,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    schedule: Literal["linear", "cosine"] = "linear",
    clip: float = 1.0,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    length: int = 128,
    masked: float = 0.15,
    whole_words: bool = False,
    validation: str | None = None,
    validation_share: float = 0.02,
    validation_rows: int = 512,
    validate_every: int = 0,
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> Any:
    """Pre-train a super-network of masked language models on text, distilled or not.

    The units of the model are sorted by importance, and random sub-networks are trained together, several per batch
    and others in each process. Stopped or killed, the same command goes on. Given the folder of a sub-network, it
    trains that one further.

    Args:
        model: The model to start from: a folder, or a name on the Hugging Face hub.
        corpus: A folder that `sublm pretrain-data` wrote, or texts, which are packed into the run.
        out: The run directory; runs/pretrain-MODEL if not given.
        shapes: Sub-networks to write: largest, median, smallest, or layers-hidden-neurons-heads-width, the width that
            of the attention, such as 5-564-1054-8-512. More can be asked for later.
        recipe: Start from published settings: autotinybert, autotinybert-kd, autotinybert-fast or bort.
        objective: What to learn: mlm; attention-hidden, AutoTinyBERT's distillation; relations, MiniLMv2's; bort,
            masked tokens and a teacher's logits; or terms with weights, such as mlm=0.1,relations=1.
        teacher: Whom to learn from, with the model's vocabulary; MODEL itself for what it is before training.
        teacher_layers: Keep so many of the teacher's first layers, and learn from the last of them; 0 keeps all.
        relation_heads: Heads of the relations; 0 takes the teacher's number of heads.
        space: Search space: homogeneous, homogeneous-kd, nested, uniform, small, medium, layer, large, a space.json, or
            none to train the model as it is. For a sub-network it is none, else homogeneous, if not given.
        step: Step of the neurons in the space.
        hidden_step: Step of the hidden size in homogeneous spaces.
        importance: What sorts the units first: taylor, taylor_gate, fisher (by the masked tokens of a few batches),
            magnitude or none. With auto, taylor; magnitude where the model has no trained head; none from scratch.
        from_scratch: Begin with random weights; only the model's sizes are taken, and the corpus's vocabulary.
        strategy: What a step trains besides or in place of random sub-networks: random, sandwich, one_shot (sandwich
            that learns in place from the largest), guided, kd, random_linear or standard.
        subnets: Random sub-networks per part of a batch.
        parts: Cut every batch into so many parts, each with random sub-networks of its own; 0 makes one for each
            process.
        sampling: Draw sub-networks uniform over the space's variables, or stratified by size.
        steps: Optimizer steps; 0 counts epochs.
        epochs: Passes over the corpus.
        batch_size: Pieces per batch, over all processes.
        accumulation: Batches per step.
        learning_rate: Highest learning rate.
        weight_decay: Weight decay of matrices.
        warmup: Share of the steps in which the learning rate rises; 0 for further training.
        schedule: How the learning rate falls.
        clip: Longest gradient; 0 does not clip.
        precision: Of the training; auto takes bf16 where the device computes in it.
        length: Tokens of a piece, where texts are given.
        masked: Share of the tokens that are masked.
        whole_words: Mask whole words.
        validation: A corpus to validate on; a share of the corpus if not given.
        validation_share: Share of the corpus that is put aside for it.
        validation_rows: Pieces to validate on, at most.
        validate_every: Steps between validations; 0 validates ten times.
        seed: Of everything drawn at random.
        dry_run: Check everything and print the plan with its estimated time.
        overwrite: Use the run directory though it holds a run with other settings.
        quiet: Show nothing but errors.
        json: Print the result as JSON on standard output, and nothing else there.

    Examples:
        sublm pretrain ./my-model --corpus corpus --steps 20000 --shapes 4-264-480-11-352
        sublm pretrain ./my-model --corpus corpus --objective relations --teacher ./big
    """
    given = {name: value for name, value in locals().items() if name not in _OWN}
    from sublm.progress import make_progress
    from sublm.stages.pretrain import PretrainSettings, execute

    settings = PretrainSettings(**given)
    return execute(
        settings,
        out or settings.default_folder,
        make_progress(quiet=quiet),
        shapes=shapes or [],
        dry_run=dry_run,
        overwrite=overwrite,
    )


_OWN = ("out", "shapes", "recipe", "dry_run", "overwrite", "quiet", "json")
