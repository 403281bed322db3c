"""Trainings with a folder: what is done is not done again, and what was cut off ends as if it had not been."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from tiny_training import TinyBatches, fit, resumable, same_weights, tiny_model, weights_of

from sublm.errors import RunError
from sublm.training import TrainOptions


def test_a_finished_training_is_not_done_again(tmp_path) -> None:
    first, result = resumable(tmp_path, 2)
    again, repeated = resumable(tmp_path, 2)
    assert same_weights(weights_of(first.model), weights_of(again.model))
    assert repeated.resumed
    assert not result.resumed
    assert (repeated.history, repeated.best_score, repeated.best_step) == (
        result.history,
        result.best_score,
        result.best_step,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000012"]


def test_checkpoints_do_not_change_the_weights(tmp_path) -> None:
    with_folder, _ = resumable(tmp_path, 2)
    without, _ = resumable(None, 2)
    assert same_weights(weights_of(with_folder.model), weights_of(without.model))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path) -> None:
    resumable(tmp_path, 1)
    with pytest.raises(RunError, match=r"options\.learning_rate was 0\.001 and is 0\.002 now"):
        resumable(tmp_path, 1, learning_rate=2e-3)
    with pytest.raises(RunError, match=r"strategy\.name was 'one_shot' and is 'fixed' now"):
        fit(tiny_model(), folder=tmp_path)


@pytest.mark.parametrize("stop", [1, 4, 6, 9, 11])
def test_going_on_after_an_error_ends_in_the_same_weights(tmp_path, stop) -> None:
    """Stopped before step `stop`: in the middle of an epoch, at its end, right after a checkpoint, before the first."""

    class Stops(TinyBatches):
        def __call__(self, epoch):
            for number, batch in enumerate(super().__call__(epoch)):
                if self.armed and epoch * 6 + number == stop:
                    raise InterruptedError
                yield batch

    def go(folder, armed):
        model, batches = tiny_model(), Stops()
        batches.armed = armed
        options = TrainOptions(epochs=2, learning_rate=1e-2, precision="fp32", checkpoint_every=4, device="cpu")
        probe = lambda: -float(model.classifier.weight.detach().abs().sum())  # noqa: E731
        result = fit(model, options, batches, folder=folder, probe=probe)
        return weights_of(model), result

    expected, whole = go(None, False)
    with pytest.raises(InterruptedError):
        go(tmp_path, True)
    weights, result = go(tmp_path, False)
    assert same_weights(weights, expected)
    assert result.resumed == (stop >= 4)
    assert result.best_step == whole.best_step
    assert result.history == whole.history


def test_batches_that_can_begin_anywhere_are_not_made_again(tmp_path) -> None:
    class Anywhere(TinyBatches):
        def __init__(self) -> None:
            super().__init__()
            self.begun: list[tuple[int, int]] = []

        def starting_at(self, epoch, batch):
            self.begun.append((epoch, batch))
            return itertools.islice(self(epoch), batch, None)

    options = TrainOptions(epochs=2, accumulation=2, precision="fp32", checkpoint_every=2, device="cpu")
    expected, batches = tiny_model(), Anywhere()
    fit(expected, options)

    def stop(step, *_):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), dataclasses.replace(options, log_every=1), batches, folder=tmp_path, progress=stop)
    model = tiny_model()
    fit(model, dataclasses.replace(options, log_every=1), batches, folder=tmp_path)
    assert batches.begun[-1] == (1, 2)  # the second step of the second epoch, of two batches each
    assert same_weights(weights_of(model), weights_of(expected))
