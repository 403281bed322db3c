"""Work that tests give to workers; also a program: `python jobs.py` has a driver with a busy worker."""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from sublm.search.executors import open_executor

begun = 0


def begin(number):
    global begun
    begun += number


def begin_with(content):
    begin(len(content))


def begin_badly(kind):
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("this worker has a bad start")


def note(folder, name):
    """Leaves one line per call: who did it."""
    with open(Path(folder) / name, "a") as file:
        file.write(f"{os.getpid()}\n")


def first_time(folder, name):
    try:
        os.close(os.open(Path(folder) / f"{name}.first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def square(folder, number, killed_over=()):
    """The square; the first worker that is at one of `killed_over` is killed there."""
    note(folder, str(number))
    if number in killed_over and first_time(folder, str(number)):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number + begun


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ValueError("no such number")


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail_oddly():
    raise OddError(1, 2)


def leave():
    sys.exit(3)


def give_a_lambda():
    return lambda: None


def answer_half(folder):
    """The first worker begins to answer, and is killed before the answer is whole."""
    if first_time(folder, "answer"):
        pipe = next(thing for thing in gc.get_objects() if isinstance(thing, Connection))
        os.write(pipe.fileno(), struct.pack("!i", 1000) + b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return "whole"


def who():
    return os.getpid()


def wait_for_ever():
    print("a worker's chatter", flush=True)
    print("working", file=sys.stderr, flush=True)
    signal.pause()


if __name__ == "__main__":
    with open_executor(2) as executor:
        print(executor.submit(pow, 2, 5).result(), flush=True)
        executor.submit(wait_for_ever).result()
