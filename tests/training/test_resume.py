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
