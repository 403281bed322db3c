"""The processes of one `accelerate launch` or `torchrun`: the first does the job, the others train with it.

Only the first one reads the run, decides, scores and writes; the others wait until it trains, are sent what it trains,
and do their share of the rows.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate.state import PartialState

from sublm.errors import SubLMError

_PATIENCE = timedelta(days=30)
"""A search lasts long, and those who only train have nothing to do meanwhile."""


@dataclass(frozen=True)
class _Message:
    """What the first process sends: a training, or the end with its result or error."""

    job: Any = None
    result: Any = None
    error: SubLMError | OSError | None = None


class Team:
    """The processes that do one job; alone, all of this does nothing.

    Attributes:
        size: How many there are.
        leads: Whether this is the first.
    """

    def __init__(self, rank: int = 0, size: int = 1, group: Any = None) -> None:
        self.size, self.leads = size, rank == 0
        self._group = group

    @contextmanager
    def training(self, job: Any) -> Iterator[None]:
        """Hands the others what is going to be trained, for the first to train inside; in the others does nothing.

        Of the errors inside, those that SubLM raises are met by all. With any other the first is alone: they are in
        the midst of a sum, where no message reaches them, and whoever started them ends them.
        """
        self._send(_Message(job=job))
        try:
            yield
        except SubLMError:
            raise
        except BaseException:
            if self.size > 1:
                self._group = None
                atexit.unregister(_disconnect)
            raise

    def dismiss(self, result: Any = None, error: SubLMError | OSError | None = None) -> None:
        """Ends the others' waiting; called by the first."""
        self._send(_Message(result=result, error=error))

    def jobs(self) -> Generator[Any, None, Any]:
        """What the first hands out, until it ends; its result is the generator's.

        Raises:
            SubLMError: The error it ended with.
            OSError: The same.
        """
        while True:
            box: list[Any] = [None]
            torch.distributed.broadcast_object_list(box, src=0, group=self._group)
            message: _Message = box[0]
            if message.error is not None:
                raise message.error
            if message.job is None:
                return message.result
            yield message.job

    def _send(self, message: _Message) -> None:
        if self.size > 1 and self.leads and self._group is not None:
            torch.distributed.broadcast_object_list([message], src=0, group=self._group)


def open_team() -> Team:
    """The team of this process, from the environment that `accelerate launch` and `torchrun` set."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team()
    state = join_processes(cpu=runs_on_cpu())
    if state.num_processes == 1:
        return Team()
    group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
    return Team(state.process_index, state.num_processes, group)


def join_processes(*, cpu: bool) -> PartialState:
    """This process among those that were started together.

    What connects them is closed when the process exits, if it was opened here: a thread of gloo that gives back its
    last message while the interpreter ends aborts the process.
    """
    was_connected = _connected()
    state = PartialState(cpu=cpu)
    if _connected() and not was_connected:
        atexit.register(_disconnect)
    return state


def _connected() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _disconnect() -> None:
    # After an error that only this process met, the others may never answer: whoever started them ends them.
    if _connected() and not hasattr(sys, "last_value"):
        torch.distributed.destroy_process_group()


def runs_on_cpu() -> bool:
    """Whether there is no accelerator: processes then talk over gloo."""
    return not torch.accelerator.is_available()
