"""Workers on a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
from collections.abc import Callable
from typing import Any

from sublm.errors import WorkerError
from sublm.optional import try_import
from sublm.search.executors.attempt import Outcome, attempt, result_of
from sublm.search.executors.pool import WorkerDiedError, WorkerPool
from sublm.search.executors.tensors import pack, unpack


def connect(address: str) -> tuple[Any, bool]:
    """Connects to a cluster.

    Args:
        address: "auto", "HOST:PORT" or "ray://HOST:PORT".

    Returns:
        The module `ray`, and whether the connection was made here and is to be ended here.

    Raises:
        MissingPackageError: If Ray is not installed.
        WorkerError: If there is no cluster, or it cannot be used from here.
    """
    ray = try_import("ray", extra="ray", purpose="Searching on a cluster (--ray)")
    if ray.is_initialized():
        return ray, False
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises ConnectionError, RuntimeError (other versions), ValueError (the address)
        raise WorkerError(
            f"The Ray cluster {address!r} cannot be used: {type(error).__name__}: {str(error).strip()[:300]} Give the "
            "address that `ray start --head` printed with --ray, or 'auto' on a machine of the cluster."
        ) from error
    return ray, True


def _knock(address: str) -> None:
    """Ray tries for minutes to reach a machine at which nobody listens; this fails at once."""
    host, _, port = address.rpartition("://")[2].partition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()


def check_cluster(address: str) -> None:
    """Makes sure that a cluster can be used.

    Raises:
        MissingPackageError: If Ray is not installed.
        WorkerError: If there is no cluster, or it cannot be used from here.
    """
    ray, ours = connect(address)
    if ours:
        ray.shutdown()


def open_ray(
    address: str,
    workers: int,
    initializer: Callable[..., None] | None,
    initargs: tuple[Any, ...],
    *,
    retries: int,
    threads: int | None,
) -> WorkerPool:
    """A pool of Ray actors; see `open_executor`."""
    ray, ours = connect(address)
    try:
        # Put once: every node fetches it once, and its workers read the same memory.
        begin = ray.put(pack((initializer, initargs), ray.cloudpickle.CloudPickler))
        paths = [path for path in sys.path if path and not path.startswith((sys.prefix, sys.base_prefix))]
        actor = _actor_class(ray, threads or 1)
    except BaseException:
        if ours:
            ray.shutdown()
        raise

    def close() -> None:
        if ours:
            ray.shutdown()

    return WorkerPool(lambda: RayWorker(ray, actor, begin, paths), workers, retries=retries, close=close)


class RayWorker:
    """An actor: a process somewhere on the cluster."""

    def __init__(self, ray: Any, actor: Any, begin: Any, paths: list[str]) -> None:
        """Waits until the cluster has room for the actor and its initializer is through.

        Args:
            ray: The module.
            actor: The remote class.
            begin: Reference to the packed initializer and its arguments.
            paths: Where the driver finds modules of its own; those that a node has, too, are looked through there.

        Raises:
            WorkerError: If the initializer fails.
            WorkerDiedError: If the actor ends before it is through.
        """
        self._ray = ray
        self._actor = actor.remote()
        try:
            worked, error, where = self._get(self._actor.begin.remote(begin, paths))
        except WorkerDiedError:
            raise WorkerDiedError(
                "A Ray worker ended before it could begin. Is SubLM installed in the same version on every node, and "
                "is there memory enough?"
            ) from None
        if not worked:
            self.kill()
            raise WorkerError(f"A Ray worker cannot begin: {type(error).__name__}: {error}\n{where}") from error

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a function in the actor; see `Worker`."""
        outcome = self._get(self._actor.call.remote(self._ray.cloudpickle.dumps((fn, args, kwargs))))
        return result_of(pickle.loads(outcome))

    def stop(self) -> None:
        """Ends the actor."""
        self.kill()

    def kill(self) -> None:
        """Ends the actor now; Ray does not start it again."""
        with contextlib.suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._actor)

    def _get(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (errors.RayActorError, errors.WorkerCrashedError, errors.ObjectLostError, errors.NodeDiedError):
            raise WorkerDiedError from None


def _actor_class(ray: Any, threads: int) -> Any:
    """The remote class; made here, because Ray is optional."""

    class Actor:
        """Runs in the worker; knows nothing but functions."""

        def begin(self, packed: Any, paths: list[str]) -> Outcome:
            return attempt(_begin, (packed, paths), {})

        def call(self, sent: bytes) -> bytes:
            return _call(sent)

    # Ray gives a worker as many threads as cores. The pool tries again by itself, so Ray must not.
    return ray.remote(num_cpus=threads, max_restarts=0, max_task_retries=0)(Actor)


def _begin(packed: Any, paths: list[str]) -> None:
    sys.path.extend(path for path in paths if path not in sys.path and os.path.isdir(path))
    initializer, initargs = unpack(packed)
    if initializer is not None:
        initializer(*initargs)


def _call(sent: bytes) -> bytes:
    outcome = attempt(_unpack_and_call, (sent,), {})
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps((False, TypeError(f"the result cannot be sent back: {type(error).__name__}: {error}"), ""))


def _unpack_and_call(sent: bytes) -> Any:
    fn, args, kwargs = pickle.loads(sent)
    return fn(*args, **kwargs)
