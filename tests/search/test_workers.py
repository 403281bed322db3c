"""Several trials in flight: in a study, and in workers that are killed."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import problem
import pytest

from sublm.errors import WorkerError
from sublm.search import SAMPLERS, Study
from sublm.spaces.subnet import count

NUMBER_ONLY = ["grid", "moasha", "random"]
"""Samplers that look at nothing but what has been proposed: the number of workers changes nothing."""


SPACE = problem.SPACES["medium"]  # small enough for every sampler
LIMITS = problem.budget(SPACE)


def study(sampler="random", folder=None, **options):
    settings = {"constraints": LIMITS, "sampler": sampler, "seed": 3, "folder": folder}
    return Study(SPACE, {"macs": problem.macs}, **(settings | options))


def evaluate(opened, trial):
    try:
        return opened.tell(trial, problem.score(trial.subnet))
    except ValueError as error:
        return opened.tell(trial, None, error=str(error))


def proposals(opened):
    return [(e.number, e.subnet.key, e.origin) for e in opened.evaluations]


def search_in_flight(opened, flying, evaluations, rng):
    """Keeps so many in flight and tells them in random order."""
    pending = []
    while len(opened.evaluations) < evaluations:
        while len(pending) < flying and len(opened.evaluations) + len(pending) < evaluations:
            pending.append(opened.ask())
        evaluate(opened, pending.pop(rng.randrange(len(pending))))
    return opened


@pytest.mark.parametrize("sampler", sorted({*SAMPLERS} - {"exhaustive"}))  # that one refuses this space
def test_what_is_in_flight_is_not_proposed_again(sampler):
    opened = search_in_flight(study(sampler), 5, 40, random.Random(0))
    assert [e.number for e in opened.evaluations] == list(range(40))
    assert len({e.subnet.key for e in opened.evaluations}) == 40
    assert all(e.costs["macs"] <= LIMITS[0].limit for e in opened.evaluations)


@pytest.mark.parametrize("sampler", NUMBER_ONLY)
def test_order_and_number_in_flight_do_not_matter_where_only_the_number_decides(sampler):
    expected = proposals(search_in_flight(study(sampler), 1, 40, random.Random(0)))
    for flying in (2, 7):
        assert proposals(search_in_flight(study(sampler), flying, 40, random.Random(flying))) == expected


def test_a_sampler_sees_as_many_entries_as_there_are_trials_before_its_own():
    seen = []

    class Spy:
        name = "spy"

        def propose(self, problem, history, rng):
            seen.append([(entry.pending, math.isnan(entry.objectives[0])) for entry in history])
            return SAMPLERS["random"]().propose(problem, history, rng)

    opened = study(Spy(), constraints=())
    trials = [opened.ask() for _ in range(4)]
    opened.tell(trials[2], {"score": 1.0})
    opened.tell(trials[0], {"score": math.nan})
    last = opened.ask()
    assert [len(history) for history in seen] == list(range(len(trials) + 1 - len(seen), len(trials) + 1))
    assert seen[-1] == [(False, True), (True, True), (False, False), (True, True)]
    assert last.number == 4


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_what_was_in_flight_at_a_kill_is_asked_first_and_nothing_told_is_lost(tmp_path, sampler):
    with study(sampler, tmp_path) as opened:
        trials = [opened.ask() for _ in range(12)]
        for number in (10, 3, 0, 7):
            evaluate(opened, trials[number])
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [10, 3, 0, 7]  # as told
    with study(sampler, tmp_path) as opened:
        assert [e.number for e in opened.evaluations] == [0, 3, 7, 10]
        again = [opened.ask() for _ in range(10)]
        assert [trial.number for trial in again] == [1, 2, 4, 5, 6, 8, 9, 11, 12, 13]
        assert len({*(t.subnet.key for t in again), *(e.subnet.key for e in opened.evaluations)}) == 14
        if sampler == "random":
            assert again[:8] == [trials[number] for number in (1, 2, 4, 5, 6, 8, 9, 11)]


@pytest.mark.parametrize("sampler", NUMBER_ONLY)
def test_workers_find_the_same_front(sampler):
    together, alone = (problem.run(sampler, space=SPACE, workers=workers) for workers in (3, 1))
    assert problem.trace(together) == problem.trace(alone)


def test_a_killed_worker_costs_its_evaluation_and_that_is_done_again(tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    evaluate = problem.Counted(calls, {0: "kill", 5: "kill", 11: "kill"})
    result = problem.run("random", tmp_path / "study", evaluate=evaluate, workers=3)
    assert problem.trace(result) == problem.trace(problem.run("random"))
    assert len((calls / "evaluated").read_text().splitlines()) == 40 + 3


def test_a_sub_network_that_kills_every_worker_is_recorded_as_failed(tmp_path):
    result = problem.run("random", evaluations=6, evaluate=DiesOn(problem.SPACE.smallest.key), workers=2)
    failed = [e for e in result.evaluations if e.error.startswith("WorkerLostError")]
    assert [e.subnet for e in failed] == [problem.SPACE.smallest]
    assert math.isnan(failed[0].score)
    assert len(result.evaluations) == 6
    assert problem.SPACE.smallest not in [e.subnet for e in result.front]


class DiesOn:
    def __init__(self, key):
        self.key = key

    def __call__(self, subnet):
        if subnet.key == self.key:
            os.kill(os.getpid(), 9)
        return problem.score(subnet)


def test_what_cannot_be_sent_to_a_worker_ends_the_search_at_once(tmp_path):
    with pytest.raises((AttributeError, TypeError, WorkerError)):
        problem.run("random", tmp_path, evaluate=lambda subnet: {"score": 1.0}, workers=2)
    assert problem.run("random", tmp_path, evaluations=2).evaluations  # the folder is free again


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_driver_and_workers_killed_and_run_again(tmp_path, sampler):
    """SIGKILL while one of three workers is in the middle of an evaluation and the others go on."""
    folder = tmp_path / "study"
    program = [sys.executable, str(Path(problem.__file__)), sampler, str(folder), "40", "9", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(program, env=environment, stderr=subprocess.PIPE) as driver:
        assert driver.stderr.readline() == b"paused\n"
        driver.kill()
        assert driver.stderr.read() == b""  # the workers have gone
    record = folder / "evaluations.jsonl"
    before = record.read_bytes()
    told = before[: before.rfind(b"\n") + 1]
    assert told
    result = problem.run(sampler, folder, workers=3)
    assert record.read_bytes().startswith(told)
    assert [e.number for e in result.evaluations] == list(range(40))
    assert len({e.subnet.key for e in result.evaluations}) == 40
    if sampler in NUMBER_ONLY:
        assert problem.trace(result) == problem.trace(problem.run(sampler))


def test_a_small_space_is_searched_to_its_end_with_several_in_flight():
    from sublm.search import search
    from sublm.spaces import small

    space = small(problem.SHAPE, step=64)
    result = search(space, only_heads, {"macs": problem.macs}, sampler="random", evaluations=10_000, workers=3)
    assert result.exhausted
    assert len(result.evaluations) == len({space.decode(values).key for values in space.settings()})


def only_heads(subnet):
    return {"score": float(sum(map(count, subnet.heads)))}
