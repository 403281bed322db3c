import html.parser
import json
import math
import re

import pytest

from sublm.errors import RunError
from sublm.report import write_report
from sublm.report.page import baseline_rows, facts, headline, loading_code, model_rows, page
from sublm.report.text import NARROW
from tests.report.sample import sample_front

EXPORT = {
    "name": "openvino",
    "title": "OpenVINO",
    "runtime": "openvino",
    "precision": "fp32",
    "file": "models/m50/openvino_model.xml",
    "bytes": 68_069_198,
    "score": 0.871,
    "difference": {"mean": 0.0021, "largest": 0.013},
    "latency_ms": {"minimum": 4.62},
}


@pytest.fixture
def front():
    return sample_front(evaluations=20)


class Reader(html.parser.HTMLParser):
    """Collects visible text, tags and attributes; insists that elements nest."""

    VOID = frozenset({"meta", "link", "br", "input", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.scripts = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("circle", "path", "rect"):
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.words).append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words).replace(NARROW, " "))


def test_the_answer_comes_first(front):
    text = Reader(page(front)).text
    answer = "m50 is 1.79× as fast as the original and keeps 100.9 % of the score"
    assert headline(front).replace(NARROW, " ") == answer
    order = [answer, front["why"], "Spearman", "Load it", "The front", "The models", "What they have to beat"]
    places = [text.index(part, text.index("sentence-transformers/")) for part in order]
    assert places == sorted(places)


def test_facts_compare_with_the_original(front):
    found = {fact.title: (fact.value.replace(NARROW, " "), fact.note.replace(NARROW, " ")) for fact in facts(front)}
    assert found["Spearman"] == ("0.873", "+0.008 to the original’s 0.865; 100.9 % kept")
    assert found["Latency"] == ("5.69 ms", "original 10.2 ms; 1.79× as fast")
    assert found["MACs"] == ("156 M", "51.7 % of the original’s 301 M")
    assert found["Parameters"][1].endswith("5.65 M without embeddings")


def test_rows_give_every_number_of_a_model(front):
    row = next(row for row in model_rows(front) if row.chosen)
    texts = [
        row.name,
        row.score,
        row.before,
        row.kept,
        row.latency,
        row.latency_note,
        row.speed_up,
        row.macs,
        row.folder,
    ]
    assert [text.replace(NARROW, " ") for text in texts] == [
        "m50", "0.873", "0.858", "100.9 %", "5.69 ms", "5.92 · 0.40", "1.79×", "156 M", "models/m50",
    ]  # fmt: skip
    assert [row.name for row in model_rows(front)] == ["m80", "m66", "m50", "m33", "m25", "m16", "m10"]


def test_the_second_metric_stands_below_the_first(front):
    assert next(row.second for row in model_rows(front) if row.name == "m50") == "pearson 0.875"
    assert "pearson 0.875" in Reader(page(front)).text
    front["task"] |= {"kind": "span", "metric": "f1"}
    for entry in (front["teacher"], *front["points"]):
        entry["scores"] = {"f1": entry["score"], "em": 0.5, "has_answer_f1": 0.25}
    text = Reader(page(front)).text
    assert text.count("em 0.500") == 1 + len(front["points"])
    assert "AutoModelForQuestionAnswering" in text


def test_baselines_state_their_training(front):
    rows = {row.name: row.training.replace(NARROW, " ") for row in baseline_rows(front)}
    assert rows["prune-and-distil 50 %"] == "1 min 36 s"
    assert rows["original int8"] == "none"


def test_the_page_needs_no_network(front):
    reader = Reader(page(front))
    for _, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    style = next(script for script in reader.scripts if "--paper" in script)
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_can_be_used_by_keyboard_and_read_aloud(front):
    tags = Reader(page(front)).tags
    assert [a["value"] for t, a in tags if t == "input" and a["type"] == "radio"] == ["latency", "macs", "parameters"]
    scrolling = [a for _, a in tags if a.get("class") == "scroll"]
    assert len(scrolling) == 2
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in scrolling)
    ids = {a["id"] for _, a in tags if "id" in a}
    assert {a["aria-labelledby"] for _, a in tags if "aria-labelledby" in a} <= ids
    assert ("html", {"lang": "en"}) in tags


def test_figures_are_strict_json_for_both_themes_and_every_cost(front):
    front["points"][0]["score"] = math.nan
    text = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page(front), re.S).group(1)

    def refuse(constant):
        raise AssertionError(constant)

    figures = json.loads(text, parse_constant=refuse)
    assert {theme: set(costs) for theme, costs in figures.items()} == {
        theme: {"latency", "macs", "parameters"} for theme in ("light", "dark")
    }
    assert figures["light"]["macs"]["layout"]["font"] != figures["dark"]["macs"]["layout"]["font"]


def test_no_name_can_break_out_of_the_page(front):
    evil = "</script><script>alert(1)</script><b onclick='x'>&\"'"
    front["model"] = front["why"] = front["chosen"] = front["points"][2]["name"] = evil
    front["task"]["metric"] = front["baselines"][0]["name"] = front["baselines"][1]["kind"] = evil
    front["points"][2]["folder"] = f'models/{evil}"); import os; ("'
    front["machine"][evil] = evil
    reader = Reader(page(front))
    (figures,) = (script for script in reader.scripts if "alert(1)" in script)
    assert set(json.loads(figures)) == {"light", "dark"}
    assert not any("onclick" in attributes for _, attributes in reader.tags)
    assert sum(tag == "script" for tag, _ in reader.tags) == 3
    compile(loading_code(front)[0][1], "code", "exec")


