"""The command line under `torchrun`: one process leads, the others train with it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sublm

PROGRAM = Path(__file__).with_name("launched.py")
pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")


def launch(folder, *arguments, processes=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", f"--master-port={port}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, str(PROGRAM), str(folder), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)


def test_a_stage_is_trained_by_all_and_written_by_one(settings, tmp_path):
    run = tmp_path / "run"
    sublm.compress(**settings, out=run, dry_run=True)
    done = launch(tmp_path, "train", run, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # one of them speaks
    assert result["train_seconds"] > 0
    notes = [(tmp_path / f"trained-{rank}").read_text() for rank in range(2)]
    assert notes[0] == notes[1]
    assert len(notes[0].splitlines()) == 2  # the teacher and the super-network
    assert (run / "supernet" / "model.safetensors").exists()
    # Connected beyond the interpreter's end, now and then one of them would be aborted.
    assert [(tmp_path / f"connected-{rank}").read_text() for rank in range(2)] == ["False", "False"]
    # What was trained by two is gone on with by one.
    touched = {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")}
    front = sublm.compress(**settings, out=run)
    assert front["points"]
    assert {p: t for p, t in touched.items() if p.stat().st_mtime_ns != t} == {}


def test_learnt_scores_and_the_stages_of_a_training_are_the_same_in_all(settings, tmp_path):
    """Scores are learnt between the passes, and a second stage goes on with other rows: all have to know of both."""
    stages = tmp_path / "stages.json"
    stages.write_text(json.dumps([{"train_dims": ["width"], "width_indicator": 2}, {"width_indicator": 5}]))
    settings |= {"importance": "movement", "movement_epochs": 1, "movement_learning_rate": 1e-3, "teacher_epochs": 1}
    settings |= {"space": "importance", "space_min": "40%", "train_stages": str(stages)}
    sublm.compress(**settings, out=tmp_path / "run", dry_run=True)
    done = launch(tmp_path, "train", tmp_path / "run", "--quiet")
    assert done.returncode == 0, done.stderr
    notes = [
        [json.loads(line) for line in (tmp_path / f"trained-{rank}").read_text().splitlines()] for rank in range(2)
    ]
    assert notes[0] == notes[1]
    assert len(notes[0]) == 4  # the teacher, the scores and both stages
    first, second = notes[0][2:]
    assert first["rows"] != second["rows"]


@pytest.mark.parametrize(
    ("kind", "told"), [("RuntimeError", "RuntimeError: broken"), ("OSError", "error: No space left on device: cake\n")]
)
def test_an_error_of_one_ends_all_and_is_told(settings, tmp_path, kind, told):
    sublm.compress(**settings, out=tmp_path / "run", dry_run=True)
    (tmp_path / "break").write_text(kind)
    done = launch(tmp_path, "train", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.count(told) == 1
    # It does not wait for the others, who wait for it.
    assert (tmp_path / "connected-0").read_text() == "True"


def test_an_error_between_the_trainings_is_told_once_and_the_others_end_as_it_does(settings, tmp_path):
    run = tmp_path / "run"
    sublm.compress(**settings, out=run, dry_run=True)
    (tmp_path / "break").write_text("writing")
    done = launch(tmp_path, "train", run, "--quiet")
    assert done.returncode == 1
    assert done.stderr.count("error: No space left on device: cake\n") == 1
    assert done.stderr.count("Traceback") <= 1  # the launcher's own
    assert [(tmp_path / f"connected-{rank}").read_text() for rank in range(2)] == ["False", "False"]


def test_what_cannot_be_done_together_is_refused_and_said_once(settings, tmp_path):
    options = {name: value for name, value in settings.items() if name not in ("model", "precision")}
    typed = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = launch(tmp_path, "compress", settings["model"], *typed, "--standalone", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.count("error: A standalone search trains every candidate in one process") == 1
    assert not (tmp_path / "run").exists()
