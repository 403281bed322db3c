import ast
import math
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard as HubCard

from sublm.errors import ExportError
from sublm.export.card import ModelCard, known_of, render_card, write_card
from tests.report.sample import sample_front


@pytest.fixture
def front():
    front = sample_front(evaluations=0)
    front["machine"]["device"] = "cpu"
    return front


@pytest.fixture
def card(front):
    return ModelCard.from_front(front, "m50", license="apache-2.0", language=("en",), parent_fingerprint="ab" * 32)


def test_the_hub_reads_the_metadata_back(card, tmp_path):
    data = HubCard.load(write_card(card, tmp_path)).data
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.pipeline_tag == "text-classification"
    assert (data.license, data.language, data.library_name) == ("apache-2.0", ["en"], "transformers")
    assert data.metrics == ["spearmanr", "pearsonr"]
    assert "sublm" in data.tags
    spearman, pearson = data.eval_results
    assert (spearman.metric_type, spearman.metric_value) == ("spearmanr", 0.873)
    assert (pearson.metric_type, pearson.metric_value) == ("pearsonr", 0.875)
    where = (spearman.dataset_type, spearman.dataset_config, spearman.dataset_split)
    assert where == ("nyu-mll/glue", "stsb", "validation")
    assert data.model_name == "m50"


def test_it_says_what_it_keeps_and_costs(card):
    text = render_card(card)
    assert "keeps 100.9 % of the original’s spearman (0.8730 against 0.8653)" in text
    assert "with 77 % of its parameters and 52 % of its MACs, 1.79 times as fast." in text
    assert "| spearman | 0.8730 | 0.8580 | 0.8653 |" in text
    assert "On the validation split (1500 examples). The search never saw it: it compared sub-networks on 862" in text
    assert "| latency, median (ms) | 5.92 | 10.57 |" in text
    assert "Latency: ONNX Runtime in fp32, batch 1, lengths of the task’s own texts, threads: 1, AMD EPYC 9B14." in text
    for fact in ("| torch | 2.13.0 |", "| seed | 0 |", f"`{'ab' * 32}`", "| sublm | 0.1.0 |", "| 2 | 6 | 768 |"):
        assert fact in text


def test_answers_to_questions_are_evaluated_as_squad_is(front, tmp_path):
    scores = {"f1": 0.8, "em": 0.7, "has_answer_f1": 0.75, "no_answer_f1": 0.85}
    changes = {"task": "squad_v2", "kind": "span", "metric": "f1", "scores": scores}
    card = ModelCard.from_front(front, "m50", **changes)
    data = HubCard.load(write_card(card, tmp_path)).data
    assert data.pipeline_tag == "question-answering"
    assert data.datasets == "rajpurkar/squad_v2" or data.datasets == ["rajpurkar/squad_v2"]
    assert [(result.metric_name, result.metric_type) for result in data.eval_results] == [
        ("f1", "f1"), ("em", "exact_match"), ("has_answer_f1", "f1"), ("no_answer_f1", "f1"),
    ]  # fmt: skip
    assert "AutoModelForQuestionAnswering.from_pretrained(folder" in render_card(card)


def test_how_to_load_suits_the_model(front):
    custom = render_card(ModelCard.from_front(front, "m50"))
    assert "AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)" in custom
    assert "sublm.load(" in custom
    assert "model.onnx" in custom
    stock = render_card(ModelCard.from_front(front, "m50", stock=True, kind="multiple_choice", onnx=False))
    assert "AutoModelForMultipleChoice.from_pretrained(folder)" in stock
    assert "pipeline_tag: multiple-choice" in stock
    assert "trust_remote_code" not in stock
    assert "sublm.load(" not in stock
    assert "model.onnx" not in stock


@pytest.mark.parametrize("kind", ["classification", "regression", "tokens", "rerank", "embedding", "span"])
def test_every_line_of_python_compiles_and_names_what_it_uses(front, kind):
    card = render_card(ModelCard.from_front(front, "m50", kind=kind, onnx=True))
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 3
    assert "InferenceSession(folder" in blocks[2]
    for block in blocks:
        names = {node.id for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)}
        given = {n.asname or n.name for node in ast.walk(ast.parse(block)) for n in getattr(node, "names", ())}
        made = {node.id for node in ast.walk(ast.parse(block)) if isinstance(getattr(node, "ctx", None), ast.Store)}
        assert names <= given | made | {"print", "entry"}


