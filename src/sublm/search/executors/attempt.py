"""What a worker does with a piece of work, and what of it the driver gets back."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Outcome = tuple[bool, Any, str]
"""Whether it worked, its result or its exception, and the traceback."""


class RemoteTracebackError(Exception):
    """The traceback of an exception in a worker; stands as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def attempt(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
    """Calls a function in the worker; an exception becomes something that can be sent."""
    try:
        return True, fn(*args, **kwargs), ""
    except BaseException as error:  # SystemExit too: a library's exit must not look like a kill
        return False, _sendable(error), traceback.format_exc()


def result_of(outcome: Outcome) -> Any:
    """What the function gave, or its exception, in the driver."""
    worked, value, where = outcome
    if worked:
        return value
    raise value from RemoteTracebackError(where)


def _sendable(error: BaseException) -> Exception:
    """The exception itself if it survives the way to the driver, else its text."""
    try:
        if isinstance(error, Exception):
            pickle.loads(pickle.dumps(error))
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
