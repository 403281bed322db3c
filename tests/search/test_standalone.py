"""Candidates trained alone: how long, whatever becomes of workers and of the search."""

from __future__ import annotations

import json
import os
import threading
import time

import problem
import pytest

from sublm.search import Study, standalone
from sublm.search.executors import InlineExecutor, WorkerPool
from sublm.search.executors.pool import WorkerDiedError
from sublm.search.standalone import Learned, search_standalone

HOUR = 3600.0


@pytest.fixture
def clock(monkeypatch):
    """Hours that pass only when a test says so."""
    passed = {"hours": 0.0}
    monkeypatch.setattr(time, "time", lambda: 1e9 + HOUR * passed["hours"])
    monkeypatch.setattr(time, "monotonic", lambda: HOUR * passed["hours"])
    return passed


def search(learn, folder, executor, *, sampler="random", epochs=100, evaluations=1, hours=4.5):
    with Study(problem.SPACE, problem.COSTS, sampler=sampler, folder=folder) as study, executor:
        return search_standalone(
            study,
            learn,
            problem.COSTS,
            epochs=epochs,
            evaluations=evaluations,
            executor=executor,
            seconds=HOUR * hours,
            folder=folder,
        )


def hourly(clock):
    """Trains an epoch an hour."""

    def learn(subnet, until, end):
        scores = []
        while len(scores) < until and time.time() < end:
            clock["hours"] += 1
            scores.append(0.5)
        return Learned(tuple(scores))

    return learn


def noted(folder):
    return json.loads((folder / "clock.json").read_text())["seconds"] / HOUR


def test_a_worker_s_death_gives_no_more_time(clock, tmp_path):
    class Here:
        """The first one dies after three hours."""

        def call(self, fn, args, kwargs):
            if clock["hours"] == 0:
                clock["hours"] = 3.0
                raise WorkerDiedError
            return fn(*args, **kwargs)

        def stop(self):
            pass

        kill = stop

    result = search(hourly(clock), tmp_path, WorkerPool(Here, 1))
    assert result.seconds == 5 * HOUR
    assert [e.metrics["epochs"] for e in result.evaluations] == [2]


def test_an_interrupted_search_has_the_time_that_is_left(clock, tmp_path):
    def interrupt(subnet, until, end):
        clock["hours"] += 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(interrupt, tmp_path, InlineExecutor())
    assert noted(tmp_path) == 3
    result = search(hourly(clock), tmp_path, InlineExecutor())
    assert [e.metrics["epochs"] for e in result.evaluations] == [2]


def test_the_time_is_noted_while_a_candidate_trains_here(tmp_path, monkeypatch):
    monkeypatch.setattr(standalone, "_TICK", 0.001)
    seen = []

    def learn(subnet, until, end):
        while not seen and time.time() < end:
            seen.extend(tmp_path.glob("clock.json"))
            os.sched_yield()
        return Learned((0.5,))

    search(learn, tmp_path, InlineExecutor(), epochs=1, hours=60 / HOUR)
    assert seen
    assert "clock" not in [thread.name for thread in threading.enumerate()]


def test_who_is_stopped_at_a_rung_by_the_time_is_not_said_to_go_on(clock, tmp_path):
    search(hourly(clock), tmp_path, InlineExecutor(), sampler="moasha", hours=1)
    lines = (tmp_path / "rungs.jsonl").read_text().splitlines()
    assert [(json.loads(line)["epochs"], json.loads(line)["continues"]) for line in lines] == [(1, False)]
    # Later ones are compared with it.
    result = search(hourly(clock), tmp_path, InlineExecutor(), sampler="moasha", evaluations=2, hours=3)
    assert [e.metrics["epochs"] for e in result.evaluations] == [1, 1]
