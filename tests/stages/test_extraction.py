"""`sublm extract-optimal` from the command to the folder it leaves, on models of a few thousand weights."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertTokenizer

from sublm import cli
from sublm.costs.measured import measure_models
from sublm.errors import DataError, DivergenceError, GridError, RunError, TargetError, UsageError
from sublm.export import load
from sublm.files import read_json
from sublm.pretraining import Corpus, build_corpus
from sublm.progress import Progress
from sublm.search.fptas import ErrorMeasure, Theta, parse_shape
from sublm.stages.extraction import costs, extract
from sublm.stages.extraction.data import read_material
from sublm.stages.extraction.family import family_of_corpus, family_of_model
from sublm.tasks import load_tokenizer
from sublm.training.objectives import PretrainingObjective
from tests.pretraining import samples
from tests.stages import extraction_program
from tests.stages.extraction_program import settings

LOG = Path("search") / "trainings.jsonl"


def lines(out):
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    rng = random.Random(0)
    (folder / "a.txt").write_text(samples.text_of([samples.document(rng, 3) for _ in range(120)]))
    build_corpus([folder / "a.txt"], samples.bert(), folder / "corpus", length=32, workers=1)
    return folder / "corpus"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """2 layers, 2 heads of 8, 16 wide, 12 neurons."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = samples.bert()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=32,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def done(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return out, extract(settings(corpus, out, seeds=2), Progress())


def test_the_result_says_what_was_found_and_how(done):
    out, result = done
    assert result == read_json(out / "extraction.json")
    assert result["maximum"]["name"] == "2-2-16-12"
    assert {row["name"] for row in result["table"]} == {"1-2-8-12", "2-2-8-12", "1-2-16-12"}
    assert result["chosen"]["w"] == max(row["w"] for row in result["table"])
    assert result["chosen"]["name"] in result["front"]
    assert result["start"].startswith("random weights")
    assert len(result["stability"]["seeds"]["tau"]) == 1
    assert [row["steps"] for row in result["stability"]["steps"]] == [2, 4, 6]
    assert [row["maximum"] for row in result["stability"]["maximum"]] == ["4-2-16-12", "2-4-32-24"]
    assert result["oracle"][0]["ratio"] == 1
    # ê is a share of ln V: at random weights it is about 1, and it has fallen
    assert result["error"]["chance"] == pytest.approx(torch.log(torch.tensor(58.0)).item())
    first = [line["curve"]["losses"][0] / result["error"]["chance"] for line in lines(out)]
    assert all(0.9 < e < 1.1 for e in first)
    assert all(row["e"] < 1 for row in result["table"])


def test_the_chosen_model_is_there_as_its_training_begins(done):
    out, result = done
    model = AutoModelForMaskedLM.from_pretrained(out / "architecture")
    chosen = result["chosen"]
    sizes = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
    assert [getattr(model.config, size) for size in sizes] == [
        chosen[n] for n in ("layers", "heads", "hidden", "neurons")
    ]
    assert model.base_model.num_parameters() == chosen["p"]


def test_run_again_it_does_nothing_and_other_settings_are_refused(done, corpus):
    out, result = done
    before = (out / LOG).read_bytes()
    assert extract(settings(corpus, out, seeds=2), Progress()) == result
    with pytest.raises(RunError, match="stride"):
        extract(settings(corpus, out, seeds=2, stride=2), Progress())
    changed = extract(settings(corpus, out, seeds=2, stride=2, error="loss"), Progress(), overwrite=True)
    assert (out / LOG).read_bytes() == before  # every training was there
    assert changed["grid"]["trained"] == 2
    assert changed["oracle"] is None
    assert changed["chosen"]["e"] == pytest.approx(result["chosen"]["e"] * result["error"]["chance"])
    extract(settings(corpus, out, seeds=2), Progress(), overwrite=True)


