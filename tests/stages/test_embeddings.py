"""The whole route on an embedding model: what comes out is a sentence-transformers folder."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch

import sublm
from sublm.errors import DataError, SubLMError
from sublm.export import check_onnx, predict_onnx
from sublm.pooling import pooling_of
from sublm.run import read_json
from sublm.tasks import encode, evaluate, evaluation_batches, load_task, load_tokenizer, predict, score
from tests.tasks.pairs import make_pairs, tiny_embedder, write_rows

# Runs where SubLM cannot be imported, as on a machine without it.
ELSEWHERE = """
import json, sys
sys.modules["sublm"] = None
from sentence_transformers import SentenceTransformer
texts = json.loads(sys.argv[1])
for folder in sys.argv[2:]:
    model = SentenceTransformer(folder, device="cpu", trust_remote_code=True)
    found = model.encode(texts).tolist()
    print(json.dumps([found, model.max_seq_length, model.prompts.get("query"), type(model[0].auto_model).__name__]))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    tiny_embedder(folder / "model", prompts={"query": "q: ", "document": ""})
    (folder / "sts").mkdir()
    write_rows(folder / "sts" / "train.jsonl", make_pairs(150, seed=1))
    write_rows(folder / "sts" / "validation.jsonl", make_pairs(40, seed=2))
    return {
        "model": str(folder / "model"),
        "task": "embedding",
        "data": str(folder / "sts"),
        "step": 8,
        "teacher_epochs": 1,
        "epochs": 2,
        "learning_rate": 1e-3,
        "batch_size": 16,
        "precision": "fp32",
        "evaluations": 6,
        "models": 2,
        "onnx": True,
    }


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("run") / "run"
    more = {"recover_epochs": 1, "refit": True, "racing": True, "baselines": ["original-int8"], "sizes": [0.9, 0.5]}
    return out, sublm.compress(**settings, **more, out=out)


def test_the_model_itself_teaches_and_small_ones_stay_near(run, settings):
    out, front = run
    assert (front["task"]["kind"], front["task"]["metric"], front["task"]["name"]) == ("embedding", "spearman", "sts")
    assert front["teacher"]["train_seconds"] == 0
    data = load_task("embedding", data=settings["data"])
    original = sublm.load(out / "teacher")
    encoded = encode(data.validation, data.task, load_tokenizer(settings["model"]), 24)
    assert evaluate(original, encoded, data.task) == pytest.approx(front["teacher"]["scores"], abs=1e-6)
    assert front["teacher"]["score"] > 0.5
    assert [point["score"] for point in front["points"]] == pytest.approx([front["teacher"]["score"]] * 2, abs=0.1)
    assert front["baselines"][0]["score"] == pytest.approx(front["teacher"]["score"], abs=0.05)
    told = read_json(out / "comparison.json")
    assert told["kind"] == "ranks"
    assert told["rows"] == front["task"]["search_examples"]


def test_models_are_folders_of_sentence_transformers_and_onnx_pools(run, settings):
    out, front = run
    data = load_task("embedding", data=settings["data"])
    encoded = encode(data.validation, data.task, load_tokenizer(settings["model"]), 24)
    for point in front["points"]:
        folder = out / point["folder"]
        model = sublm.load(folder)
        assert pooling_of(model).normalise
        assert evaluate(model, encoded, data.task) == pytest.approx(point["scores"], abs=1e-6)
        modules = read_json(folder / "modules.json")
        assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"]
        assert read_json(folder / "1_Pooling" / "config.json")["word_embedding_dimension"] == 24
        assert read_json(folder / "config_sentence_transformers.json")["prompts"]["query"] == "q: "
        assert check_onnx(model, folder / "model.onnx") < 1e-5
        said = predict_onnx(folder / "model.onnx", evaluation_batches(encoded, pad_token_id=0))
        assert torch.allclose(torch.from_numpy(said), torch.from_numpy(predict(model, encoded)), atol=1e-5)
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "library_name: sentence-transformers" in card
        assert "SentenceTransformer(" in card