@pytest.mark.parametrize(
    "missing", ["target", "why", "evaluations", "baselines", "stages", "machine", "latency", "seed", "sublm", "shape"]
)
def test_what_a_run_did_not_do_is_left_out_of_the_page(front, missing):
    del front[missing]
    text = Reader(page(front)).text
    assert "The models" in text
    assert ("What they have to beat" in text) == (missing != "baselines")
    assert ("Where the run’s time went" in text) == (missing != "stages")
    assert ("faint points" in text) == (missing != "evaluations")


def test_a_front_with_one_cost_and_no_choice_still_makes_a_page(front):
    front["chosen"] = None
    for entry in (*front["points"], *front["baselines"], front["teacher"]):
        entry.pop("latency_ms")
        entry.pop("parameters")
    front["points"][0].pop("score_before")
    text = page(front)
    assert headline(front) == "7 models on the front, none chosen"
    assert Reader(text).text.count("The models") == 1
    assert re.search(r'<fieldset class="costs" hidden>', text)


def test_an_empty_front_says_so(front, tmp_path):
    front |= {"points": [], "chosen": None}
    write_report(front, tmp_path)
    assert "No model was found" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_latency_the_headline_speaks_of_size(front):
    for entry in (*front["points"], front["teacher"]):
        entry.pop("latency_ms")
    assert (
        headline(front).replace(NARROW, " ") == "m50 needs 51.7 % of the original’s MACs and keeps 100.9 % of the score"
    )


def test_loading_code_suits_the_model(front):
    custom = dict(loading_code(front))
    assert any("trust_remote_code=True" in code for code in custom.values())
    assert any('sublm.load("models/m50")' in code for code in custom.values())
    assert 'InferenceSession("models/m50/model.onnx")' in custom["ONNX Runtime"]
    front["points"][2]["exports"] = [EXPORT]
    assert 'compile_model("models/m50/openvino_model.xml", "CPU")' in dict(loading_code(front))["OpenVINO"]
    front["points"][2] |= {"stock": True, "onnx": None, "exports": []}
    front["task"]["kind"] = "multiple_choice"
    ((_, code),) = loading_code(front)
    assert "AutoModelForMultipleChoice" in code
    assert "trust_remote_code" not in code
    front["task"]["kind"] = "embedding"
    ((package, code),) = loading_code(front)
    assert package == "sentence-transformers alone"
    assert 'SentenceTransformer("models/m50")' in code


def test_without_recovery_there_is_no_score_before_it(front):
    assert "before<br>recovery" in page(front)
    for point in front["points"]:
        point["train_seconds"] = 0.0
    assert "before<br>recovery" not in page(front)


def test_files_for_other_runtimes_stand_in_a_table(front):
    point = front["points"][2]
    other = EXPORT | {"runtime": "onnx", "title": "ONNX Runtime, int8", "score": math.nan, "difference": {}}
    point["exports"] = [EXPORT, other]
    front["latency"] |= {"runtime": "openvino", "precision": "fp32"}
    said = Reader(page(front)).text
    change = f"{0.871 - point['score']:+.3f}".replace("-", "−")
    row = f"m50 OpenVINO deployed 0.871 {change} 0.0021, at most 0.013 4.62 ms 68.1 MB models/m50/openvino_model.xml"
    assert row in said
    assert "ONNX Runtime, int8 not a number – 4.62 ms" in said
    assert "As files" not in Reader(page(sample_front(evaluations=0))).text


def test_the_search_never_saw_the_split_is_said(front):
    text = Reader(page(front)).text
    assert "spearman on the validation split of stsb (1 500 examples)" in text
    assert "The search never saw that split: it compared sub-networks on 862 examples of its own" in text


def test_a_path_is_shown_by_its_last_part(front):
    front["model"] = "/somebody/home/tuned"
    text = page(front)
    assert "tuned on stsb" in Reader(text).text
    assert "somebody" not in text


def test_predicted_latency_and_the_datas_notes_are_told(front):
    front["predictor"] = {"error": 0.031, "tau": 0.98}
    front["task"]["notes"] = ["12 near-duplicates were removed."]
    text = Reader(page(front)).text
    assert "held-out error 3.1 %" in text
    front["predictor"] |= {"intervals": {"0.9": [0.9, 1.2]}, "widest_level": 13 / 15}
    assert "held-out error 3.1 %, 87% between -10 and +20 %" in Reader(page(front)).text
    assert "12 near-duplicates were removed." in text


def test_files_are_written_whole_and_again(front, tmp_path):
    path = tmp_path / "front.json"
    path.write_text(json.dumps(front), encoding="utf-8")
    for _ in range(2):
        write_report(path, tmp_path / "run")
        assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["front.png", "report.html"]
    assert (tmp_path / "run" / "front.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RunError):
        write_report({"schema": 9}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