def test_a_model_that_was_not_recovered_has_one_score(front):
    front["points"][0]["train_seconds"] = 0.0
    assert "before recovery" not in render_card(ModelCard.from_front(front, front["points"][0]["name"]))


def test_a_parent_that_is_a_path_is_named_without_it_and_not_to_the_hub(front, tmp_path, monkeypatch):
    (tmp_path / "home" / "tuned").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for parent in (str(tmp_path / "home" / "tuned"), "home/tuned"):
        text = render_card(ModelCard.from_front(front | {"model": parent}, "m50"))
        assert "base_model" not in yaml.safe_load(text.split("---")[1])
        assert "`tuned`" in text
        assert "home" not in text


def test_a_card_can_do_with_little():
    text = render_card(
        ModelCard("small", "google/bert", "mine.csv", "classification", "accuracy", {"accuracy": 0.5}, True)
    )
    data = HubCard(text).data
    assert data.eval_results[0].dataset_type == "mine"
    assert data.license is None
    assert "Not measured." in text
    assert "None" not in text


def test_a_score_that_is_no_number_is_not_reported_to_the_hub():
    scores = {"accuracy": math.nan, "f1": 0.5}
    text = render_card(ModelCard("small", "google/bert", "mine", "classification", "accuracy", scores, True))
    assert [result.metric_type for result in HubCard(text).data.eval_results] == ["f1"]
    assert "| accuracy | not a number |" in text


def test_null_in_a_fronts_json_is_a_score_that_is_no_number(front):
    front["points"][2] |= {"score": None, "scores": {"spearman": None, "pearson": 0.5}}
    front["teacher"] = {"score": None}
    text = render_card(ModelCard.from_front(front, "m50"))
    assert "| spearman | not a number | 0.8580 |" in text
    assert [result.metric_name for result in HubCard(text).data.eval_results] == ["pearson"]


def test_names_break_neither_metadata_nor_tables():
    name = 'a: "b"\n---\n# c | <script>'
    card = ModelCard(
        name, "google/bert", "mine", "classification", "f1", {"f1": 0.5}, True, machine={"processor": name}
    )
    text = render_card(card)
    data = HubCard(text).data
    assert data.model_name == name
    assert data.pipeline_tag == "text-classification"
    body = text.split("\n---\n\n", 1)[1]
    assert "<script>" not in body
    assert body.count("\n# ") == 0


def test_an_unknown_model_or_kind_is_refused(front):
    with pytest.raises(ExportError, match="no model 'm51'; it has: m80, m66"):
        ModelCard.from_front(front, "m51")
    with pytest.raises(ExportError, match="'ranking'; there is: classification, regression, multiple_choice"):
        render_card(ModelCard.from_front(front, "m50", kind="ranking"))


@pytest.mark.parametrize(
    ("readme", "known"),
    [
        ("---\nlicense: mit\nlanguage: en\n---\n# x", {"license": "mit", "language": ("en",)}),
        ("---\nlanguage: [de, fr]\n---\n", {"language": ("de", "fr")}),
        ("# no metadata", {}),
        ("---\nlicense: [: \n---\n", {}),
        ("---\n- a\n---\n", {}),
        (None, {}),
    ],
)
def test_license_and_language_come_from_the_parents_card(readme, known, tmp_path):
    if readme is not None:
        (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    assert known_of(tmp_path) == known


def test_an_unknown_parent_is_not_looked_for_on_the_network(monkeypatch, tmp_path):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert known_of("nobody/no-such-model") == {}
    assert known_of(Path("no/such/folder/at/all")) == {}


def test_a_parents_own_license_keeps_its_name_and_link(tmp_path):
    stated = "license: other\nlicense_name: house-license\nlicense_link: https://example.org/license"
    (tmp_path / "README.md").write_text(f"---\n{stated}\n---\n# Parent\n")
    card = ModelCard("small", "google/bert", "mine", "classification", "f1", {"f1": 0.5}, True, **known_of(tmp_path))
    assert yaml.safe_load(render_card(card).split("---")[1])["license_name"] == "house-license"
    assert HubCard(render_card(card)).data.license == "other"