@pytest.mark.skipif(not importlib.util.find_spec("sentence_transformers"), reason="needs sentence-transformers")
def test_sentence_transformers_gives_the_same_embeddings_without_sublm(run, settings):
    out, front = run
    texts = ["ada saw hats", "bo met dogs then later often", "cars " * 40]
    tokenizer = load_tokenizer(settings["model"])
    inputs = dict(tokenizer(texts, truncation=True, max_length=24, padding=True, return_tensors="pt"))
    folders = [out / "teacher", *(out / point["folder"] for point in front["points"])]
    command = [sys.executable, "-c", ELSEWHERE, json.dumps(texts), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names = []
    for folder, line in zip(folders, done.stdout.splitlines(), strict=True):
        found, longest, prompt, name = json.loads(line)
        with torch.no_grad():
            wanted = sublm.outputs.predictions_on(sublm.load(folder), inputs)
        torch.testing.assert_close(torch.tensor(found), wanted, atol=1e-5, rtol=1e-4)
        assert (longest, prompt) == (24, "q: ")
        names.append(name)
    assert names[0] == "BertModel"
    stock = [point["stock"] for point in front["points"]]
    assert names[1:] == ["BertModel" if is_stock else "SubnetBertModel" for is_stock in stock]
    assert not all(stock)  # the other way to load is tried too


def test_a_run_that_is_done_is_not_done_again(run, settings):
    out, front = run
    again = sublm.compress(
        **settings, **{k: front["settings"][k] for k in ("recover_epochs", "refit", "sizes")}, out=out
    )
    kept = ("importance", "space", "train")
    times = [{stage["name"]: stage["seconds"] for stage in one["stages"]} for one in (front, again)]
    assert [times[0][name] for name in kept] == [times[1][name] for name in kept]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "none"}, "teacher='none' learns from labels.*embedding have none"),
        ({"importance": "movement"}, "importance='movement' learns from labels"),
        ({"label_weight": 1.0}, "label_weight=1.0 learns from labels"),
    ],
)
def test_what_needs_labels_is_refused_before_any_work(settings, tmp_path, changes, said):
    with pytest.raises(SubLMError, match=said):
        sublm.compress(**(settings | changes), out=tmp_path / "run")
    assert not (tmp_path / "run" / "teacher").exists()


def test_a_model_without_a_tokenizer_is_refused(settings, tmp_path):
    model = tiny_embedder(tmp_path / "model")
    sublm.save(model, tmp_path / "bare")
    with pytest.raises(DataError, match="no tokenizer"):
        sublm.compress(**(settings | {"model": str(tmp_path / "bare")}), out=tmp_path / "run")


def test_every_export_is_scored_measured_and_told(settings, tmp_path):
    pytest.importorskip("onnxruntime")
    few = {"models": 1, "evaluations": 2, "epochs": 1, "onnx": False, "sizes": [0.6]}
    more = {"exports": ["onnx-fp16", "onnx-int8-static"], "runtime": "onnx-int8"}
    front = sublm.compress(**settings | few | more, out=tmp_path / "run")
    assert (front["latency"]["runtime"], front["latency"]["precision"]) == ("onnx", "int8")
    (point,) = front["points"]
    assert [entry["name"] for entry in point["exports"]] == ["onnx-fp16", "onnx-int8", "onnx-int8-static"]
    assert point["onnx"] is None
    data = load_task("embedding", data=settings["data"])
    encoded = encode(data.validation, data.task, load_tokenizer(settings["model"]), 24)
    said = predict(sublm.load(tmp_path / "run" / point["folder"]), encoded)
    for entry in point["exports"]:
        path = tmp_path / "run" / entry["file"]
        found = predict_onnx(path, evaluation_batches(encoded, pad_token_id=0))
        assert entry["scores"] == pytest.approx(score(found, encoded, data.task), abs=1e-6)
        assert entry["difference"]["largest"] == pytest.approx(abs(found - said).max(), abs=1e-6)
        assert entry["latency_ms"]["minimum"] > 0
        assert entry["bytes"] == path.stat().st_size
    deployed = point["exports"][1]
    assert point["deployed_scores"] == deployed["scores"]
    assert point["latency_ms"] == deployed["latency_ms"]
    assert point["deployed_search_score"] == pytest.approx(point["search_score_after"], abs=0.1)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    card = (tmp_path / "run" / point["folder"] / "README.md").read_text(encoding="utf-8")
    for name in ("model.fp16.onnx", "model.int8.onnx", "model.int8-static.onnx"):
        assert name in report
        assert f"| `{name}` |" in card
    # Another form later writes that, and trains nothing again.
    again = sublm.compress(**settings | few | more | {"exports": ["onnx"]}, out=tmp_path / "run")
    assert [entry["name"] for entry in again["points"][0]["exports"]] == ["onnx", "onnx-int8"]
    assert again["points"][0]["scores"] == point["scores"]
