"""A tiny model with its tokenizer, and a small task whose answer one word tells."""

import json
import random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from sublm.pipeline import execute
from sublm.progress import Progress
from sublm.settings import Settings
from tests.tasks.tiny_bert import tiny_bert

WORDS = [f"word{i}" for i in range(40)] + ["good", "bad"]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.save_pretrained(folder)
    tiny_bert(tokenizer, num_hidden_layers=3, max_position_embeddings=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    rng = random.Random(0)
    for split, rows in (("train", 120), ("validation", 40)):
        with open(folder / f"{split}.jsonl", "w", encoding="utf-8") as file:
            for number in range(rows):
                kind = ("good", "bad")[number % 2]
                words = [rng.choice(WORDS[:40]) for _ in range(rng.randint(3, 8))]
                words.insert(rng.randrange(len(words)), kind)
                file.write(json.dumps({"text": " ".join(words), "label": kind}) + "\n")
    return folder


@pytest.fixture(scope="session")
def tuned(model_folder, task_folder, tmp_path_factory):
    """A model fine-tuned for the task."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    chosen = {"model": str(model_folder), "task": str(task_folder), "teacher_epochs": 6, "teacher_learning_rate": 3e-3}
    settings = Settings.from_dict(chosen | {"batch_size": 16, "precision": "fp32", "step": 8})
    execute(settings, folder, Progress(), until="teacher")
    return folder / "teacher"


@pytest.fixture
def settings(model_folder, task_folder):
    """A whole run in about a second."""
    return {
        "model": str(model_folder),
        "task": str(task_folder),
        "step": 8,
        "teacher_epochs": 2,
        "teacher_learning_rate": 3e-3,
        "epochs": 1,
        "learning_rate": 1e-3,
        "batch_size": 16,
        "precision": "fp32",
        "evaluations": 10,
        "models": 3,
        "recover_epochs": 1,
    }
