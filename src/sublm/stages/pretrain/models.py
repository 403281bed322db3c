"""Student and teacher of a pre-training, loaded and checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sublm.architectures import ARCHITECTURES
from sublm.errors import DataError, TrainingError, UnsupportedModelError
from sublm.export import load
from sublm.files import read_json
from sublm.pretraining import Corpus, vocabulary_of
from sublm.pretraining.build import META
from sublm.tasks import load_tokenizer
from sublm.tasks.models import quiet_loading
from sublm.training.objectives import HiddenProjection, Terms, has_head
from sublm.training.objectives.capture import last_attention, table_of

CUT = "pretraining.json"
"""In a folder: what was cut from which super-network."""


@dataclass(frozen=True)
class Student:
    """The model that is trained.

    Attributes:
        model: A masked language model.
        trained_head: Whether its head came with it, and was not drawn just now.
        cut: Whether it was cut from a super-network, and is trained further as it is.
    """

    model: Any
    trained_head: bool
    cut: bool


def load_student(name: str, *, from_scratch: bool = False, seed: int = 0, tokenizer: Any = None) -> Student:
    """Loads a model with a masked-language-model head, drawn anew where there is none.

    Args:
        name: A folder, also of a sub-network that SubLM wrote, or a name on the hub.
        from_scratch: Take its sizes only, and draw all weights.
        seed: Of what is drawn; torch's own state is left alone.
        tokenizer: Where it begins from scratch: what it is to read, if not its own tokens.

    Raises:
        UnsupportedModelError: If there is no such model, or none with such a head.
    """
    import transformers

    folder = Path(name)
    cut = (folder / CUT).is_file()
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))), quiet_loading():
        torch.manual_seed(seed)
        if cut or is_subnetwork(folder):
            model = load(folder)
            if not has_head(model):
                raise UnsupportedModelError(
                    f"{name} is a {type(model).__name__}; further pre-training needs a sub-network of a pre-trained "
                    "super-network, with its masked-language-model head."
                )
            if from_scratch:
                model = type(model)(model.config)
            return Student(model.eval(), not from_scratch, True)
        auto: Any = transformers.AutoModelForMaskedLM
        try:
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            if from_scratch:
                if tokenizer is not None and not _reads(name, tokenizer):
                    fit_config(config, tokenizer)
                return Student(auto.from_config(config).eval(), False, False)
            model, info = auto.from_pretrained(name, trust_remote_code=False, output_loading_info=True)
        except (OSError, ValueError, KeyError) as error:
            raise UnsupportedModelError(
                f"{name} cannot be loaded as a masked language model: {str(error).splitlines()[0]} Give a folder "
                f"written by save_pretrained, or a hub name, of one of the families {', '.join(sorted(ARCHITECTURES))}."
            ) from error
    missing = [key for key in info["missing_keys"] if not key.startswith(f"{model.base_model_prefix}.")]
    return Student(model.eval(), not missing, False)


def student_tokenizer(model: str, texts: Sequence[str], *, from_scratch: bool) -> Any:
    """The model's tokenizer; that of the corpus where the model begins from scratch, and so can read any.

    Raises:
        DataError: If there is none.
    """
    if from_scratch and len(texts) == 1 and (Path(texts[0]) / META).is_file():
        kept = Corpus.open(texts[0]).load_tokenizer()
        if kept is not None:
            return kept
    return load_tokenizer(model)


def fit_config(config: Any, tokenizer: Any) -> None:
    """Makes a configuration read a tokenizer's tokens, in place; for models with random weights."""
    config.vocab_size = len(tokenizer)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        if hasattr(config, name):
            setattr(config, name, getattr(tokenizer, name))
    if "token_type_ids" in tokenizer.model_input_names and getattr(config, "type_vocab_size", 2) < 2:
        config.type_vocab_size = 2


def _reads(model: str, tokenizer: Any) -> bool:
    """Whether a tokenizer is the model's own."""
    try:
        return vocabulary_of(load_tokenizer(model)).fingerprint == vocabulary_of(tokenizer).fingerprint
    except DataError:  # it has none
        return False


def load_teacher(name: str, terms: Terms, *, layers: int = 0) -> Any:
    """Loads whom to learn from: with its head where its logits are learned from, else the encoder.

    Args:
        name: A folder, or a name on the hub.
        terms: What is learned.
        layers: Keep so many of its first layers; 0 keeps all.

    Raises:
        UnsupportedModelError: If there is no such model.
        TrainingError: If it cannot teach that.
    """
    import transformers

    folder = Path(name)
    with quiet_loading():
        try:
            if is_subnetwork(folder) or (folder / CUT).is_file():
                teacher = load(folder)
            elif terms.logits:
                auto: Any = transformers.AutoModelForMaskedLM
                teacher, info = auto.from_pretrained(name, trust_remote_code=False, output_loading_info=True)
                if [key for key in info["missing_keys"] if not key.startswith(f"{teacher.base_model_prefix}.")]:
                    raise TrainingError(
                        f"The teacher {name} has no trained masked-language-model head (ELECTRA's discriminators have "
                        "none), so there are no logits to learn from. Learn from its hidden states, attention or "
                        "relations (objective attention-hidden or relations), or give another teacher."
                    )
            else:
                teacher = transformers.AutoModel.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise UnsupportedModelError(
                f"The teacher {name} cannot be loaded: {str(error).splitlines()[0]} Give a folder written by "
                "save_pretrained, or a hub name."
            ) from error
    return cut_teacher(teacher, layers)


