"""The commands of the documentation, run on tiny models and files; those marked as needing a network or a GPU are not.

What would take long is checked with `--dry-run`: the model, the data and the options are read and fit together, and one
batch is tried.
"""

import importlib.util
import json
import os
import random
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
from transformers import BertForSequenceClassification

from sublm import cli
from sublm.costs import Counts, cost_model, fit_times, model_of
from sublm.spaces import small
from sublm.supernet import SuperNet
from tests.tasks.questions import WORDS, make_rows, wordpiece_tokenizer
from tests.tasks.tagged_sentences import make_sentences, write_conll
from tests.tasks.tiny_bert import tiny_bert
from tests.test_docs import LINES, MARK

SHORTER = {
    "compress": ["--dry-run"],
    "explain": ["--rounds", "1"],
    "finetune": ["--dry-run"],
    "latency": ["--rounds", "1"],
    "pretrain-data": ["--workers", "1"],
}
"""Command -> what makes it quick."""
WRITES = ("compress", "finetune", "pretrain-data", "trim-vocabulary")
"""Commands that are given a folder of their own, so that no line finds what another left."""
MODELS = ("bert", "my-embedder", "my-encoder", "my-model", "my-ranker", "my-reader", "roberta", "zh-bert", "zh-small")
"""Folders without a head that the documentation names."""
HERE = list(dict.fromkeys(line for _, line, comment in LINES if not MARK.search(comment)))


def write_rows(path, rows):
    """A table as JSON lines, or as CSV, by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sentences(number, did="saw"):
    return [f"{WORDS[i % 8]} {did} {WORDS[12 + i % 7]} {WORDS[20 + i % 8]} ." for i in range(number)]


def predictor(model, lengths):
    """What another run on this machine would have fitted; the times are made up."""
    supernet = SuperNet(BertForSequenceClassification.from_pretrained(model))
    space = small(supernet, step=8)
    subnets = [supernet.largest, *(space.sample(random.Random(i)) for i in range(20))]
    times = np.array([1 + cost_model(supernet).macs(subnet) / 1e6 for subnet in subnets])
    how = {"runtime": "torch", "precision": "fp32", "threads": 1, "batch": 1, "length": lengths}
    found = fit_times(Counts.of(subnets), times, how | {"model": model_of(supernet)})
    return replace(found, largest=float(times[0]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the documentation's names stand for tiny things."""
    folder = tmp_path_factory.mktemp("place")
    tokenizer = wordpiece_tokenizer(
        [*WORDS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    )
    sizes = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512, "max_position_embeddings": 512}
    for name in MODELS:
        tiny_bert(tokenizer, **sizes).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    named = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    tiny_bert(tokenizer, BertForSequenceClassification, **sizes, **named).save_pretrained(folder / "my-classifier")
    tokenizer.save_pretrained(folder / "my-classifier")
    texts = sentences(60)
    labelled = [{"review": text, "sentiment": ("good", "bad")[i % 2]} for i, text in enumerate(texts)]
    for name in ("reviews.csv", "my-data.csv", "data/reviews/train.csv", "data/reviews/validation.csv"):
        write_rows(folder / name, labelled)
    both = [{"text1": text, "text2": texts[-i], "label": i % 2} for i, text in enumerate(texts)]
    for split in ("train", "validation"):
        write_rows(folder / "pairs" / f"{split}.csv", both)
    pairs = [
        {
            "question": text,
            "answer": texts[-i],
            "good": i % 2,
            "query": texts[i // 4],
            "passage": text,
            "relevance": i % 2,
        }
        for i, text in enumerate(texts)
    ]
    write_rows(folder / "pairs.jsonl", pairs)
    write_rows(folder / "pairs.csv", [{"query": row["query"], "passage": row["passage"]} for row in pairs])
    for split, others in (("train", sentences(60, "met")), ("validation", sentences(60, "left"))):
        scored = [{"sentence1": text, "sentence2": others[-i], "score": i % 5} for i, text in enumerate(others)]
        write_rows(folder / "sts" / f"{split}.csv", scored)
    for name in ("texts.txt", "reviews.txt", "other.txt", "books/one.txt", "wiki/one.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(texts), encoding="utf-8")
    write_rows(folder / "wiki.jsonl", [{"text": text} for text in texts])
    (folder / "faq.json").write_text(json.dumps(make_rows(40, seed=0)), encoding="utf-8")
    (folder / "data" / "ner").mkdir()
    for number, name in enumerate(("ner.conll", "data/ner/train.conll", "data/ner/validation.conll")):
        write_conll(folder / name, make_sentences(40, seed=number))
    tokenizer.save_pretrained(folder / "corpus" / "tokenizer")  # as pretrain-data leaves one
    (folder / "my-grid.yaml").write_text("learning_rate: [1.0e-4, 2.0e-4]\n")
    (folder / "job.yaml").write_text("model: ./my-classifier\ntask: reviews.csv\n")
    (folder / "runs" / "other").mkdir(parents=True)
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    (folder / "runs" / "other" / "latency.json").write_text(predictor(folder / "my-classifier", lengths).to_json())
    here = os.getcwd()
    os.chdir(folder)
    try:
        quick = "--epochs 1 --teacher-epochs 1 --evaluations 6 --models 2 --batch-size 16 --target macs<=80% --step 8"
        assert cli.main(["compress", "./my-classifier", "--task", "reviews.csv", *quick.split(), "--quiet"]) == 0
        run = folder / "runs" / "reviews"
        from_scores = f"space --from-importance {run} --out first.json --nncf published.json --quiet"
        assert cli.main(from_scores.split()) == 0
        shutil.copytree(min((run / "models").iterdir()), run / "models" / "m25")
        yield folder
    finally:
        os.chdir(here)


@pytest.mark.parametrize("line", HERE)
def test_commands_of_the_documentation_run(line, place, tmp_path, capsys):
    _, command, *typed = shlex.split(line)
    added = [] if {"--dry-run", "--print-config"} & {*typed} else SHORTER.get(command, [])
    if command in WRITES and "--print-config" not in typed:
        added = [*added, "--out", str(tmp_path / "out")]
    if not importlib.util.find_spec("openvino"):
        typed = [word for word in typed if word != "openvino"]
    if command == "latency":  # exports are tried in tests/export and take seconds each; four threads wait for cores
        typed = [word for word in typed if word not in ("onnx", "openvino", "4")]
    assert cli.main([command, *typed, *added]) == 0, capsys.readouterr().err


def test_a_command_is_marked_wherever_it_stands():
    marked = {line for _, line, comment in LINES if MARK.search(comment)}
    assert HERE
    assert not marked & {*HERE}
