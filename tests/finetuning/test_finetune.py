"""Whole sweeps with a tiny model."""

import io
import json
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoModelForSequenceClassification

from sublm.commands._summary import FinetunePlan, FinetuneSummary
from sublm.errors import DataError, RunError, SubLMError, TrainingError
from sublm.finetuning import Grid, finetune
from sublm.finetuning.trainer import CHECKPOINTS, Trainer
from sublm.search.executors import InlineExecutor

GRID = {"learning_rate": [1e-3, 3e-3, 1e-12], "epochs": [3], "batch_size": [16], "seeds": [0, 1]}
HOW = {"precision": "fp32", "max_length": 16}


def shown(summary):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(summary)
    return console.export_text()


def deciding(results):
    """What must be the same however the runs were done."""
    runs = [{key: value for key, value in run.items() if key != "seconds"} for run in results["runs"]]
    return [results["best"], results["settings"], runs]


@pytest.fixture(scope="module")
def whole(model_folder, task_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, finetune(model_folder, task=task_folder, out=out, halving=3, **GRID, **HOW)


def test_the_best_setting_is_chosen_on_the_search_split_and_written(whole, data):
    out, results = whole
    ended = [setting for setting in results["settings"] if setting["state"] == "ended"]
    assert len(ended) == 1  # of three, one goes on from the rung after the first epoch
    assert ended == results["settings"][:1]
    assert results["grid"]["levels"] == [1, 3]
    assert ended[0]["search"]["number"] == 2
    assert ended[0]["search"]["deviation"] is not None
    best = results["best"]
    runs = [run for run in results["runs"] if run["state"] == "ended"]
    assert best["search"]["accuracy"] == max(run["search"]["accuracy"] for run in runs)
    assert all(run["validation"] == {} for run in results["runs"] if run["state"] != "ended")
    model = AutoModelForSequenceClassification.from_pretrained(out / "model")
    assert data.scores(model, "validation") == pytest.approx(best["validation"])
    assert data.scores(model, "search") == pytest.approx(best["search"])
    assert json.loads((out / "results.json").read_text())["best"] == best
    assert (out / "runs.png").read_bytes()[:4] == b"\x89PNG"
    card = (out / "model" / "README.md").read_text()
    assert "fine-tuned for the task" in card
    assert "Chosen from 6 points" in card
    assert (out / "model" / "tokenizer.json").exists()


def test_only_the_checkpoints_of_the_best_setting_are_left(whole):
    out, results = whole
    assert len(list(out.glob(f"runs/*/{CHECKPOINTS}"))) == len(results["settings"][0]["seeds"])


def test_the_table_and_the_plan_can_be_read(whole, model_folder, task_folder, tmp_path):
    text = shown(FinetuneSummary(whole[1]))
    assert "learning rate" in text
    assert "dropped" in text
    assert "±" in text
    worst = whole[1]["best"] | {"validation": {whole[1]["metric"]: 0.0}}
    assert "The best run has 0.0000 on the validation split" in shown(FinetuneSummary(whole[1] | {"best": worst}))
    plan = finetune(model_folder, task=task_folder, out=tmp_path / "none", halving=3, dry_run=True, **GRID, **HOW)
    assert not (tmp_path / "none").exists()
    per_epoch = -(-plan["rows"]["train"] // 16)
    assert plan["steps_without_halving"] == 6 * 3 * per_epoch
    assert plan["steps"] == (6 * 1 + 2 * 2) * per_epoch
    assert plan["seconds"] > 0
    assert "Nothing was trained" in shown(FinetunePlan(plan))


def test_again_it_does_nothing_and_more_values_only_what_is_new(whole, model_folder, task_folder, monkeypatch):
    out, results = whole
    done = []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, *a: done.append(a) or run(self, *a))
    again = finetune(model_folder, task=task_folder, out=out, halving=3, **GRID, **HOW)
    assert done == []
    assert deciding(again) == deciding(results)
    more = finetune(model_folder, task=task_folder, out=out, halving=3, **{**GRID, "seeds": [1]}, **HOW)
    assert done == []
    assert {run["hyperparameters"]["seed"] for run in more["runs"]} == {1}
    with pytest.raises(RunError, match=r"clip was 1\.0, now 0\.5"):
        finetune(model_folder, task=task_folder, out=out, clip=0.5, **GRID, **HOW)


class Posted(InlineExecutor):
    """What is sent to workers and back goes through pickle, as it does with processes; these are tested elsewhere."""

    def __init__(self, initializer, initargs):
        super().__init__(*pickle.loads(pickle.dumps((initializer, initargs))))

    def submit(self, fn, /, *args):
        fn, args = pickle.loads(pickle.dumps((fn, args)))
        return super().submit(lambda: pickle.loads(pickle.dumps(fn(*args))))


def test_workers_find_what_one_process_finds(whole, model_folder, task_folder, tmp_path, monkeypatch):
    asked = []

    def open_executor(workers, *, ray, initializer, initargs):
        asked.append(workers)
        return Posted(initializer, initargs)

    monkeypatch.setattr(sys.modules["sublm.finetuning.finetune"], "open_executor", open_executor)
    results = finetune(model_folder, task=task_folder, out=tmp_path / "run", halving=3, workers=2, **GRID, **HOW)
    assert asked == [2]
    assert deciding(results) == deciding(whole[1])


def test_a_killed_sweep_goes_on(whole, model_folder, task_folder, tmp_path):
    out = tmp_path / "run"
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in HOW.items()]
    for name, values in GRID.items():
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    command = [sys.executable, "-m", "sublm", "finetune", str(model_folder), "--task", str(task_folder)]
    process = subprocess.Popen([*command, "--out", str(out), "--halving", "3", *arguments], stderr=subprocess.DEVNULL)
    try:
        # In the middle: some runs are recorded, and another has a checkpoint.
        until = time.monotonic() + 120
        while len(list(out.glob("runs/*/run.json"))) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    recorded = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")}
    assert recorded
    assert not (out / "results.json").exists()
    results = finetune(model_folder, task=task_folder, out=out, halving=3, **GRID, **HOW)
    assert deciding(results) == deciding(whole[1])