def cut_teacher(teacher: Any, layers: int) -> Any:
    """Leaves out a teacher's last layers, so that what is learned is that of an earlier one; 0 keeps all."""
    table = table_of(teacher)
    found = teacher.base_model.get_submodule(table.layers)
    if layers > len(found):
        raise TrainingError(f"teacher_layers={layers}: the teacher has {len(found)}.")
    if layers:
        del found[layers:]
    return teacher.eval()


def check_vocabulary(tokenizer: Any, teacher: str, model: str) -> None:
    """Refuses a teacher that reads other tokens than the student.

    Raises:
        DataError: If it does; says what to do.
    """
    own, other = tokenizer.get_vocab(), load_tokenizer(teacher).get_vocab()
    if own == other:
        return
    differing = sorted(token for token in {*own, *other} if own.get(token) != other.get(token))
    raise DataError(
        f"The teacher {teacher!r} reads other tokens than {model!r}: {len(differing)} of {len(own)} and {len(other)} "
        f"differ, such as {differing[0]!r}. Give a teacher with the model's vocabulary; or let the model begin with "
        "the teacher's: make the corpus with `sublm pretrain-data --tokenizer` and the teacher, and pass from_scratch."
    )


def check_pair(terms: Terms, teacher: Any, *, vocabulary: int, heads: int, narrowest: int) -> None:
    """Refuses pairs that an objective cannot compare.

    Args:
        terms: The objective.
        teacher: Whom is learned from; None for nobody.
        vocabulary: Tokens that the student predicts.
        heads: Fewest attention heads of a sub-network.
        narrowest: Least attention width of a sub-network.

    Raises:
        TrainingError: If it cannot work.
    """
    if terms.distils and teacher is None:
        raise TrainingError("The objective learns from a teacher: pass teacher=, which may be the model itself.")
    if not terms.distils and teacher is not None:
        raise TrainingError(
            "The objective mlm learns nothing from a teacher; choose bort, relations or attention-hidden, or leave "
            "teacher= out."
        )
    if teacher is None:
        return
    if terms.logits and vocabulary != teacher.config.vocab_size:
        raise TrainingError(
            f"The student predicts {vocabulary} tokens, the teacher {teacher.config.vocab_size}; "
            "logits need the same. Choose the objective relations or attention-hidden."
        )
    theirs = heads_of(teacher)
    table = table_of(teacher)
    if terms.attention and table.scores_positions:
        raise TrainingError(
            f"In {table.model_type}, positions add to the attention scores, which are learned as products of queries "
            "and keys: choose the objective relations."
        )
    if terms.attention and heads != theirs:
        raise TrainingError(
            f"Attention scores are compared head by head: the teacher has {theirs} heads, a sub-network {heads}. Use "
            "the space homogeneous-kd, which keeps all heads of a model with the teacher's number, or the objective "
            "relations, which takes any number."
        )
    relation_heads = terms.relation_heads or theirs
    if terms.relations and relation_heads > narrowest:
        raise TrainingError(
            f"{relation_heads} relation heads cannot be made of {narrowest} dimensions, the narrowest attention of the "
            f"space; give relation_heads={narrowest} or less."
        )


def heads_of(model: Any) -> int:
    """Attention heads of the last attention of a model, of a super-network's whole model where that is active."""
    table = table_of(model)
    last = last_attention(model, table)
    if last is None:
        raise TrainingError(f"No layer of this {type(model).__name__} attends.")
    rows, _ = table.layer.attention.leaves[table.layer.query]
    makes: Any = last.get_submodule(table.layer.query)
    size: int = getattr(last.get_submodule(table.layer.self_attention), table.layer.head_size)
    return int(makes.out_features) // len(rows.parts) // size


def make_projection(folder: str | Path | None, hidden: int, width: int, *, seed: int) -> HiddenProjection:
    """The projection of the hidden states: that saved in a model's folder if it fits, else a new one."""
    from safetensors.torch import load_file

    projection = HiddenProjection(hidden, width, seed=seed)
    path = None if folder is None else Path(folder) / PROJECTION_FILE
    if path is not None and path.is_file():
        saved = load_file(path)
        if saved["weight"].shape == projection.weight.shape:
            projection.load_state_dict(saved)
    return projection


PROJECTION_FILE = "hidden_projection.safetensors"
"""Beside a model: the projection that was trained with it."""


def is_subnetwork(folder: Path) -> bool:
    """Whether a folder holds a sub-network whose sizes no stock configuration expresses."""
    path = folder / "config.json"
    return path.is_file() and str(read_json(path).get("model_type")).startswith("sublm_")
