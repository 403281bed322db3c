"""Several processes on one machine train as one does."""

from __future__ import annotations

import atexit
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import TinyBatches, TinySpace, tiny_model, weights_of

from sublm.errors import SubLMError, TargetError, TrainingError
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from sublm.training import TaskObjective, TrainOptions, checkpoints, fixed, one_shot, train
from sublm.training.distributed import share, shares

CASES = {"shared": {"parts": 1}, "own": {}, "many": {"random_nets": 5}}
"""All draw the same; each draws for itself; each draws more."""
ALONE = {
    "rows": ("TrainingError", "process 1: IndexError: Target 7 is out of bounds"),
    "a loss": ("DivergenceError", "The loss is nan at step 1 of 6"),
    "the probe": ("TargetError", "nothing meets it"),
    "writing": ("RunError", "No space left on device: weights"),
    "reading": ("RunError", "No space left on device: weights"),
    "nothing": ("", ""),
}
"""What one of two processes meets, and the error of both; one after the other, so that none leaves them out of step."""
needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")


def trained(*, parts: int = 0, random_nets: int = 2, folder: Path | None = None) -> dict[str, Any]:
    """Batches of 5 rows, which two processes cannot share evenly, the last of 3; in float64, for exact comparisons."""
    supernet, batches = SuperNet(tiny_model(dropout=0.0).double()), TinyBatches(batch_size=5)
    seen, reductions = [], []
    activate, reduce = supernet.activate, torch.distributed.all_reduce

    def count(*args: Any, **options: Any) -> Any:
        reductions.append(args)
        return reduce(*args, **options)

    def watch(subnet: Subnet) -> None:
        seen.append(subnet)
        activate(subnet)

    supernet.activate = watch  # type: ignore[method-assign]
    torch.distributed.all_reduce = count
    options = TrainOptions(
        epochs=1, learning_rate=1e-3, precision="fp32", device="cpu", clip=0.1, parts=parts, log_every=100
    )
    space = TinySpace(supernet)
    strategy = one_shot(space, random_nets=random_nets)
    try:
        result = train(supernet, batches, strategy, options, steps_per_epoch=batches.count, folder=folder)
    finally:
        torch.distributed.all_reduce = reduce
    losses = [record.loss for record in result.history]
    drawn = [subnet.key for subnet in seen if subnet not in (space.largest, space.smallest)]
    return {"weights": weights_of(supernet.model), "losses": losses, "drawn": drawn, "reductions": len(reductions)}


def met_alone(case: str, folder: Path) -> tuple[str, str]:
    """The error of a training in which one process alone meets something."""
    first = os.environ["RANK"] == "0"
    regression = case == "a loss"
    model = tiny_model(labels=1 if regression else 2)
    batches = TinyBatches(kind="regression" if regression else "classification")
    if case in ("rows", "a loss"):  # rows are dealt in turn, but shuffled before
        given = batches

        def batches(epoch: int) -> Any:  # type: ignore[no-redef]
            for batch in given(epoch):
                batch["labels"][1::2] = math.nan if regression else 7
                yield batch

    def probe() -> float:
        if case == "the probe":
            raise TargetError("nothing meets it")
        return 0.0

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", "weights")

    read, write = checkpoints.latest_checkpoint, checkpoints.save_checkpoint
    if case == "writing" and first:
        checkpoints.save_checkpoint = fails
    if case == "reading" and not first:
        checkpoints.latest_checkpoint = fails
    options = TrainOptions(epochs=1, learning_rate=1e-3, precision="fp32", device="cpu")
    objective = TaskObjective("regression") if regression else None
    try:
        train(model, batches, fixed(), options, steps_per_epoch=6, objective=objective, probe=probe, folder=folder)
    except SubLMError as error:
        return type(error).__name__, str(error)
    finally:
        checkpoints.latest_checkpoint, checkpoints.save_checkpoint = read, write
    return "", ""


