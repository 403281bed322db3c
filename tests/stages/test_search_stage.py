"""Racing inside a whole run: a task with enough rows for several rungs."""

import json
import random

import numpy as np
import optuna
import pytest

import sublm
from sublm.errors import RunError
from sublm.pipeline import execute, run_stage
from sublm.progress import Progress
from sublm.settings import Settings
from sublm.stages import search as stage
from tests.stages.conftest import WORDS


@pytest.fixture(scope="module")
def long_task(tmp_path_factory):
    """Texts whose number says, not quite exactly, how often one word stands in them."""
    folder = tmp_path_factory.mktemp("long")
    rng = random.Random(0)
    for split, rows in (("train", 400), ("validation", 20)):
        lines = []
        for _ in range(rows):
            times = rng.randint(0, 3)
            words = [rng.choice(WORDS[:40]) for _ in range(rng.randint(3, 8))] + ["good"] * times
            rng.shuffle(words)
            lines.append(json.dumps({"text": " ".join(words), "label": round(times + rng.gauss(0, 0.5), 2)}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return str(folder)


@pytest.fixture
def raced(settings, long_task):
    changes = {"task": long_task, "search_share": 0.6, "space": "medium", "sampler": "random", "evaluations": 30}
    trained = {"models": 1, "epochs": 1, "recover_epochs": 0, "teacher_epochs": 2, "teacher_learning_rate": 3e-3}
    return settings | changes | trained | {"racing": True}


def searched(settings, folder, **changes):
    """A run up to its search."""
    return execute(Settings.from_dict(settings | changes), folder, Progress(), until="search")


def test_a_target_that_differs_in_a_late_digit_is_searched_for_anew(settings, tmp_path):
    asked = settings | {"teacher_epochs": 1, "models": 1, "evaluations": 4}
    for number in (12345678, 12345679):
        searched(asked | {"target": [f"macs<={number}"]}, tmp_path / "run")
        configuration = json.loads((tmp_path / "run" / "search" / "search.json").read_text())
        assert [constraint["limit"] for constraint in configuration["constraints"]] == [number]


def test_searches_that_race_differently_do_not_share_a_study(raced, tmp_path):
    """What one gave up has a score on some rows, which the other must not take for one on all."""
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for racing in (True, False):
        searched(raced, tmp_path / f"{racing}", storage=url, evaluations=3, teacher_epochs=1, racing=racing)
    assert len(optuna.get_all_study_names(url)) == 2


def evaluations(folder):
    lines = (folder / "search" / "evaluations.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_scores_on_all_rows_are_those_of_a_search_without_racing(raced, tmp_path):
    # The sub-networks of so small a model are alike: the margin is what gives some of them up.
    front = sublm.compress(**raced, out=tmp_path / "raced", racing_check=4, racing_margin=0.05)
    plain = searched(raced, tmp_path / "plain", racing=False)
    one, other = evaluations(tmp_path / "raced"), evaluations(tmp_path / "plain")
    assert [e["key"] for e in one] == [e["key"] for e in other]
    gone = [e["number"] for e in one if e["metrics"]["dropped"]]
    assert gone
    for a, b in zip(one, other, strict=True):
        assert a["number"] in gone or a["metrics"] == b["metrics"]
    points = [(e["macs"], e["score"]) for e in front["evaluations"] if e["on_front"]]
    assert set(points) <= {(e["costs"]["macs"], e["score"]) for e in other}
    assert [e["number"] for e in front["evaluations"] if e.get("dropped")] == gone
    assert all(e["score"] is None and not e["on_front"] for e in front["evaluations"] if e.get("dropped"))
    assert front["racing"]["dropped"] == len(gone)
    assert front["racing"]["macs_share"] < 1
    assert front["racing"]["checked"] == min(4, len(gone))
    assert plain["racing"] is None
    assert f"Racing gave up {len(gone)} of 30" in (tmp_path / "raced" / "report.html").read_text()


def test_a_finished_search_says_again_what_it_saved(raced, tmp_path):
    first = searched(raced, tmp_path / "run", racing_margin=0.05)
    again = run_stage("search", run=tmp_path / "run")
    assert again["racing"] == first["racing"]
    assert len(list((tmp_path / "run" / "search" / "predictions").iterdir())) == 30 - first["racing"]["dropped"]


@pytest.mark.parametrize("spoiled", [False, True])
def test_bf16_is_used_only_if_it_keeps_the_order(raced, tmp_path, monkeypatch, spoiled):
    """Answers that bf16 spoils send the search back to fp32."""
    monkeypatch.setattr("sublm.stages.opening.evaluation_precision", lambda precision: "bf16")
    original = stage.Parts.logits

    def logits(self, subnet, part):
        asked, self.precision = self.precision, "fp32"  # so small a model is spoiled by the real bf16 by itself
        found = original(self, subnet, part)
        self.precision = asked
        if spoiled and asked == "bf16":
            found = np.random.default_rng(int(subnet.key, 16)).normal(size=found.shape).astype(np.float32)
        return found

    monkeypatch.setattr(stage.Parts, "logits", logits)
    searched(raced, tmp_path / "run", evaluations=8)
    found = json.loads((tmp_path / "run" / "search" / "precision.json").read_text())
    assert found["precision"] == ("fp32" if spoiled else "bf16")
    assert found["number"] == 6


@pytest.mark.parametrize("change", [{"racing_level": 0.6}, {"racing_margin": -1.0}, {"racing_check": -1}])
def test_bad_settings_are_refused(raced, tmp_path, change):
    with pytest.raises(RunError, match=next(iter(change))):
        searched(raced, tmp_path / "run", **change)
