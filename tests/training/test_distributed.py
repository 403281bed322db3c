"""Two processes on one machine train as one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import TinyBatches, TinySpace, tiny_model, weights_of

from sublm.supernet import SuperNet
from sublm.training import TrainOptions, TrainResult, one_shot, train
from sublm.training.distributed import share


def trained(folder: Path) -> tuple[dict[str, torch.Tensor], TrainResult]:
    """Batches of 5 rows, which two processes cannot share evenly; the last of 3."""
    supernet, batches = SuperNet(tiny_model(dropout=0.0)), TinyBatches(batch_size=5)
    options = TrainOptions(epochs=1, learning_rate=1e-3, precision="fp32", device="cpu", clip=0.1)
    strategy = one_shot(TinySpace(supernet))
    result = train(supernet, batches, strategy, options, steps_per_epoch=batches.count, folder=folder)
    return weights_of(supernet.model), result


def test_every_row_belongs_to_one_process() -> None:
    batch = {"index": torch.arange(5)}
    parts = [share(batch, rank, 3)["index"].tolist() for rank in range(3)]
    assert sorted(row for part in parts for row in part) == list(range(5))
    assert [len(share({"index": torch.arange(1)}, rank, 2)["index"]) for rank in range(2)] == [1, 0]
    assert share(batch, 0, 1) is batch


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")
def test_two_processes_give_the_weights_of_one(tmp_path) -> None:
    expected, whole = trained(tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = {**os.environ, **{k: str(v) for k, v in place.items()}, "MASTER_ADDR": "127.0.0.1"}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        processes.append(subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=environment))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for rank in range(2):
        found, losses, world = torch.load(tmp_path / f"{rank}.pt")
        assert world == 2
        assert losses == pytest.approx([record.loss for record in whole.history], rel=1e-4)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=2e-4, rtol=1e-3)
    same = [torch.load(tmp_path / f"{rank}.pt")[0] for rank in range(2)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in expected)


if __name__ == "__main__":
    weights, outcome = trained(Path(sys.argv[1]) / "two")
    rank = os.environ["RANK"]
    world = torch.distributed.get_world_size()
    torch.save((weights, [record.loss for record in outcome.history], world), Path(sys.argv[1]) / f"{rank}.pt")
