from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import same_weights, tiny_model, weights_of

from sublm.errors import RunError
from sublm.training.checkpoints import (
    check_identity,
    copy_tensors,
    latest_checkpoint,
    load_weights,
    model_tensors,
    optimizer_tensors,
    random_state,
    restore_model,
    restore_optimizer,
    restore_random_state,
    save_checkpoint,
)
from sublm.training.optimizer import build_optimizer


def save(folder: Path, step: int, best: int | None = None) -> Path:
    return save_checkpoint(
        folder,
        step,
        weights={"w": torch.full((3,), float(step))},
        tensors={"t": torch.ones(2)},
        state={"note": step},
        best=best,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_read_back(tmp_path) -> None:
    assert latest_checkpoint(tmp_path / "none") is None
    save(tmp_path, 5)
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.state["note"]) == (5, 5)
    assert torch.equal(checkpoint.weights["w"], torch.full((3,), 5.0))
    assert torch.equal(checkpoint.tensors["t"], torch.ones(2))


def test_the_last_two_and_the_best_are_kept(tmp_path) -> None:
    for step, best in ((1, 1), (2, 1), (3, 1), (4, 1)):
        save(tmp_path, step, best)
    assert names(tmp_path) == ["step-00000001", "step-00000003", "step-00000004"]
    assert names(tmp_path / "step-00000001") == ["state.json", "weights.safetensors"]
    assert load_weights(tmp_path, 1)["w"][0] == 1
    save(tmp_path, 5, 5)
    assert "step-00000001" in names(tmp_path)  # step 4 still needs it, should step 5 turn out to be broken
    save(tmp_path, 6, 5)
    assert names(tmp_path) == ["step-00000005", "step-00000006"]


def test_what_a_kill_left_behind_is_cleared_and_never_read(tmp_path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".step-00000002.part").mkdir()
    (tmp_path / ".step-00000002.part" / "weights.safetensors").write_bytes(b"half")
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1
    save(tmp_path, 3)
    assert names(tmp_path) == ["step-00000001", "step-00000003"]


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_broken_checkpoint_gives_way_to_the_one_before(tmp_path, file) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2) / file
    path.write_bytes(path.read_bytes()[:-5])
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1
    save(tmp_path, 2)  # gone on from 1, written again
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 2


def test_no_readable_checkpoint_is_an_error(tmp_path) -> None:
    (save(tmp_path, 1) / "state.json").write_text("{")
    with pytest.raises(RunError, match="delete the folder"):
        latest_checkpoint(tmp_path)


def test_no_pickle_is_written(tmp_path) -> None:
    path = save(tmp_path, 1)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}


def test_an_identity_that_differs_is_refused_with_what_differs(tmp_path) -> None:
    found = {"options": {"epochs": 3, "learning_rate": 1e-3}, "kind": "classification"}
    check_identity(tmp_path, found, {"kind": "classification", "options": {"learning_rate": 1e-3, "epochs": 3}})
    with pytest.raises(RunError, match=r"options\.epochs was 3 and is 4 now") as caught:
        check_identity(tmp_path, found, {"options": {"epochs": 4, "learning_rate": 1e-3}, "kind": "classification"})
    assert "learning_rate" not in str(caught.value)
    with pytest.raises(RunError, match="data was 'nothing' and is 'abc' now"):
        check_identity(tmp_path, found, {**found, "data": "abc"})


def test_random_states_go_round() -> None:
    state = random_state()
    drawn = [random.random(), np.random.rand(), float(torch.rand(())), random.gauss(0, 1), np.random.randn()]
    middle = random_state()
    after = [random.gauss(0, 1), np.random.randn(), float(torch.randn(()))]
    restore_random_state(state)
    assert drawn == [random.random(), np.random.rand(), float(torch.rand(())), random.gauss(0, 1), np.random.randn()]
    restore_random_state(middle)
    assert after == [random.gauss(0, 1), np.random.randn(), float(torch.randn(()))]


def test_models_go_round_and_others_are_refused() -> None:
    model = tiny_model()
    kept = copy_tensors(model_tensors(model))
    before = weights_of(model)
    other = tiny_model(seed=1)
    assert not same_weights(before, weights_of(other))
    restore_model(other, kept)
    assert same_weights(before, weights_of(other))
    with pytest.raises(RunError, match="classifier"):
        restore_model(tiny_model(labels=3), kept)
    with pytest.raises(RunError, match="not this model's"):
        restore_model(tiny_model(layers=3), kept)


def test_an_optimizer_goes_round() -> None:
    models = [tiny_model(dropout=0.0), tiny_model(dropout=0.0)]
    optimizers = [build_optimizer(model, 1e-2, 0.1) for model in models]

    def step(number: int) -> None:
        sum(p.square().sum() for p in models[number].parameters()).backward()
        optimizers[number].step()
        optimizers[number].zero_grad()

    step(0)
    step(0)
    restore_model(models[1], model_tensors(models[0]))
    restore_optimizer(optimizers[1], copy_tensors(optimizer_tensors(optimizers[0])))
    step(0)
    step(1)
    assert same_weights(weights_of(models[0]), weights_of(models[1]))
