"""The whole route on questions with answers in their contexts."""

import json

import pytest

import sublm
from sublm.errors import DataError
from sublm.export import check_onnx
from sublm.tasks import encode, load_task, load_tokenizer, predict, score_predictions
from tests.tasks.questions import make_rows, word_tokenizer, write_official
from tests.tasks.tiny_bert import tiny_bert


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_bert(tokenizer, num_labels=3).save_pretrained(folder)
    return folder


def easy_folder(where):
    """Every context tells of one thing, and every question asks for it."""
    where.mkdir()
    write_official(where / "train-v1.1.json", make_rows(120, seed=1, sentences=1, asked=1))
    write_official(where / "dev-v1.1.json", make_rows(20, seed=2, sentences=1, asked=1))
    return where


def folder_of(where, unanswerable):
    where.mkdir()
    version = "2.0" if unanswerable else "1.1"
    write_official(where / f"train-v{version}.json", make_rows(40, seed=1, unanswerable=unanswerable), version)
    write_official(where / f"dev-v{version}.json", make_rows(8, seed=2, unanswerable=unanswerable), version)
    return where


@pytest.fixture
def settings(reader):
    return {
        "model": str(reader),
        "max_length": 24,  # shorter than question and context together
        "step": 8,
        "teacher_epochs": 1,
        "teacher_learning_rate": 3e-3,
        "epochs": 1,
        "learning_rate": 1e-3,
        "batch_size": 16,
        "precision": "fp32",
        "evaluations": 4,
        "models": 2,
    }


def test_questions_that_all_have_an_answer(settings, tmp_path):
    out, questions = tmp_path / "run", easy_folder(tmp_path / "qa")
    settings |= {"max_length": 14, "teacher_epochs": 4, "teacher_learning_rate": 1e-2, "epochs": 2, "batch_size": 8}
    front = sublm.compress(**settings, task=str(questions), out=out, onnx=True, baselines=["original-int8"])
    assert (front["task"]["kind"], front["task"]["metric"], front["task"]["examples"]) == ("span", "f1", 20)
    assert front["teacher"]["scores"]["em"] > 0.9
    assert all(point["scores"]["em"] > 0.9 for point in front["points"])
    task = load_task(str(questions))
    assert len(encode(task.validation, task.task, load_tokenizer(settings["model"]), 14)) > len(task.validation)
    answers = dict(zip(task.validation.extras["id"], task.validation.extras["answers"], strict=True))
    for name, scores in [
        ("original", front["teacher"]["scores"]),
        *((p["name"], p["scores"]) for p in front["points"]),
    ]:
        assert set(scores) == {"f1", "em"}
        predictions = json.loads((out / "predictions" / name / "predictions.json").read_text())
        assert score_predictions(predictions, answers) == pytest.approx(scores)
    point = front["points"][0]
    model = sublm.load(out / point["folder"])
    assert type(model).__name__.endswith("ForQuestionAnswering")
    assert check_onnx(model, out / point["onnx"]) < 1e-4
    card = (out / point["folder"] / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    assert "AutoModelForQuestionAnswering" in card
    assert "| em |" in card
    assert "AutoModelForQuestionAnswering" in (out / "report.html").read_text()
    (baseline,) = front["baselines"]
    assert baseline["score"] == pytest.approx(front["teacher"]["score"], abs=0.2)


def test_the_validation_answers_of_unanswerable_questions_decide_nothing(settings, tmp_path):
    questions = folder_of(tmp_path / "qa", 0.4)
    first = sublm.compress(**settings, task=str(questions), out=tmp_path / "first")
    assert first["teacher"]["scores"]["no_answer_f1"] >= 0
    odds = json.loads((tmp_path / "first" / "predictions" / "original" / "null_odds.json").read_text())
    predictions = json.loads((tmp_path / "first" / "predictions" / "original" / "predictions.json").read_text())
    left, given = ([odds[name] for name, text in predictions.items() if bool(text) is told] for told in (False, True))
    assert max(given, default=-1e9) < min(left, default=1e9)  # one threshold divides them
    # With all validation questions answerable the best threshold there would be another.
    write_official(
        questions / "dev-v2.0.json",
        [
            row | {"answers": {"text": ["then"], "answer_start": [row["context"].index("then")]}}
            if "then" in row["context"]
            else row
            for row in make_rows(8, seed=2, unanswerable=0.4)
        ],
        "2.0",
    )
    second = sublm.compress(**settings, task=str(questions), out=tmp_path / "second")
    again = json.loads((tmp_path / "second" / "predictions" / "original" / "predictions.json").read_text())
    assert again == predictions
    assert second["chosen"] == first["chosen"]
    assert [p["subnet"] for p in second["points"]] == [p["subnet"] for p in first["points"]]


def test_no_paragraph_stands_in_two_splits(tmp_path):
    data = load_task(str(folder_of(tmp_path / "qa", 0.4)))
    train, search = (set(split.texts["context"]) for split in (data.train, data.search))
    assert not train & search
    assert data.task.no_answer


def test_windows_longer_than_the_model_reads_are_refused_before_any_training(settings, tmp_path):
    rows = make_rows(20, seed=1, sentences=8)
    (tmp_path / "qa").mkdir()
    write_official(tmp_path / "qa" / "train.json", rows)
    with pytest.raises(DataError, match=r"the model reads 48\. Pass max_length=48"):
        sublm.compress(**settings | {"max_length": 60}, task=str(tmp_path / "qa"), out=tmp_path / "run")
    with pytest.raises(DataError, match="doc_stride=20"):
        sublm.compress(**settings, doc_stride=20, task=str(tmp_path / "qa"), out=tmp_path / "run")
    plan = sublm.compress(
        **settings | {"max_length": None}, task=str(tmp_path / "qa"), out=tmp_path / "p", dry_run=True
    )
    assert plan["seconds"] > 0


def test_a_fine_tuned_reader_keeps_its_head_and_predicts_the_same(settings, tmp_path):
    questions = folder_of(tmp_path / "qa", 0.0)
    first = sublm.compress(**settings, task=str(questions), out=tmp_path / "first", importance="movement")
    own = settings | {"model": str(tmp_path / "first" / "teacher"), "importance": "fisher"}
    second = sublm.compress(**own, task=str(questions), out=tmp_path / "second")
    assert second["teacher"]["train_seconds"] == 0
    assert second["teacher"]["scores"] == first["teacher"]["scores"]
    task = load_task(str(questions))
    encoded = encode(task.search, task.task, load_tokenizer(settings["model"]), 24)
    logits = predict(sublm.load(tmp_path / "second" / "teacher"), encoded)
    assert logits.shape == (len(encoded), encoded.lengths.max(), 2)
