"""The whole route on tags of words."""

import numpy as np
import pytest
from transformers import pipeline

import sublm
from sublm.export import check_onnx
from sublm.export.onnx import predict_onnx
from sublm.run import read_json
from sublm.tasks import encode, evaluate, evaluation_batches, load_task, load_tokenizer, predict, score
from tests.tasks.tagged_sentences import make_sentences, word_pieces, write_conll
from tests.tasks.tiny_bert import tiny_bert


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    where = tmp_path_factory.mktemp("tokens")
    tokenizer = word_pieces()
    tokenizer.save_pretrained(where / "model")
    tiny_bert(tokenizer, max_position_embeddings=32).save_pretrained(where / "model")
    (where / "ner").mkdir()
    write_conll(where / "ner" / "train.conll", make_sentences(160, seed=1))
    write_conll(where / "ner" / "valid.conll", make_sentences(40, seed=2))
    front = sublm.compress(
        str(where / "model"),
        task=str(where / "ner"),
        out=where / "run",
        max_length=9,  # shorter than some sentences
        teacher_epochs=5,
        teacher_learning_rate=1e-2,
        epochs=3,
        learning_rate=3e-3,
        batch_size=16,
        precision="fp32",
        evaluations=4,
        models=2,
        onnx=True,
        baselines=["original-int8"],
    )
    return where, front


def test_a_run_finds_the_names(folders):
    where, front = folders
    assert (front["task"]["kind"], front["task"]["metric"], front["task"]["examples"]) == ("tokens", "f1", 40)
    assert front["teacher"]["scores"]["f1"] > 0.9
    for scores in (front["teacher"]["scores"], *(point["scores"] for point in front["points"])):
        assert set(scores) == {"f1", "precision", "recall", "accuracy"}
        assert scores["f1"] > 0.6
    (baseline,) = front["baselines"]
    assert baseline["score"] == pytest.approx(front["teacher"]["score"], abs=0.2)
    told = read_json(where / "run" / "comparison.json")
    assert (told["unit"], told["labels"]) == ("words", ["O", "LOC", "PER"])
    assert sum(map(sum, told["matrix"])) == told["rows"]


def test_its_models_are_ordinary_ones(folders):
    where, front = folders
    data = load_task(str(where / "ner"))
    rows = encode(data.validation, data.task, load_tokenizer(where / "model"), 9)
    assert len(rows) > len(data.validation)
    for point in front["points"]:
        folder = where / "run" / point["folder"]
        model = sublm.load(folder)
        assert evaluate(model, rows, data.task) == pytest.approx(point["scores"])
        assert check_onnx(model, where / "run" / point["onnx"]) < 1e-4
        logits = predict_onnx(where / "run" / point["onnx"], evaluation_batches(rows, pad_token_id=0, tokens=64))
        assert score(logits, rows, data.task) == pytest.approx(point["scores"])
        labelled = rows.labels[:, : logits.shape[1]] >= 0
        assert np.abs(logits[labelled] - predict(model, rows)[labelled]).max() < 1e-4
        card = (folder / "README.md").read_text()
        assert "pipeline_tag: token-classification" in card
        assert "AutoModelForTokenClassification" in card
    assert "AutoModelForTokenClassification" in (where / "run" / "report.html").read_text()


def test_the_pipeline_of_transformers_marks_the_same_names(folders):
    where, front = folders
    point = front["points"][0]
    folder = str(where / "run" / point["folder"])
    find = pipeline(
        "token-classification", model=folder, aggregation_strategy="first", trust_remote_code=not point["stock"]
    )
    data = load_task(str(where / "ner"))
    rows = encode(data.validation, data.task, load_tokenizer(where / "model"), 32)
    logits = predict(sublm.load(folder), rows)
    for row, text in enumerate(data.validation.texts["tokens"]):
        said = [data.task.labels[tag] for tag in logits[row, rows.labels[row] >= 0].argmax(-1)]
        words = text.split()
        named = [word for group in find(text) for word in text[group["start"] : group["end"]].split()]
        assert named == [word for word, tag in zip(words, said, strict=True) if tag != "O"]
