"""Workers that are processes of this machine; tensors sent to them are shared, not copied."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from sublm.errors import WorkerError
from sublm.search.executors.attempt import attempt, result_of
from sublm.search.executors.pool import WorkerDiedError

_starting = threading.Lock()  # two threads must not move the same weights to shared memory at once


class ProcessWorker:
    """A fresh process ("spawn", so nothing of the driver's state is inherited) at the end of a pipe.

    What is sent goes through torch's reductions if torch is loaded: a tensor's memory is moved to shared memory the
    first time and every process sees the same copy.
    """

    def __init__(self, threads: int, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
        """Starts the process and waits until its initializer is through.

        Raises:
            WorkerError: If the initializer fails.
            WorkerDiedError: If the process ends before it is through.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        begin = _SentLater((initializer, initargs))
        self._process = context.Process(target=_serve, args=(theirs, threads, begin), name="sublm-worker", daemon=True)
        try:
            with _starting:
                self._process.start()
        except OSError as refused:
            raise WorkerDiedError(f"A worker process cannot be started: {refused}. Use fewer --workers.") from refused
        finally:
            theirs.close()
        try:
            self._send(begin.pickled)
            worked, error, where = self._receive()
        except WorkerDiedError:
            self._process.join()
            raise WorkerDiedError(
                f"A worker process ended before it could begin (exit code {self._process.exitcode}). It may be out of "
                "memory: use fewer --workers. In a script, workers need the call under `if __name__ == '__main__':`."
            ) from None
        if not worked:
            self.kill()
            raise WorkerError(f"A worker process cannot begin: {type(error).__name__}: {error}\n{where}") from error

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._process.pid

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a function in the process; see `Worker`."""
        self._send(ForkingPickler.dumps((fn, args, kwargs)))
        return result_of(self._receive())

    def stop(self) -> None:
        """Lets the process end; after five seconds it is made to."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(5)
        self.kill()

    def kill(self) -> None:
        """Ends the process now."""
        self._process.kill()
        self._process.join()

    def _send(self, pickled: Any) -> None:
        try:
            self._pipe.send_bytes(pickled)
        except OSError:
            self.kill()
            raise WorkerDiedError from None

    def _receive(self) -> Any:
        # A process that a worker started may hold the pipe open after it: look at the worker itself, too.
        ready = wait([self._pipe, self._process.sentinel])
        received = None
        try:
            if self._pipe in ready or self._pipe.poll():
                received = self._pipe.recv_bytes()
        except (EOFError, OSError):  # OSError: it ended in the midst of a message
            pass
        if received is None:
            self.kill()
            raise WorkerDiedError
        return ForkingPickler.loads(received)


class _SentLater:
    """A value that is pickled with what a process starts with, but sent to it over its pipe afterwards.

    The standard library writes what a process starts with into a pipe whose other end it holds open itself: if the
    process dies before it has read that, and it is more than the pipe takes, the driver waits for ever. It must be
    pickled then all the same, for only then are the descriptors of shared tensors handed on.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        self.pickled: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        self.pickled = ForkingPickler.dumps(self._value)
        return _SentLater, (None,)


def _serve(pipe: Connection, threads: int, _: _SentLater) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the driver decides what becomes of us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The driver's standard output is its result: what libraries print here goes where messages go.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        os.dup2(2, 1)
    _limit_threads(threads)
    with contextlib.suppress(EOFError, OSError):  # the driver has gone, and so shall we
        outcome = attempt(_initialize, (pipe.recv_bytes(),), {})
        _limit_threads(threads)  # the initializer may have loaded torch
        pipe.send((outcome[0], None if outcome[0] else outcome[1], outcome[2]))
        while (work := _receive_work(pipe)) is not None:
            _send_outcome(pipe, attempt(*work))


def _initialize(pickled: bytes) -> None:
    initializer, initargs = ForkingPickler.loads(pickled)
    if initializer is not None:
        initializer(*initargs)


def _receive_work(pipe: Connection) -> Any:
    """The next call; one that cannot be read here (a module is missing) becomes one that says so."""
    pickled = pipe.recv_bytes()
    try:
        return ForkingPickler.loads(pickled)
    except Exception as error:
        return _raise, (f"the worker cannot read its work: {type(error).__name__}: {error}",), {}


def _raise(text: str) -> None:
    raise WorkerError(text)


def _send_outcome(pipe: Connection, outcome: Any) -> None:
    try:
        pipe.send(outcome)
    except (BrokenPipeError, ConnectionError):
        raise
    except Exception as error:  # nothing has been sent: pickling comes first
        pipe.send((False, TypeError(f"the result cannot be sent back: {type(error).__name__}: {error}"), ""))


def _end_with_parent() -> None:
    """A worker whose driver was killed has nobody to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _limit_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries that are still to be loaded
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
