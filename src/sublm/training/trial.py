"""A trial of a training's steps that leaves no trace: what cannot work fails before the long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from sublm.errors import TrainingError
from sublm.training import checkpoints
from sublm.training.windows import Windows

FAILURES = (RuntimeError, ValueError, KeyError, IndexError, TypeError)
"""What torch and transformers raise when a batch, a model and the memory do not fit together."""


@contextmanager
def trial(
    model: nn.Module, optimizer: AcceleratedOptimizer, accelerator: Accelerator, windows: Windows
) -> Iterator[list[dict[str, Tensor]]]:
    """Gives the first window; the steps that are made inside are undone: weights, optimizer, scaler, random states.

    Args:
        model: The model that is trained.
        optimizer: Its optimizer, which has made no step before.
        accelerator: Holds the scaler of fp16.
        windows: What the training is to be made on.

    Raises:
        TrainingError: Instead of what a step raises.
    """
    weights = {name: values.clone() for name, values in checkpoints.model_tensors(model).items()}
    state = checkpoints.random_state()
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else None
    window = next(windows.of_epoch(0))
    try:
        yield window
    except FAILURES as error:
        shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in window[0].items())
        raise TrainingError(
            f"The trial step before the training failed ({type(error).__name__}: {error}) on a batch of {shapes}. "
            "Check that the labels fit the model's head and the inputs its vocabulary and longest text; "
            "if memory ran out, lower batch_size and raise accumulation."
        ) from error
    finally:
        checkpoints.restore_model(model, weights)
        checkpoints.restore_random_state(state)
        optimizer.zero_grad(set_to_none=True)
        optimizer.optimizer.state.clear()
        if scaler is not None:
            accelerator.scaler.load_state_dict(scaler)