def test_killed_it_goes_on_and_ends_in_the_same(done, corpus, tmp_path):
    out = tmp_path / "out"
    program = [sys.executable, str(Path(extraction_program.__file__)), str(corpus), str(out), "3"]
    killed = subprocess.run(program, env=os.environ, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert len(lines(out)) == 3
    assert not (out / "extraction.json").exists()
    before = (out / LOG).read_bytes()
    extract(settings(corpus, out), Progress())
    assert (out / LOG).read_bytes().startswith(before)
    assert len(lines(out)) == 6

    def losses(folder):
        return {str([x["xi"], x["theta"], x["seed"]]): x["curve"]["losses"] for x in lines(folder) if x["seed"] == 0}

    assert losses(out) == losses(done[0])


def test_slices_begin_with_the_models_weights(corpus, model, tmp_path):
    changes = {"model": str(model), "start": "slices", "grid_hidden": [8, 16], "grid_neurons": [6, 12]}
    result = extract(settings(corpus, tmp_path / "out", **changes, learning_rate=[3e-3]), Progress())
    assert result["start"].startswith("slices of")
    assert result["grid"]["members"] == 8
    family = family_of_model(str(model), "slices")
    whole, sliced = family.supernet.model, family.make(parse_shape("1-2-8-6"), 5)
    words = whole.get_input_embeddings().weight
    assert torch.equal(sliced.get_input_embeddings().weight, words[:, :8])
    up = whole.bert.encoder.layer[0].intermediate.dense.weight
    assert torch.equal(sliced.bert.encoder.layer[0].intermediate.dense.weight, up[:6, :8])
    assert (tmp_path / "out" / "architecture" / "tokenizer.json").exists()
    with pytest.raises(GridError, match="None of the"):
        extract(settings(corpus, tmp_path / "large", **{**changes, "grid_hidden": [32]}), Progress())


def test_the_loss_of_a_task(model, tmp_path):
    rng = random.Random(1)
    rows = [(samples.words(rng, 5), rng.choice("ab")) for _ in range(60)]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    changes = {"task": str(tmp_path / "t.csv"), "model": str(model), "learning_rate": [3e-3]}
    result = extract(settings(None, tmp_path / "out", **changes), Progress())
    assert result["error"]["chance"] == pytest.approx(0.6931, abs=1e-4)
    assert result["data"]["loss"] == "t (classification)"
    assert len(lines(tmp_path / "out")) == 3
    assert all(0.5 < row["e"] < 2 for row in result["table"])


def test_latency_is_measured_once_as_it_is_deployed(corpus, tmp_path, monkeypatch):
    calls = []

    def steady(makers, sizes, largest, **options):
        """Measures, and gives back times that are the same on every machine."""
        _, sample = measure_models(makers, sizes, largest, **options)
        calls.append(sample)
        return {name: size / 1e3 for name, size in sizes.items()}, sample

    monkeypatch.setattr(costs, "measure_models", steady)
    few = {"rounds": 1, "learning_rate": [3e-3], "cost": "latency", "runtime": "onnx", "grid_layers": [1]}
    chosen = settings(corpus, tmp_path / "out", **few, compare_maximum=["2-2-16-12"], target=["latency<=90%"])
    result = extract(chosen, Progress())
    assert result["maximum"]["i"] == result["maximum"]["p"] / 1e3
    assert result["costs"]["i"] == "milliseconds of the encoder at 32 tokens (onnx fp32, 1 thread)"
    extract(replace(chosen, learning_rate=[1e-2]), Progress(), overwrite=True)
    assert len(calls) == 1
    assert calls[0].runtime == "onnx"


def test_a_curve_does_not_depend_on_what_ran_before_or_on_how_long_it_goes(corpus, tmp_path):
    shape, theta = parse_shape("1-2-8-12"), Theta(1e-2, 8)
    short = read_material(settings(corpus, tmp_path, train_steps=4, checks=2)).surrogate
    longer = read_material(settings(corpus, tmp_path, train_steps=8, checks=4)).surrogate
    torch.rand(7)
    one, other = short(shape, theta, 3), longer(shape, theta, 3)
    assert one.steps == (0, 2, 4)
    assert other.steps == (0, 2, 4, 6, 8)
    assert one.losses == pytest.approx(other.losses[:3], rel=1e-6)
    assert short(shape, theta, 4).losses != one.losses
    assert ErrorMeasure(at=16)(other) <= other.losses[-1]


def test_the_loss_is_taken_on_masked_tokens_of_pieces_that_are_not_trained_on(corpus, tmp_path):
    material = read_material(settings(corpus, tmp_path))
    held = {int(row) for batch in material.surrogate.section for row in batch["index"]}
    epochs = material.surrogate.epochs(8, 0)
    learned = {int(row) for batch in epochs(0) for row in batch["index"]}
    assert len(held) <= 24
    assert not held & learned
    model = material.family.make(parse_shape("1-2-8-12"), 0)
    batch, objective = material.surrogate.section[0], PretrainingObjective()
    with torch.no_grad():
        own = objective.loss(objective.answer(model, batch), None, batch, None)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
        assert own.item() == pytest.approx(model(**inputs).loss.item(), rel=1e-5)
        empty = {**batch, "labels": torch.full_like(batch["labels"], -100)}
        assert objective.loss(objective.answer(model, empty), None, empty, None) == 0
        assert objective.count(empty) == 0


def test_all_diverging_says_so_and_keeps_the_trainings(corpus, tmp_path):
    with pytest.raises(DivergenceError, match="3 of 3 trainings diverged"):
        extract(settings(corpus, tmp_path / "out", learning_rate=[1e30]), Progress())
    assert [line["e"] for line in lines(tmp_path / "out")] == [None] * 3
    mended = extract(settings(corpus, tmp_path / "out", learning_rate=[1e30, 1e-2]), Progress(), overwrite=True)
    assert len(lines(tmp_path / "out")) == 6
    assert mended["diverged"] == 3
    assert mended["chosen"]["theta"]["learning_rate"] == 1e-2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"grid_heads": [3]}, GridError, "hidden size 9 with 3 heads"),
        ({"grid_layers": []}, UsageError, "--grid-layers"),
        ({"maximum": "1-2-8-12"}, GridError, "dominates none of the 4 candidates"),
        ({"maximum": "huge"}, GridError, "bert-large"),
        ({"stride": 9}, GridError, "--stride"),
        ({"stride": 0}, UsageError, "--stride must be at least 1"),
        ({"learning_rate": [-1.0]}, GridError, "learning rate"),
        ({"target": ["parameters<=10"]}, TargetError, "each alone could be parameters<=5116"),
        ({"section": 168}, DataError, "--section"),
        ({"task": "mrpc"}, UsageError, "either --corpus"),
        ({"start": "slices"}, UsageError, "--model is missing"),
        ({"checks": 7}, UsageError, "--checks 7"),
        ({"error_at": 100, "checks": 2}, UsageError, "--checks 3"),
    ],
)
def test_what_cannot_work_is_refused_before_any_training(changes, error, message, corpus, tmp_path):
    with pytest.raises(error, match=message):
        extract(settings(corpus, tmp_path / "out", **changes), Progress())
    assert not (tmp_path / "out" / LOG).exists() or not lines(tmp_path / "out")


