from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import problem
import pytest

from sublm.errors import RunError, SubnetError, TargetError
from sublm.search import Constraint, Study, search
from sublm.spaces import Subnet, large, small
from sublm.spaces.subnet import count

SAMPLER = "nsga2"


@pytest.fixture(scope="module")
def whole():
    return problem.run(SAMPLER)


def journal(folder):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name="search", storage=storage)


def test_seeds_come_first(whole):
    seeds = [e.subnet for e in whole.evaluations if e.origin == "seed"]
    assert problem.SPACE.smallest in seeds
    assert problem.SPACE.largest not in seeds  # it breaks the budget
    assert [e.origin for e in whole.evaluations[: len(seeds)]] == ["seed"] * len(seeds) == ["seed"] * 3
    share = problem.macs(seeds[-1]) / problem.CONSTRAINTS[0].limit
    assert 0.95 < share <= 1  # the boundary


def test_the_front_is_sorted_and_free_of_nan(whole):
    costs = [e.costs["macs"] for e in whole.front]
    scores = [e.score for e in whole.front]
    assert costs == sorted(costs, reverse=True)
    assert scores == sorted(scores, reverse=True)
    assert not any(map(math.isnan, scores))
    failed = [e for e in whole.evaluations if e.error]
    assert failed
    assert all(e.error == "ValueError: this one does not work" and math.isnan(e.score) for e in failed)


def test_every_evaluation_is_recorded_at_once(tmp_path):
    lines = []
    search(
        problem.SPACE,
        problem.score,
        {"macs": problem.macs},
        evaluations=6,
        folder=tmp_path,
        progress=lambda e: lines.append((tmp_path / "evaluations.jsonl").read_text().count("\n") - e.number),
    )
    assert lines == [1] * 6


def test_a_search_goes_on_where_it_stopped(tmp_path, whole):
    problem.run(SAMPLER, tmp_path, evaluations=17)
    calls = []

    def evaluate(subnet):
        calls.append(subnet)
        return problem.score(subnet)

    assert problem.trace(problem.run(SAMPLER, tmp_path, evaluate=evaluate)) == problem.trace(whole)
    assert len(calls) == 40 - 17
    again = problem.run(SAMPLER, tmp_path, evaluate=lambda subnet: pytest.fail("nothing is left to do"))
    assert problem.trace(again) == problem.trace(whole)


@pytest.mark.parametrize("at", [0, 5, 23])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, whole, at):
    program = [sys.executable, str(Path(problem.__file__)), SAMPLER, str(tmp_path), "40", str(at)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"paused"  # in the middle of evaluation `at`
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "evaluations.jsonl").read_text().count("\n") == at
    assert problem.trace(problem.run(SAMPLER, tmp_path)) == problem.trace(whole)
    assert [trial.user_attrs["number"] for trial in journal(tmp_path).trials] == list(range(40))


def test_torn_last_lines_are_tolerated(tmp_path, whole):
    """A kill in the middle of writing, at its worst: both files torn, Optuna's lock left, one trial missing there."""
    problem.run(SAMPLER, tmp_path, evaluations=20)
    record, mirror = tmp_path / "evaluations.jsonl", tmp_path / "study.journal"
    record.write_bytes(record.read_bytes()[:-30])
    mirror.write_bytes(mirror.read_bytes()[:-30])
    (tmp_path / "study.journal.lock").touch()
    assert problem.trace(problem.run(SAMPLER, tmp_path)) == problem.trace(whole)
    assert sorted(trial.user_attrs["number"] for trial in journal(tmp_path).trials) == list(range(40))


def test_a_broken_journal_is_made_again(tmp_path):
    problem.run(SAMPLER, tmp_path, evaluations=5)
    (tmp_path / "study.journal").write_text("{broken\n{broken\n")
    problem.run(SAMPLER, tmp_path, evaluations=6)
    assert len(journal(tmp_path).trials) == 6


def test_a_broken_line_in_the_middle_is_refused(tmp_path):
    problem.run(SAMPLER, tmp_path, evaluations=5)
    record = tmp_path / "evaluations.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join([*lines[:2], "{}\n", *lines[3:]]))
    with pytest.raises(RunError, match="line 3"):
        problem.run(SAMPLER, tmp_path, evaluations=6)
    record.write_text("".join([*lines[:2], lines[1], *lines[3:]]))
    with pytest.raises(RunError, match="evaluation 1 stands there a second time"):
        problem.run(SAMPLER, tmp_path, evaluations=6)


def test_another_search_in_the_folder_is_refused(tmp_path):
    problem.run(SAMPLER, tmp_path, evaluations=5)
    with pytest.raises(RunError, match="seed is 3 there and 4 here"):
        problem.run(SAMPLER, tmp_path, evaluations=5, seed=4)
    with pytest.raises(RunError, match="sampler"):
        problem.run("random", tmp_path, evaluations=5)


