"""A pool of workers that may die: what a dead one was at is given to a fresh one, and nobody else is disturbed.

The standard `ProcessPoolExecutor` gives up everything in flight when one process dies. Here every worker has a thread
of the driver to itself, which hands it its work, waits, and starts another in its place if need be.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from sublm.errors import WorkerError, WorkerLostError


class WorkerDiedError(Exception):
    """A worker is gone, whatever the reason; if it went before it could begin, the text says so."""


class Worker(Protocol):
    """One worker, used by one thread at a time."""

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a function there and waits for what it gives.

        Raises:
            WorkerDiedError: If the worker is gone.
            Exception: Whatever the function raises.
        """

    def stop(self) -> None:
        """Ends it once it is idle."""

    def kill(self) -> None:
        """Ends it now; called from another thread."""


class _Work(NamedTuple):
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class WorkerPool(Executor):
    """A `concurrent.futures.Executor` over workers of any kind.

    `submit(fn, *args)` as ever; `fn`, its arguments and its result must be picklable. Left through an exception, the
    pool ends its workers without waiting for them.
    """

    def __init__(
        self, start: Callable[[], Worker], workers: int, *, retries: int = 2, close: Callable[[], None] | None = None
    ) -> None:
        """Begins with no worker; each is started when there is work for it.

        Args:
            start: Starts a worker and waits until it is ready. Raises `WorkerDiedError` if it ends before, and
                `WorkerError` if trying again is hopeless.
            workers: Most workers at a time.
            retries: How often work is given to another worker when one dies over it.
            close: Called once all workers have ended.
        """
        self.workers = workers
        self._start = start
        self._retries = retries
        self._close = close
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive: set[Worker] = set()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._closed = False
        self._killed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hands work to the next idle worker.

        Returns:
            A future. Its exception is `WorkerLostError` if too many workers died over this work, `WorkerError` if none
            can be started at all, else what `fn` raised.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("The executor is shut down; open another one.")
            future: Future[Any] = Future()
            self._waiting.put(_Work(future, fn, args, kwargs))
            if len(self._threads) < self.workers and not self._idle.acquire(blocking=False):
                thread = threading.Thread(target=self._serve, name=f"worker-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work and ends the workers once theirs is done; see `Executor.shutdown`."""
        with self._lock:
            first, self._closed = not self._closed, True
        if cancel_futures:
            self._cancel_waiting()
        if first:
            for _ in self._threads:
                self._waiting.put(None)
        if wait:
            for thread in self._threads:
                thread.join()
            if self._close is not None:
                self._close()
                self._close = None

    def kill(self) -> None:
        """Ends every worker now; work in flight raises `WorkerLostError`, work not begun is cancelled."""
        self._killed = True
        self._cancel_waiting()
        with self._lock:
            alive = list(self._alive)
        for worker in alive:
            worker.kill()
        self.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.shutdown()
        else:
            self.kill()

    def _cancel_waiting(self) -> None:
        kept = 0
        while True:
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                break
            if work is None:
                kept += 1
            else:
                work.future.cancel()
        for _ in range(kept):
            self._waiting.put(None)

    def _serve(self) -> None:
        """The life of one thread: work after work, with one worker for as long as that lives."""
        worker: Worker | None = None
        while (work := self._waiting.get()) is not None:
            if not work.future.set_running_or_notify_cancel():
                self._idle.release()
                continue
            died = ""
            for _ in range(self._retries + 1):
                if self._killed:
                    break
                try:
                    worker = worker or self._begin()
                    result = worker.call(work.fn, work.args, work.kwargs)
                except WorkerDiedError as death:
                    died = str(death)
                    self._end(worker)
                    worker = None
                except BaseException as error:
                    self._idle.release()
                    work.future.set_exception(error)
                    break
                else:
                    # Idle first: whoever waits for the result may submit at once, and is to find this worker.
                    self._idle.release()
                    work.future.set_result(result)
                    break
            if not work.future.done():
                self._idle.release()
                tries = "" if self._killed else f" {self._retries + 1} times, each time a fresh one"
                lost = WorkerLostError(f"the worker died over it{tries}; was it out of memory?")
                work.future.set_exception(WorkerError(died) if died else lost)
        if worker is not None:
            worker.stop()
            self._end(worker)

    def _begin(self) -> Worker:
        worker = self._start()
        with self._lock:
            self._alive.add(worker)
        if self._killed:  # in between
            worker.kill()
        return worker

    def _end(self, worker: Worker | None) -> None:
        if worker is not None:
            with self._lock:
                self._alive.discard(worker)
