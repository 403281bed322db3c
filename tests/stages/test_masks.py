"""`--no-train`: nothing is trained, and what is scored is what is written."""

import json
from itertools import pairwise

import numpy as np
import pytest

import sublm
from sublm.errors import DataError, RunError, TargetError
from sublm.search import Constraint
from sublm.stages import workspace
from sublm.stages.masks import sizes_wanted
from sublm.stages.reconstruction import calibration_rows
from sublm.tasks import Encoded, encode, evaluate, load_task, load_tokenizer


@pytest.fixture
def chosen(tuned, task_folder):
    return {"model": str(tuned), "task": str(task_folder), "step": 8, "precision": "fp32", "no_train": True}


def test_a_front_of_ordinary_models_without_a_step_of_training(chosen, tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "train", None)
    front = sublm.compress(**chosen, out=tmp_path / "run", sizes=[0.8, 0.6])
    assert front["teacher"]["train_seconds"] == 0
    assert not (tmp_path / "run" / "supernet").exists()
    shares = [point["macs"] / front["teacher"]["macs"] for point in front["points"]]
    assert len(shares) == 2
    assert 0.5 < shares[0] <= 0.6 < shares[1] <= 0.8
    task = load_task(chosen["task"])
    for point in front["points"]:
        folder = tmp_path / "run" / point["folder"]
        model, tokenizer = sublm.load(folder), load_tokenizer(folder)
        for split, score in ((task.search, point["search_score"]), (task.validation, point["score"])):
            encoded = encode(split, task.task, tokenizer, 128)
            assert evaluate(model, encoded, task.task)["accuracy"] == pytest.approx(score, abs=1e-9)
        assert model.num_parameters() == point["parameters"]
    assert (tmp_path / "run" / "report.html").exists()
    before = (tmp_path / "run" / "front.json").read_text()
    assert sublm.compress(**chosen, out=tmp_path / "run", sizes=[0.8, 0.6]) == json.loads(before)


def test_units_are_exchanged_where_that_is_asked_for_and_cost_the_same(chosen, tmp_path):
    plain, exchanged = (
        sublm.compress(**chosen, out=tmp_path / "run", sizes=[0.8, 0.5], rearrange=wanted) for wanted in (False, True)
    )
    assert [p["macs"] for p in plain["points"]] == [p["macs"] for p in exchanged["points"]]
    assert [p["subnet"] for p in plain["points"]] != [p["subnet"] for p in exchanged["points"]]
    with pytest.raises(RunError, match="rearrange is a step of no_train"):
        sublm.compress(**chosen | {"no_train": False}, rearrange=True, out=tmp_path / "other")


def test_a_target_is_met_and_some_models_lie_below_it(chosen, tmp_path):
    front = sublm.compress(**chosen, out=tmp_path / "run", target=["parameters<=90%"])
    limit = 0.9 * front["teacher"]["parameters"]
    assert all(point["parameters"] <= limit for point in front["points"])
    assert max(made["parameters"] for made in front["evaluations"]) > 0.93 * limit
    assert front["chosen"]


def test_a_model_that_was_not_fine_tuned_is_refused(chosen, model_folder, tmp_path):
    with pytest.raises(DataError, match="no head trained"):
        sublm.compress(**chosen | {"model": str(model_folder)}, out=tmp_path / "run")
    front = sublm.compress(
        **chosen | {"model": str(model_folder)}, teacher=chosen["model"], sizes=[0.7], out=tmp_path / "given"
    )
    assert front["points"]


def test_a_latency_can_be_the_target(chosen, tmp_path, monkeypatch):
    monkeypatch.setattr("sublm.stages.latency.LATENCY_SAMPLES", 14)
    front = sublm.compress(**chosen, out=tmp_path / "run", target=["latency<=1000s"], objectives=["score", "latency"])
    assert front["promise"]["kept"]
    assert all(made["latency"] > 0 for made in front["evaluations"])


def test_the_plan_has_nothing_to_train(chosen, tmp_path):
    plan = sublm.compress(**chosen, out=tmp_path / "run", dry_run=True)
    assert [stage["name"] for stage in plan["stages"]] == ["masks", "models"]
    assert not (tmp_path / "run" / "masks").exists()


def test_a_size_below_the_smallest_is_refused(chosen, tmp_path):
    with pytest.raises(TargetError, match="the smallest has one head"):
        sublm.compress(**chosen, out=tmp_path / "run", sizes=[0.01])


@pytest.mark.parametrize(
    "change",
    [
        {"standalone": True},
        {"recover_epochs": 1},
        {"baselines": ["prune-and-distil"]},
        {"space": "small"},
        {"importance": "movement"},
    ],
)
def test_what_needs_training_does_not_go_with_it(chosen, tmp_path, change):
    with pytest.raises(RunError, match=f"no_train trains nothing, so {next(iter(change))}"):
        sublm.compress(**chosen | change, out=tmp_path / "run")


def test_sizes_are_shares_of_the_target_if_there_is_one():
    whole = {"macs": 1000.0, "latency": 10.0}
    (wanted,) = sizes_wanted((0.5,), ("score", "macs"), (Constraint("latency", 4.0),), whole)
    assert {(limit.cost, limit.limit) for limit in wanted} == {("latency", 4.0), ("macs", 500.0)}
    below = sizes_wanted((), ("score", "macs"), (Constraint("latency", 4.0),), whole)
    assert below[0] == (Constraint("latency", 4.0),)
    assert all(a[0].limit > b[0].limit for a, b in pairwise(below))
    free = sizes_wanted((), ("score", "latency"), (), whole)
    assert all(limits[0].cost == "latency" and limits[0].limit < 10 for limits in free)


def test_calibration_rows_keep_to_the_budget_of_tokens():
    lengths = np.arange(1, 101)
    encoded = Encoded([np.zeros(length, dtype=np.int32) for length in lengths], np.zeros(100))
    rows = calibration_rows(encoded, 40, 10_000, seed=0)
    assert len(set(rows.tolist())) == 40
    assert lengths[calibration_rows(encoded, 100, 500, seed=0)].sum() <= 500
    assert len(calibration_rows(encoded, 100, 0, seed=0)) == 1


def test_models_of_a_search_are_reconstructed_where_that_helps(settings, tmp_path):
    front = sublm.compress(**settings | {"recover_epochs": 0}, reconstruct=True, out=tmp_path / "run")
    task = load_task(settings["task"])
    for point in front["points"]:
        tried = point["reconstruction"]
        assert tried["cut"] == pytest.approx(point["search_score"])
        assert point["search_score_after"] == max(tried.values())
        folder = tmp_path / "run" / point["folder"]
        encoded = encode(task.search, task.task, load_tokenizer(folder), 128)
        assert evaluate(sublm.load(folder), encoded, task.task)["accuracy"] == pytest.approx(max(tried.values()))
    plain = sublm.compress(**settings | {"recover_epochs": 0}, out=tmp_path / "run")
    assert [p["search_score_after"] for p in plain["points"]] == [p["search_score"] for p in plain["points"]]
