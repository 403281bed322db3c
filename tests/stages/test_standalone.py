"""The standard route: every candidate trained alone."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

import sublm
from sublm.errors import RunError
from sublm.pipeline import run_stage
from sublm.recipes import load_recipe
from sublm.search.executors import WorkerPool
from sublm.search.executors.processes import ProcessWorker
from sublm.stages import standalone
from sublm.tasks import encode, evaluate, load_task, load_tokenizer

METADATA = {"format": "pt"}


@pytest.fixture(scope="module")
def loud_model(model_folder, tmp_path_factory):
    """The tiny model with words far apart, which learns in an epoch or two, as a pre-trained one does."""
    folder = tmp_path_factory.mktemp("loud")
    shutil.copytree(model_folder, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    save_file({name: w * (10 if w.ndim == 2 else 1) for name, w in weights.items()}, folder / "model.safetensors", METADATA)
    return str(folder)


@pytest.fixture
def settings(settings, loud_model):
    """The published protocol on something tiny: no teacher, no order, labels alone, nothing trained afterwards."""
    changes = {"teacher": "none", "importance": "none", "space": "small", "recover_epochs": 0, "model": loud_model}
    changes |= {"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "sampler": "random", "evaluations": 5}
    return settings | changes | {"standalone": True}


def trials(folder):
    lines = (folder / "standalone" / "evaluations.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def judgements(folder):
    return [json.loads(line) for line in (folder / "standalone" / "rungs.jsonl").read_text().splitlines()]


def kept(folder):
    return {path.name for path in (folder / "standalone" / "candidates").iterdir()}


def scores(front):
    return [(p["name"], p["subnet"], p["score"], p["search_score"]) for p in front["points"]]


def weights(folder, front):
    return [sublm.load(folder / point["folder"]).state_dict() for point in front["points"]]


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a
    )


def test_models_are_the_front_s_candidates_as_they_were_trained(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run")
    assert not (tmp_path / "run" / "supernet").exists()
    done = trials(tmp_path / "run")
    assert len(done) == 5
    assert all(trial["metrics"]["epochs"] == 2 for trial in done)
    assert kept(tmp_path / "run") == {done[e["number"]]["key"] for e in front["evaluations"] if e["on_front"]}
    assert not list((tmp_path / "run").rglob("step-*"))  # checkpoints are gone
    data = load_task(settings["task"])
    for point in front["points"]:
        folder = tmp_path / "run" / point["folder"]
        model = sublm.load(folder)
        rows = encode(data.search, data.task, load_tokenizer(folder), 128)
        # The weights that were saved are those that earned the score of the search.
        assert evaluate(model, rows, data.task)["accuracy"] == pytest.approx(point["search_score"], abs=1e-6)
        assert point["train_seconds"] == 0
    assert max(point["search_score"] for point in front["points"]) > 0.6  # they have learned


def test_running_again_trains_nothing_and_more_candidates_go_on(settings, tmp_path):
    first = sublm.compress(**settings, out=tmp_path / "run")
    touched = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    assert scores(sublm.compress(**settings, out=tmp_path / "run")) == scores(first)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")} == touched
    before = trials(tmp_path / "run")
    sublm.compress(**settings | {"evaluations": 7}, out=tmp_path / "run")
    assert trials(tmp_path / "run")[:5] == before
    assert len(trials(tmp_path / "run")) == 7


@pytest.mark.parametrize("sampler", ["nsga2", "local_search"])
def test_any_sampler_searches_and_a_teacher_is_learned_from(settings, tmp_path, sampler):
    settings |= {"sampler": sampler, "teacher": None, "importance": "taylor", "space": "nested", "recover_epochs": 1}
    front = sublm.compress(**settings, out=tmp_path / "run", sizes=[0.9])
    assert front["points"]
    assert all(point["train_seconds"] > 0 for point in front["points"])


def test_moasha_stops_poor_candidates_early(settings, tmp_path):
    settings |= {"sampler": "moasha", "epochs": 4, "evaluations": 9}
    sublm.compress(**settings, out=tmp_path / "run")
    epochs = [trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")]
    assert set(epochs) <= {1, 3, 4}
    assert epochs[0] == 4  # the first at every rung goes on
    assert epochs.count(1) >= 4
    judged = judgements(tmp_path / "run")
    assert [j["epochs"] for j in judged].count(1) == 9
    # Who went on from the last rung was trained to the end, and nobody else.
    assert [j["epochs"] == 3 and j["continues"] for j in judged].count(True) == epochs.count(4)


def run_in_another_process(settings, out, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings | {"out": str(out)}))
    code = (
        "import json, sys, torch; torch.set_num_threads(1); import sublm; sublm.compress(**json.load(open(sys.argv[1])))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(file)], stderr=subprocess.DEVNULL)


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_search_goes_on_where_its_candidate_was(settings, tmp_path):
    settings |= {"sampler": "moasha", "epochs": 4}
    whole = sublm.compress(**settings, out=tmp_path / "whole")
    cut = tmp_path / "cut"
    process = run_in_another_process(settings, cut, tmp_path)

    # In the first candidate's second epoch: it has a checkpoint, passed one rung, and is told nowhere yet.
    wait_for(lambda: (cut / "standalone" / "rungs.jsonl").exists(), process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert trials(cut) == []
    (training,) = (cut / "standalone" / "candidates").glob("*/training/step-*")
    step = int(training.name[5:])
    resumed = sublm.compress(**settings, out=cut)
    assert step >= len(load_task(settings["task"]).train) // settings["batch_size"]
    assert scores(resumed) == scores(whole)
    assert trials(cut) == trials(tmp_path / "whole")
    assert judgements(cut) == judgements(tmp_path / "whole")
    assert kept(cut) == kept(tmp_path / "whole")
    assert same(weights(cut, resumed), weights(tmp_path / "whole", whole))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_worker_costs_nothing_but_time(settings, tmp_path, monkeypatch):
    """A pool of one process, so that everything comes in the same order; the process dies in the midst of a candidate."""
    settings |= {"sampler": "moasha", "epochs": 4, "evaluations": 4}
    whole = sublm.compress(**settings, out=tmp_path / "whole")
    begun, cut = [], tmp_path / "cut"

    def pool_of_one(workers, ray, **begin):
        def start():
            begun.append(ProcessWorker(1, begin["initializer"], begin["initargs"]))
            return begun[-1]

        return WorkerPool(start, 1)

    def kill_once():
        marker = cut / "standalone" / "rungs.jsonl"
        while not marker.exists() and watcher.is_alive():
            time.sleep(0.001)
        os.kill(begun[0].pid, signal.SIGKILL)

    monkeypatch.setattr(standalone, "open_executor", pool_of_one)
    watcher = threading.Thread(target=kill_once, daemon=True)
    watcher.start()
    front = sublm.compress(**settings, out=cut)
    watcher.join()
    assert len(begun) == 2
    assert trials(cut) == trials(tmp_path / "whole")
    assert judgements(cut) == judgements(tmp_path / "whole")
    assert same(weights(cut, front), weights(tmp_path / "whole", whole))


def test_several_workers_train_the_same_candidates(settings, tmp_path):
    one = sublm.compress(**settings, out=tmp_path / "one")
    several = sublm.compress(**settings, out=tmp_path / "several", workers=2)
    order = {trial["number"]: trial for trial in trials(tmp_path / "several")}
    assert [order[number] for number in range(5)] == trials(tmp_path / "one")
    assert scores(several) == scores(one)
    assert same(weights(tmp_path / "several", several), weights(tmp_path / "one", one))


def test_a_time_budget_ends_with_what_was_trained(settings, tmp_path, monkeypatch):
    """The clock of the search jumps an hour with every epoch."""
    from sublm.stages.workspace import Workspace

    hours = 0.0
    real = time.monotonic
    probe = Workspace.probe

    def count_hours(self, model):
        score = probe(self, model)

        def scored():
            nonlocal hours
            hours += 1
            return score()

        return scored

    monkeypatch.setattr(Workspace, "probe", count_hours)
    monkeypatch.setattr(time, "monotonic", lambda: real() + 3600 * hours)
    front = sublm.compress(**settings | {"hours": 4.5}, out=tmp_path / "run")
    done = trials(tmp_path / "run")
    # Two epochs, two epochs, and one of two: that candidate counts with what it had.
    assert [trial["metrics"]["epochs"] for trial in done] == [2, 2, 1]
    assert front["points"]
    again = sublm.compress(**settings | {"hours": 4.5}, out=tmp_path / "run")
    assert trials(tmp_path / "run") == done
    assert scores(again) == scores(front)
    sublm.compress(**settings | {"hours": 8.5}, out=tmp_path / "run")
    assert trials(tmp_path / "run")[:3] == done
    assert [trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")] == [2, 2, 1, 2, 2]
    with pytest.raises(RunError, match="before a candidate had finished an epoch"):
        sublm.compress(**settings | {"hours": 1e-9}, out=tmp_path / "short")


def test_a_candidate_that_cannot_be_trained_is_recorded_and_the_search_goes_on(settings, tmp_path, monkeypatch):
    learn, calls = standalone.Candidates.learn, []

    def break_second(self, subnet, until, seconds):
        calls.append(subnet)
        if len(calls) == 2:
            raise RuntimeError("no memory left")
        return learn(self, subnet, until, seconds)

    monkeypatch.setattr(standalone.Candidates, "learn", break_second)
    front = sublm.compress(**settings, out=tmp_path / "run")
    done = trials(tmp_path / "run")
    assert [trial["error"] for trial in done] == ["", "RuntimeError: no memory left", "", "", ""]
    assert done[1]["score"] is None
    assert front["points"]


def test_the_stage_alone_needs_no_super_network_and_the_next_follow(settings, tmp_path):
    shared = settings | {"standalone": False, "epochs": 1}
    first = sublm.compress(**shared, out=tmp_path / "run")
    found = run_stage("search", run=tmp_path / "run", changes={"standalone": True, "sampler": "moasha"})
    assert found["evaluations"] == 5
    extracted = run_stage("extract", run=tmp_path / "run")
    assert {round(entry["score"], 6) for entry in extracted.values()} <= {
        round(trial["score"], 6) for trial in trials(tmp_path / "run")
    }
    assert run_stage("recover", run=tmp_path / "run")["settings"]["standalone"]
    assert (tmp_path / "run" / "supernet").exists()  # the other route's is still there
    back = sublm.compress(**shared, out=tmp_path / "run")
    assert scores(back) == scores(first)


def test_the_published_recipe_runs(settings, tmp_path):
    quick = {"model", "task", "learning_rate", "evaluations", "batch_size"}
    recipe = load_recipe("plm-nas-standalone")
    chosen = recipe | {name: value for name, value in settings.items() if name in quick}
    front = sublm.compress(**chosen, out=tmp_path / "run")
    assert (front["settings"]["epochs"], front["settings"]["sampler"]) == (5, "moasha")
    assert {trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")} <= {1, 3, 5}
    assert all(math.isfinite(point["score"]) for point in front["points"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"standalone": False, "hours": 1.0}, "add standalone"),
        ({"hours": 0.0}, "hours must be above 0"),
        ({"storage": "sqlite:///x"}, "has models to keep"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(settings, tmp_path, changes, message):
    with pytest.raises(RunError, match=message):
        sublm.compress(**settings | changes, out=tmp_path / "run")