def test_a_run_that_failed_is_tried_again_by_the_same_command(model_folder, task_folder, tmp_path, monkeypatch):
    few = {**GRID, "learning_rate": [3e-3], "epochs": [1]}
    run = Trainer.run

    def fail_once(self, point, until):
        if point.seed == 1:
            raise RuntimeError("out of memory")
        return run(self, point, until)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", fail_once)
        first = finetune(model_folder, task=task_folder, out=tmp_path / "run", **few, **HOW)
    assert first["settings"][0]["search"]["number"] == 1
    assert "1 without a score" in shown(FinetuneSummary(first))
    assert [run["state"] for run in first["runs"]] == ["ended", "failed"]
    second = finetune(model_folder, task=task_folder, out=tmp_path / "run", **few, **HOW)
    assert [run["state"] for run in second["runs"]] == ["ended", "ended"]
    assert second["settings"][0]["search"]["number"] == 2


def test_runs_of_other_text_lengths_are_not_mixed(whole, model_folder, task_folder, monkeypatch):
    out, _ = whole
    longer = replace(Grid.product(learning_rate=[1e-3], epochs=[1]), max_length=24)  # as a published grid may say
    monkeypatch.setattr(Grid, "of", lambda name, task: longer)
    with pytest.raises(RunError, match="max_length was 16, now 24"):
        finetune(model_folder, task=task_folder, out=out, precision="fp32")


def test_when_all_diverge_the_error_says_so_and_everything_is_kept(model_folder, task_folder, tmp_path):
    out, wild = tmp_path / "run", {**GRID, "learning_rate": [1e20, 1e25]}
    with pytest.raises(TrainingError, match=r"No run of 4 came to a score \(4 diverged\).*--learning-rate 1e\+19"):
        finetune(model_folder, task=task_folder, out=out, clip=0.0, weight_decay=[0], **wild, **HOW)
    kept = [json.loads(path.read_text()) for path in out.glob("runs/*/run.json")]
    assert [run["state"] for run in kept] == ["diverged"] * 4
    assert all("loss is" in run["error"] for run in kept)
    mended = {**GRID, "learning_rate": [3e-3], "weight_decay": [0], "seeds": [0]}
    assert finetune(model_folder, task=task_folder, out=out, clip=0.0, **mended, **HOW)["best"]["search"]


def test_decay_that_erases_the_weights_is_said(model_folder, task_folder, tmp_path, capsys):
    finetune(
        model_folder,
        task=task_folder,
        out=tmp_path / "run",
        learning_rate=[1e-2],
        weight_decay=[90.0],
        epochs=[1],
        batch_size=[16],
        quiet=False,
        **HOW,
    )
    said = capsys.readouterr().err
    assert "Weight decay erases the weights in 1 of 1 settings" in said
    assert "90.00% per step" in said


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"grid": "brot"}, TrainingError, "Did you mean 'bort'"),
        ({"grid": "autotinybert"}, TrainingError, "has settings for"),
        ({"learning_rate": []}, TrainingError, "empty"),
        ({"learning_rate": [0.0]}, TrainingError, "above 0"),
        ({"halving": -1}, TrainingError, "halving"),
        ({"workers": 0}, RunError, "workers"),
        ({"learning_rates": [1e-5]}, RunError, "Did you mean 'learning_rate'"),
        ({"halving": 2, "probe_every": 999}, TrainingError, "probe_every"),
        ({"precision": "fp64"}, SubLMError, "fp64"),
        ({"max_length": 4}, RunError, "max_length"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(model_folder, task_folder, tmp_path, given, error, said):
    with pytest.raises(error, match=said):
        finetune(model_folder, task=task_folder, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there(task_folder, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        finetune(Path("./no/such/model"), task=task_folder, out=tmp_path / "run")