def test_two_searches_at_once_in_a_folder_are_refused(tmp_path):
    first = Study(problem.SPACE, {"macs": problem.macs}, folder=tmp_path)
    with pytest.raises(RunError, match="already open"):
        Study(problem.SPACE, {"macs": problem.macs}, folder=tmp_path)
    first.close()
    Study(problem.SPACE, {"macs": problem.macs}, folder=tmp_path).close()


def test_the_study_is_optunas(tmp_path):
    result = problem.run(SAMPLER, tmp_path)
    study = journal(tmp_path)
    assert study.metric_names == ["score", "macs"]
    valid = [e for e in result.evaluations if not math.isnan(e.score)]
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert [trial.values for trial in complete] == [[e.score, e.costs["macs"]] for e in valid]
    assert [trial.params for trial in complete] == [dict(e.values) for e in valid]
    failed = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.FAIL]
    assert {trial.user_attrs["number"] for trial in failed} == {e.number for e in result.evaluations} - {
        e.number for e in valid
    }
    assert {trial.user_attrs["number"] for trial in study.best_trials} == {e.number for e in result.front}


def test_huge_subsets_are_kept_small(tmp_path):
    space = large(problem.SHAPE, step=1)
    assert space.size == 2 ** (4 * (4 + 128))
    result = search(space, lambda s: {"score": 1.0}, {"macs": problem.macs}, evaluations=6, folder=tmp_path)
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert max(map(len, lines)) < 500  # 132 characters of bits
    assert all(not trial.params for trial in journal(tmp_path).trials)
    again = search(space, lambda s: {"score": 1.0}, {"macs": problem.macs}, evaluations=6, folder=tmp_path)
    assert [e.subnet for e in again.evaluations] == [e.subnet for e in result.evaluations]


def test_the_record_is_strict_json(tmp_path):
    problem.run(SAMPLER, tmp_path)
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    read = [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")) for line in lines]
    assert None in [data["score"] for data in read]


def test_interrupting_ends_the_search_and_loses_nothing(tmp_path):
    calls = []

    def evaluate(subnet):
        calls.append(subnet)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return {"score": 1.0}

    with pytest.raises(KeyboardInterrupt):
        problem.run(SAMPLER, tmp_path, evaluate=evaluate)
    assert (tmp_path / "evaluations.jsonl").read_text().count("\n") == 3
    problem.run(SAMPLER, tmp_path, evaluations=5)  # the folder is free again


def test_infinite_scores_do_not_win():
    def evaluate(subnet):
        return {"score": math.inf if count(subnet.heads[0]) == 1 else 0.5}

    front = problem.run("random", evaluate=evaluate).front
    assert front
    assert all(e.score == 0.5 for e in front)


def test_the_first_metric_is_the_score_unless_one_is_called_so():
    first = search(small(problem.SHAPE), lambda s: {"f1": 0.3, "accuracy": 0.9}, {"macs": problem.macs}, evaluations=1)
    assert first.evaluations[0].score == 0.3
    named = search(small(problem.SHAPE), lambda s: {"f1": 0.3, "score": 0.9}, {"macs": problem.macs}, evaluations=1)
    assert named.evaluations[0].score == 0.9
    with pytest.raises(TypeError, match="named results"):
        search(small(problem.SHAPE), lambda s: 0.3, {"macs": problem.macs}, evaluations=1)


def test_bad_settings_are_refused_before_any_evaluation():
    def evaluate(subnet):
        pytest.fail("nothing should be evaluated")

    costs = {"macs": problem.macs}
    with pytest.raises(RunError, match="macs"):
        search(problem.SPACE, evaluate, costs, objectives=("score", "latency"))
    with pytest.raises(RunError, match="autotinybert, ehvi, exhaustive, grid"):
        search(problem.SPACE, evaluate, costs, sampler="annealing")
    with pytest.raises(TargetError, match="nearest"):
        search(small(problem.SHAPE, min_layers=1), evaluate, costs, constraints=[Constraint("macs", 1.0)])
    uneven = Subnet((4, 3, 2, 1), (128,) * 4, 32, 8)
    with pytest.raises(SubnetError, match="not in the space 'small'"):
        search(small(problem.SHAPE), evaluate, costs, seeds=[uneven])


def test_a_trial_is_told_once():
    study = Study(problem.SPACE, {"macs": problem.macs})
    trial, other = study.ask(), study.ask()
    study.tell(trial, {"score": 1.0})
    with pytest.raises(RunError, match="Trial 0 was told, in flight: 1"):
        study.tell(trial, {"score": 1.0})
    study.tell(other, {"score": 1.0})


def test_two_constraints_at_once():
    space = problem.SPACE
    costs = {"macs": problem.macs, "heads": lambda s: float(sum(map(count, s.heads)))}
    limits = [Constraint("macs", 0.5 * problem.macs(space.largest)), Constraint("heads", 6)]
    result = search(space, problem.score, costs, constraints=limits, evaluations=60)
    assert len(result.evaluations) == 60
    assert all(e.costs[c.cost] <= c.limit for e in result.evaluations for c in limits)