def test_another_tokenizers_corpus_is_refused(corpus, tmp_path):
    BertForMaskedLM(
        BertConfig(vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(tmp_path / "model")
    samples.roberta().save_pretrained(tmp_path / "model")
    with pytest.raises(DataError, match="another tokenizer"):
        extract(settings(corpus, tmp_path / "out", model=str(tmp_path / "model")), Progress())


def test_of_a_corpus_alone_the_architecture_reads_its_tokens(done):
    """So that it can be pre-trained and fine-tuned, pairs of texts too, without a tokenizer from elsewhere."""
    out, _ = done
    tokenizer = load_tokenizer(out / "architecture")
    assert tokenizer.get_vocab() == samples.bert().get_vocab()
    model = load(out / "architecture")
    assert model(**tokenizer("ba de", "fi", return_tensors="pt")).logits.shape[-1] == len(tokenizer)
    assert model.config.type_vocab_size == 1


def test_token_types_are_there_for_tokenizers_that_give_them(corpus):
    tokenizer = BertTokenizer(vocab=samples.bert().get_vocab())
    assert max(tokenizer("ba de", "fi")["token_type_ids"]) == 1
    assert family_of_corpus(Corpus.open(corpus), tokenizer).config.type_vocab_size == 2


def test_the_command(corpus, tmp_path, capsys):
    sizes = ["--grid-layers", "1", "2", "--grid-heads", "2", "--grid-hidden", "8", "16", "--grid-neurons", "12"]
    few = ["--train-steps", "3", "--section", "16", "--batch-size", "8", "--seeds", "2"]
    command = ["extract-optimal", "--corpus", str(corpus), "--out", str(tmp_path / "out"), *sizes, *few]
    assert cli.main([*command, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["members"], plan["candidates"], plan["trainings"], plan["steps"]) == (4, 3, 6, 18)
    assert not (tmp_path / "out").exists()
    assert cli.main([*command, "--dry-run"]) == 0
    assert "6 trainings and 18 steps" in " ".join(capsys.readouterr().out.split())
    assert cli.main(command) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "<- chosen" in page
    assert "Kendall's tau" in page
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(tmp_path / "out" / "extraction.json")
