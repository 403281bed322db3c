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
from safetensors.torch import load_file, save_file

import sublm
from sublm.errors import RunError
from sublm.pipeline import execute, run_stage
from sublm.progress import Progress
from sublm.recipes import load_recipe
from sublm.search.executors import WorkerPool
from sublm.search.executors.processes import ProcessWorker
from sublm.settings import Settings
from sublm.stages import standalone
from sublm.tasks import encode, evaluate, load_task, load_tokenizer


@pytest.fixture(scope="module")
def loud_model(model_folder, tmp_path_factory):
    """The tiny model with words far apart, which learns in an epoch or two, as a pre-trained one does."""
    folder = tmp_path_factory.mktemp("loud")
    shutil.copytree(model_folder, folder, dirs_exist_ok=True)
    file = folder / "model.safetensors"
    louder = {name: weight * (10 if weight.ndim == 2 else 1) for name, weight in load_file(file).items()}
    save_file(louder, file, {"format": "pt"})
    return str(folder)


@pytest.fixture
def settings(settings, loud_model):
    """The published protocol on something tiny: no teacher, no order, labels alone, nothing trained afterwards."""
    changes = {"teacher": "none", "importance": "none", "space": "small", "recover_epochs": 0, "model": loud_model}
    changes |= {"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "sampler": "random", "evaluations": 4}
    return settings | changes | {"standalone": True}


def trials(folder):
    lines = (folder / "standalone" / "evaluations.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def judgements(folder):
    file = folder / "standalone" / "rungs.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def kept(folder):
    return {path.name for path in (folder / "standalone" / "candidates").iterdir()}


def models(folder):
    """The weights of the front's candidates, by key."""
    files = (folder / "standalone" / "candidates").glob("*/model/model.safetensors")
    return {file.parts[-3]: load_file(file) for file in files}


def everything(folder):
    """All that must not depend on what happened on the way; workers end in any order."""
    trained = {key: {n: w.tolist() for n, w in weights.items()} for key, weights in models(folder).items()}
    return sorted(trials(folder), key=lambda trial: trial["number"]), judgements(folder), trained


def searched(settings, out):
    """The search, and nothing after it."""
    execute(Settings.from_dict(settings), out, Progress(), until="search")
    return everything(out)


def test_models_are_the_front_s_candidates_as_they_were_trained(settings, tmp_path):
    front = sublm.compress(**settings, out=tmp_path / "run")
    assert not (tmp_path / "run" / "supernet").exists()
    done = trials(tmp_path / "run")
    assert len(done) == 4
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
    before = searched(settings, tmp_path / "run")
    touched = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    assert searched(settings, tmp_path / "run") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")} == touched
    searched(settings | {"evaluations": 5}, tmp_path / "run")
    assert trials(tmp_path / "run")[:4] == before[0]
    assert len(trials(tmp_path / "run")) == 5


def test_another_sampler_searches_and_a_teacher_is_learned_from(settings, tmp_path):
    settings |= {"sampler": "nsga2", "teacher": None, "importance": "taylor", "space": "nested", "recover_epochs": 1}
    front = sublm.compress(**settings, out=tmp_path / "run", sizes=[0.9])
    assert front["points"]
    assert all(point["train_seconds"] > 0 for point in front["points"])


def test_moasha_stops_poor_candidates_early(settings, tmp_path):
    settings |= {"sampler": "moasha", "epochs": 4, "evaluations": 9}
    searched(settings, tmp_path / "run")
    epochs = [trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")]
    assert set(epochs) <= {1, 3, 4}
    assert epochs[0] == 4  # the first at every rung goes on
    assert epochs.count(1) >= 4
    judged = judgements(tmp_path / "run")
    assert [j["epochs"] for j in judged].count(1) == 9
    # Who went on from the last rung was trained to the end, and nobody else.
    assert [j["epochs"] == 3 and j["continues"] for j in judged].count(True) == epochs.count(4)


@pytest.fixture
def halved(settings, tmp_path):
    """Settings under which candidates are stopped at rungs, and what a search that nobody disturbs comes to."""
    settings |= {"sampler": "moasha", "epochs": 4, "evaluations": 3}
    return settings, searched(settings, tmp_path / "whole")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_search_goes_on_where_its_candidate_was(halved, tmp_path):
    settings, whole = halved
    cut, file = tmp_path / "cut", tmp_path / "settings.json"
    file.write_text(json.dumps(settings | {"out": str(cut)}))
    code = "import json, sys, torch, sublm; torch.set_num_threads(1); sublm.compress(**json.load(open(sys.argv[1])))"
    process = subprocess.Popen([sys.executable, "-c", code, str(file)], stderr=subprocess.DEVNULL)
    # In the first candidate's second epoch: it has a checkpoint, passed one rung, and is told nowhere yet.
    deadline = time.monotonic() + 120
    while not (cut / "standalone" / "rungs.jsonl").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert trials(cut) == []
    assert list((cut / "standalone" / "candidates").glob("*/training/step-*"))
    assert searched(settings, cut) == whole


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_worker_costs_nothing_but_time(halved, tmp_path, monkeypatch):
    """A pool of one process, so that everything comes in the same order; it dies in the midst of a candidate."""
    settings, whole = halved
    begun, cut = [], tmp_path / "cut"

    def pool_of_one(workers, ray, **begin):
        def start():
            begun.append(ProcessWorker(1, begin["initializer"], begin["initargs"]))
            return begun[-1]

        return WorkerPool(start, 1)

    def kill_once():
        while not (cut / "standalone" / "rungs.jsonl").exists():
            time.sleep(0.001)
        os.kill(begun[0].pid, signal.SIGKILL)

    monkeypatch.setattr(standalone, "open_executor", pool_of_one)
    watcher = threading.Thread(target=kill_once, daemon=True)
    watcher.start()
    assert searched(settings, cut) == whole
    watcher.join()
    assert len(begun) == 2


def test_several_workers_train_the_same_candidates(settings, tmp_path):
    assert searched(settings | {"workers": 2}, tmp_path / "several") == searched(settings, tmp_path / "one")


def test_a_time_budget_ends_with_what_was_trained(settings, tmp_path, monkeypatch):
    """The clock of the search jumps an hour with every epoch."""
    from sublm.stages.workspace import Workspace

    hours = 0.0
    real, real_time = time.monotonic, time.time
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
    monkeypatch.setattr(time, "time", lambda: real_time() + 3600 * hours)
    found = searched(settings | {"hours": 4.5}, tmp_path / "run")
    done = trials(tmp_path / "run")
    # Two epochs, two epochs, and one of two: that candidate counts with what it had.
    assert [trial["metrics"]["epochs"] for trial in done] == [2, 2, 1]
    assert searched(settings | {"hours": 4.5}, tmp_path / "run") == found
    searched(settings | {"hours": 6.5}, tmp_path / "run")
    assert trials(tmp_path / "run")[:3] == done
    assert [trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")] == [2, 2, 1, 2]
    with pytest.raises(RunError, match="before a candidate had finished an epoch"):
        searched(settings | {"hours": 1e-9}, tmp_path / "short")


def test_a_candidate_that_cannot_be_trained_is_recorded_and_the_search_goes_on(settings, tmp_path, monkeypatch):
    learn, calls = standalone.Candidates.learn, []

    def break_second(self, subnet, until, end):
        calls.append(subnet)
        if len(calls) == 2:
            raise RuntimeError("no memory left")
        return learn(self, subnet, until, end)

    monkeypatch.setattr(standalone.Candidates, "learn", break_second)
    searched(settings, tmp_path / "run")
    done = trials(tmp_path / "run")
    assert [trial["error"] for trial in done] == ["", "RuntimeError: no memory left", "", ""]
    assert done[1]["score"] is None
    assert models(tmp_path / "run")


def test_the_stage_alone_needs_no_super_network_and_the_next_follow(settings, tmp_path):
    shared = settings | {"standalone": False, "epochs": 1}
    first = sublm.compress(**shared, out=tmp_path / "run")["points"]
    found = run_stage("search", run=tmp_path / "run", changes={"standalone": True, "sampler": "moasha"})
    assert found["evaluations"] == 4
    extracted = run_stage("extract", run=tmp_path / "run")
    assert {round(entry["score"], 6) for entry in extracted.values()} <= {
        round(trial["score"], 6) for trial in trials(tmp_path / "run")
    }
    assert run_stage("recover", run=tmp_path / "run")["settings"]["standalone"]
    assert (tmp_path / "run" / "supernet").exists()  # the other route's is still there
    back = sublm.compress(**shared, out=tmp_path / "run")["points"]
    assert [(p["subnet"], p["score"]) for p in back] == [(p["subnet"], p["score"]) for p in first]


def test_the_published_recipe_runs(settings, tmp_path):
    quick = {"model", "task", "learning_rate", "evaluations", "batch_size"}
    recipe = load_recipe("plm-nas-standalone")
    chosen = recipe | {name: value for name, value in settings.items() if name in quick}
    front = sublm.compress(**chosen, out=tmp_path / "run")
    assert (front["settings"]["epochs"], front["settings"]["sampler"]) == (5, "moasha")
    assert {trial["metrics"]["epochs"] for trial in trials(tmp_path / "run")} <= {1, 3, 5}
    assert all(math.isfinite(point["score"]) for point in front["points"])


def test_a_plan_counts_the_epochs_that_halving_leaves(settings, tmp_path):
    plans = {
        name: sublm.compress(**settings | {"sampler": name, "epochs": 5}, out=tmp_path / name, dry_run=True)["stages"]
        for name in ("random", "moasha")
    }
    assert [stage["name"] for stage in plans["random"]] == ["standalone", "models"]
    assert "4 candidates, each trained alone, 5.0 epochs of 5 on average" in plans["random"][0]["work"]
    assert "1.9 epochs of 5 on average" in plans["moasha"][0]["work"]  # 1 + 2/3 + 2/9
    tiny = settings | {"sampler": "random", "space": "small", "step": 32, "evaluations": 10_000}
    plan = sublm.compress(**tiny, out=tmp_path / "tiny", dry_run=True)
    assert 0 < int(plan["stages"][0]["work"].split()[0]) < 10_000  # no more than there are


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"standalone": False, "hours": 1.0}, "add standalone"),
        ({"hours": 0.0}, "hours must be above 0"),
        ({"storage": "sqlite:///x"}, "has models to keep"),
        ({"racing": True}, "racing gives up evaluations"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(settings, tmp_path, changes, message):
    with pytest.raises(RunError, match=message):
        sublm.compress(**settings | changes, out=tmp_path / "run")
