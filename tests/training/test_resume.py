"""A real kill: a training in another process gets SIGKILL and is gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_training import resumable, same_weights, weights_of

PROGRAM = Path(__file__).with_name("tiny_training.py")
EPOCHS = 25


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(EPOCHS), str(output)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


def newest(folder: Path) -> int:
    return max((int(path.name[5:]) for path in folder.glob("step-*")), default=0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_killed_and_gone_on_with_ends_in_the_same_weights(tmp_path) -> None:
    torch.set_num_threads(1)
    expected, whole = resumable(None, EPOCHS)
    folder, output = tmp_path / "checkpoints", tmp_path / "weights.pt"
    process = start(folder, output)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        writes = any(folder.glob(".step-*.part"))  # the worst moment; should it be missed, another will do
        if newest(folder) >= (4 if writes else 40):
            break
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was killed, not finished
    assert newest(folder) >= 4
    process = start(folder, output)
    assert process.wait(timeout=120) == 0
    assert same_weights(torch.load(output), weights_of(expected.model))
    said = json.loads(output.with_suffix(".json").read_text())
    assert said["resumed"]
    assert said["losses"] == [record.loss for record in whole.history]


def test_paused_and_gone_on_with_ends_in_the_same_weights(tmp_path) -> None:
    """Pauses at the ends of epochs, within them, before the first step, and where there is nothing left to do."""
    torch.set_num_threads(1)
    expected, whole = resumable(None, 3)
    for until in (0, 6, 6, 7, 14):
        _, part = resumable(tmp_path, 3, until=until)
        scores = [record.score for record in part.history if record.score is not None]
        assert len(scores) == until // 6
        assert scores == [record.score for record in whole.history if record.score is not None][: len(scores)]
    model, end = resumable(tmp_path, 3)
    assert same_weights(weights_of(model.model), weights_of(expected.model))
    assert end.history == whole.history


def test_a_paused_training_gives_the_best_weights_so_far(tmp_path) -> None:
    torch.set_num_threads(1)
    expected, _ = resumable(None, 3)
    model, part = resumable(tmp_path, 3, until=13)
    again, same = resumable(tmp_path, 3, until=13)
    assert part.best_step in (6, 12)
    assert same.best_step == part.best_step
    assert same_weights(weights_of(model.model), weights_of(again.model))
    assert not same_weights(weights_of(model.model), weights_of(expected.model))