def in_two_processes(folder: Path, *arguments: str) -> list[Any]:
    """What this file, run as a program, finds in each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = {**os.environ, **{k: str(v) for k, v in place.items()}, "MASTER_ADDR": "127.0.0.1"}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        processes.append(subprocess.Popen([sys.executable, __file__, str(folder), *arguments], env=environment))
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[dict[str, dict[str, Any]]]:
    """What each of two processes saw of every case."""
    return in_two_processes(tmp_path_factory.mktemp("two"))


def test_every_row_belongs_to_one_process() -> None:
    batch = {"index": torch.arange(5)}
    parts = [share(batch, rank, 3)["index"].tolist() for rank in range(3)]
    assert sorted(row for part in parts for row in part) == list(range(5))
    assert [len(share({"index": torch.arange(1)}, rank, 2)["index"]) for rank in range(2)] == [1, 0]
    assert share(batch, 0, 1) is batch


@pytest.mark.parametrize(("parts", "world"), [(1, 1), (1, 4), (2, 4), (4, 4), (8, 4), (3, 1)])
def test_every_part_has_its_rows_whoever_does_it(parts, world) -> None:
    """The rows of a part are the same for any number of processes, and all of them are done once."""
    batch = {"index": torch.arange(21)}
    alone = {part: rows["index"].tolist() for part, rows in shares(batch, parts, 0, 1)}
    done: dict[int, list[int]] = {part: [] for part in range(parts)}
    for rank in range(world):
        for part, rows in shares(batch, parts, rank, world):
            done[part] += rows["index"].tolist()
    assert {part: sorted(rows) for part, rows in done.items()} == alone
    assert sorted(row for rows in done.values() for row in rows) == list(range(21))


@needs_gloo
@pytest.mark.parametrize("case", ["shared", "own"])
def test_two_processes_give_the_weights_of_one_that_accumulates(two_processes, case) -> None:
    expected = trained(parts={"shared": 1, "own": 2}[case])
    for process in two_processes:
        found = process[case]
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5)
        for name in expected["weights"]:
            torch.testing.assert_close(found["weights"][name], expected["weights"][name], atol=1e-5, rtol=1e-5)
    one, other = (process[case]["weights"] for process in two_processes)
    assert all(torch.equal(one[name], other[name]) for name in one)


@needs_gloo
def test_each_process_draws_for_itself_unless_told_otherwise(two_processes) -> None:
    one, other = (set(process["own"]["drawn"]) for process in two_processes)
    assert len(one) > 5
    assert not one & other
    assert one | other == set(trained(parts=2)["drawn"])
    first, second = (process["shared"]["drawn"] for process in two_processes)
    assert first == second == trained(parts=1)["drawn"]


@needs_gloo
def test_gradients_are_summed_once_a_step_however_many_sub_networks_it_trains(two_processes) -> None:
    for process in two_processes:
        assert process["own"]["reductions"] == process["many"]["reductions"]
        # Twice a step: which parameters have gradients, and the gradients. And the losses, once in the end.
        steps = TinyBatches(batch_size=5).count + 2  # with those that were tried before
        assert process["own"]["reductions"] <= 2 * steps + 2


def test_parts_that_the_processes_cannot_share_are_refused(monkeypatch) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 4)
    with pytest.raises(TrainingError, match="parts=6 cannot be shared by 4 processes"):
        trained(parts=6)


@needs_gloo
def test_what_one_process_meets_alone_ends_the_training_of_all(tmp_path) -> None:
    first, second = in_two_processes(tmp_path, "errors")
    assert list(first) == list(ALONE)
    for case, (kind, words) in ALONE.items():
        assert [found[case][0] for found in (first, second)] == [kind, kind], case
        assert words in first[case][1], case  # which is the one that speaks
    assert {case: found for case, found in first.items() if case != "rows"} == {
        case: found for case, found in second.items() if case != "rows"
    }


def _ended_apart() -> None:
    if torch.distributed.is_initialized():
        os._exit(3)  # connected beyond the interpreter's end, now and then one would be aborted


if __name__ == "__main__":
    atexit.register(_ended_apart)  # the first to be registered is the last to be called
    found: dict[str, Any]
    if "errors" in sys.argv:
        found = {name: met_alone(name, Path(sys.argv[1]) / name) for name in ALONE}
    else:
        found = {name: trained(**options, folder=Path(sys.argv[1]) / name) for name, options in CASES.items()}
    assert torch.distributed.get_world_size() == 2
    torch.save(found, Path(sys.argv[1]) / f"{os.environ['RANK']}.pt")
