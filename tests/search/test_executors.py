from __future__ import annotations

import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
from multiprocessing import resource_tracker
from pathlib import Path

import jobs
import pytest

from sublm.errors import MissingPackageError, RunError, WorkerError, WorkerLostError
from sublm.search.executors import open_executor


def lines(path):
    return path.read_text().splitlines()


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_back_whoever_works(tmp_path, workers):
    with open_executor(workers, initializer=jobs.begin, initargs=(100,)) as executor:
        futures = [executor.submit(jobs.square, tmp_path, number) for number in range(8)]
        assert [future.result() for future in futures] == [number * number + 100 for number in range(8)]
        assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]
    jobs.begun = 0
    who = {line for number in range(8) for line in lines(tmp_path / str(number))}
    assert (who == {str(os.getpid())}) == (workers == 1)
    assert len(who) <= workers


def test_a_killed_worker_costs_only_what_it_was_at(tmp_path):
    with open_executor(3, initializer=jobs.begin, initargs=(5,)) as executor:
        futures = [executor.submit(jobs.square, tmp_path, number, killed_over=(2, 7)) for number in range(12)]
        assert [future.result() for future in futures] == [number * number + 5 for number in range(12)]
    calls = {number: lines(tmp_path / str(number)) for number in range(12)}
    assert {number: len(set(pids)) for number, pids in calls.items()} == dict.fromkeys(range(12), 1) | {2: 2, 7: 2}


def test_work_that_kills_every_worker_is_given_up_and_the_rest_goes_on(tmp_path):
    with open_executor(2, retries=1) as executor:
        deadly = executor.submit(jobs.die)
        others = [executor.submit(jobs.square, tmp_path, number) for number in range(4)]
        with pytest.raises(WorkerLostError, match="2 times"):
            deadly.result()
        assert [future.result() for future in others] == [0, 1, 4, 9]
        assert executor.submit(pow, 3, 3).result() == 27


def test_exceptions_come_back_with_the_workers_traceback():
    with open_executor(2) as executor:
        with pytest.raises(ValueError, match="no such number") as caught:
            executor.submit(jobs.fail).result()
        assert "in fail" in str(caught.value.__cause__)
        with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
            executor.submit(jobs.fail_oddly).result()
        with pytest.raises(RuntimeError, match="SystemExit: 3"):
            executor.submit(jobs.leave).result()
        with pytest.raises(TypeError, match="cannot be sent back"):
            executor.submit(jobs.give_a_lambda).result()
        with pytest.raises((pickle.PicklingError, AttributeError)):
            executor.submit(lambda: None).result()
        assert executor.submit(pow, 3, 3).result() == 27


@pytest.mark.parametrize(("kind", "said"), [("raise", "a bad start"), ("kill", r"exit code -9.*__main__")])
def test_workers_that_cannot_begin_are_an_error(kind, said):
    with (
        open_executor(2, initializer=jobs.begin_badly, initargs=(kind,)) as executor,
        pytest.raises(WorkerError, match=said) as caught,
    ):
        executor.submit(pow, 2, 2).result()
    assert not isinstance(caught.value, WorkerLostError)


def test_a_worker_killed_before_it_has_read_what_it_begins_with_is_replaced(tmp_path, monkeypatch):
    """It dies before Python runs in it; what it was to read is more than a pipe takes."""
    program = tmp_path / "python"
    dies = f'case "$*" in *spawn_main*) mkdir {tmp_path}/died 2>/dev/null && kill -9 $$;; esac'
    program.write_text(f'#!/bin/sh\n{dies}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    resource_tracker.ensure_running()  # of the real Python
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(program))
    with open_executor(2, initializer=jobs.begin_with, initargs=(b"x" * 2**20,)) as executor:
        assert executor.submit(jobs.square, tmp_path, 3).result() == 9 + 2**20
    assert (tmp_path / "died").exists()


def test_a_worker_killed_while_it_answers_is_replaced(tmp_path):
    with open_executor(2) as executor:
        assert executor.submit(jobs.answer_half, tmp_path).result() == "whole"


def test_leaving_through_an_exception_does_not_wait_for_the_workers():
    futures = []

    def interrupted():
        with open_executor(2) as executor:
            futures.extend(executor.submit(jobs.wait_for_ever) for _ in range(5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(future.cancelled() or isinstance(future.exception(), WorkerLostError) for future in futures)
    assert not [child for child in multiprocessing.active_children() if child.name == "sublm-worker"]


def test_no_more_workers_than_there_is_work_for():
    with open_executor(3) as executor:
        assert len({executor.submit(jobs.who).result() for _ in range(5)}) == 1


def test_a_closed_executor_takes_no_work():
    executor = open_executor(2)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(pow, 2, 2)


def test_interrupting_goes_through_the_inline_executor():
    def interrupt():
        raise KeyboardInterrupt

    with open_executor() as executor, pytest.raises(KeyboardInterrupt):
        executor.submit(interrupt)


def test_a_killed_driver_takes_its_workers_with_it_and_they_do_not_write_to_its_output():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, str(Path(jobs.__file__))]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
        assert driver.stderr.readline() == b"a worker's chatter\n"
        assert driver.stderr.readline() == b"working\n"
        driver.kill()
        assert driver.stderr.read() == b""  # its end comes when the last worker has gone
        assert driver.stdout.read() == b"32\n"


def test_bad_requests_are_refused(monkeypatch):
    with pytest.raises(RunError, match="at least 1"):
        open_executor(0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"sublm\[ray\]"):
        open_executor(2, ray="auto")
