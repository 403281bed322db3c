"""`--unlabelled`: a fine-tuned model's own answers take the place of labels."""

import json

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering, BertForSequenceClassification

import sublm
from sublm.errors import DataError, RunError
from sublm.tasks import Examples, Task, encode, load_tokenizer, predict
from sublm.tasks.unlabelled import answered, divergence, load_unlabelled
from tests.tasks.questions import make_rows, word_tokenizer
from tests.tasks.tiny_bert import tiny_bert


@pytest.fixture(scope="module")
def texts(task_folder, tmp_path_factory):
    """The task's training texts, one per line, without their labels."""
    file = tmp_path_factory.mktemp("raw") / "texts.txt"
    rows = [json.loads(line)["text"] for line in (task_folder / "train.jsonl").read_text().splitlines()]
    file.write_text("\n\n".join(rows) + "\n")
    return file


def test_it_learns_from_the_models_answers_and_is_scored_by_them(settings, tuned, texts, tmp_path):
    del settings["task"]
    front = sublm.compress(**settings | {"model": str(tuned)}, unlabelled=str(texts), out=tmp_path / "run")
    assert front["task"]["metric"] == "agreement"
    assert front["task"]["name"] == "texts"
    assert any("no labels" in note for note in front["task"]["notes"])
    assert front["teacher"]["score"] == 1.0
    assert front["teacher"]["scores"]["divergence"] == pytest.approx(0.0, abs=1e-6)
    assert front["settings"]["label_weight"] == 0.0
    data = load_unlabelled(texts, tuned)
    original = sublm.load(tmp_path / "run" / "teacher")
    for point in front["points"]:
        folder = tmp_path / "run" / point["folder"]
        rows = encode(data.validation, data.task, load_tokenizer(folder), 128)
        ours, theirs = predict(sublm.load(folder), rows), predict(original, rows)
        assert point["score"] == pytest.approx((ours.argmax(-1) == theirs.argmax(-1)).mean())
        assert point["scores"]["divergence"] == pytest.approx(divergence(theirs, ours), abs=1e-6)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "agreement" in report
    assert "has no labels" in report


def test_without_labels_and_without_training(tuned, texts, tmp_path):
    front = sublm.compress(
        str(tuned), unlabelled=str(texts), no_train=True, step=8, precision="fp32", sizes=[0.7], out=tmp_path / "run"
    )
    assert front["points"][0]["score"] > 0.5


def test_labels_in_the_task_change_nothing_that_is_learned(tuned, task_folder, texts):
    """The texts are all that is read."""
    lines = [json.loads(line) for line in (task_folder / "train.jsonl").read_text().splitlines()]
    table = texts.parent / "table.jsonl"
    table.write_text("".join(json.dumps({"text": line["text"], "label": "odd"}) + "\n" for line in lines))
    one, other = load_unlabelled(texts, tuned), load_unlabelled(table, tuned)
    assert one.train.rows() == other.train.rows()
    assert one.task.labels == ("bad", "good")


def test_pairs_come_in_two_columns(tuned, tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("sentence1,sentence2\n" + "".join(f"word{i} good,word{i} bad\n" for i in range(20)))
    assert load_unlabelled(file, tuned).task.texts == ("sentence1", "sentence2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "sst2"}, "takes the place of a task"),
        ({"label_weight": 0.5}, "label_weight=0.5 does not fit"),
        ({"teacher": "none"}, "leaves nothing"),
    ],
)
def test_what_needs_labels_does_not_go_with_it(tuned, texts, tmp_path, change, message):
    with pytest.raises(RunError, match=message):
        sublm.compress(str(tuned), unlabelled=str(texts), out=tmp_path / "run", **change)


def test_a_model_without_answers_and_a_file_that_is_missing_are_refused(tuned, model_folder, texts, tmp_path):
    with pytest.raises(DataError, match="fine-tuned to classify"):
        sublm.compress(str(model_folder), unlabelled=str(texts), out=tmp_path / "run")
    with pytest.raises(DataError, match="there is no file"):
        sublm.compress(str(tuned), unlabelled=str(tmp_path / "none.txt"), out=tmp_path / "run")
    with pytest.raises(RunError, match=r"give task=.*unlabelled="):
        sublm.compress(str(tuned), out=tmp_path / "run")


def test_answers_of_every_kind():
    regression = Task("t", "regression", ("text",), "answer", (), ("pearson",))
    rows = Examples({"text": ["a", "b"]}, np.zeros(2, dtype=np.float32))
    assert answered(rows, np.array([[0.25], [4.0]]), regression).labels.tolist() == [0.25, 4.0]
    classes = Task("t", "classification", ("text",), "answer", ("x", "y"), ("agreement",))
    assert answered(rows, np.array([[0.2, 0.1], [1.0, 3.0]]), classes).labels.tolist() == [0, 1]


def test_divergence_is_that_of_torch():
    teacher, student = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert divergence(teacher.numpy(), student.numpy()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("head", [BertForQuestionAnswering, BertForSequenceClassification], ids=["span", "regression"])
def test_questions_and_numbers_need_no_labels_either(head, tmp_path):
    """Any head counts as fine-tuned; the original agrees with itself, and the models more than by chance."""
    tokenizer, span = word_tokenizer(), head is BertForQuestionAnswering
    labels = 2 if span else 1
    tiny_bert(tokenizer, head, num_labels=labels, initializer_range=0.3).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    names = ("question", "context") if span else ("query", "passage")
    rows = [dict(zip(names, (row["question"], row["context"]), strict=True)) for row in make_rows(60, seed=1)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    front = sublm.compress(
        tmp_path / "model",
        unlabelled=str(tmp_path / "rows.jsonl"),
        no_train=True,
        sizes=[0.8],
        step=8,
        precision="fp32",
        max_length=24,
        out=tmp_path / "run",
    )
    assert front["teacher"]["score"] == pytest.approx(1.0)
    assert front["points"][0]["score"] > 0.3
