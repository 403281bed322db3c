from __future__ import annotations

import problem
import pytest
import shared_contract

from sublm.errors import MissingPackageError, RunError
from sublm.search import check_storage
from sublm.search.shared import SharedStudy


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'studies.db'}"


def test_drivers_share_a_study(url, tmp_path):
    shared_contract.check_all(url, tmp_path)


def test_one_driver_finds_with_a_storage_what_it_finds_without(url, tmp_path):
    expected = problem.trace(problem.run("nsga2", evaluations=10))
    assert problem.trace(problem.run("nsga2", tmp_path, evaluations=10, storage=url)) == expected
    assert problem.trace(problem.run("nsga2", tmp_path, evaluations=10, storage=url, evaluate=None)) == expected


def test_a_second_driver_evaluates_only_what_is_left(url, tmp_path):
    first = problem.run("random", tmp_path / "one", evaluations=8, storage=url)
    made = []

    def evaluate(subnet):
        made.append(subnet.key)
        return problem.score(subnet)

    other = tmp_path / "other"
    result = problem.run("nsga2", other, evaluations=12, storage=url, evaluate=evaluate, seed=8)
    assert len(result.evaluations) == 12
    assert len(made) == 4
    assert not set(made) & {e.subnet.key for e in first.evaluations}
    assert problem.trace(problem.run("nsga2", other, evaluations=12, seed=8, evaluate=None)) == problem.trace(result)
    assert len(problem.run("random", evaluations=12, storage=url, evaluate=None).evaluations) == 12


def test_what_was_evaluated_without_the_storage_is_added_to_it(url, tmp_path):
    first = problem.run("random", tmp_path / "one", evaluations=5)
    problem.run("random", tmp_path / "one", evaluations=5, storage=url)
    result = problem.run("random", evaluations=5, storage=url, evaluate=None)
    assert {e.subnet.key for e in result.evaluations} == {e.subnet.key for e in first.evaluations}


def test_what_was_found_after_a_claim_was_given_up_is_added(url, tmp_path):
    with shared_contract.open_study(url, tmp_path / "one") as one:
        given_up = one.ask()
    with shared_contract.open_study(None, tmp_path / "one") as alone:  # as if killed before the database had it
        trial = alone.ask()
        assert trial.subnet == given_up.subnet
        shared_contract.evaluate(alone, trial)
    with shared_contract.open_study(url, tmp_path / "one"), shared_contract.open_study(url, None) as other:
        assert other.ask().subnet != trial.subnet
        assert [e.subnet for e in other.evaluations] == [trial.subnet]


def test_of_two_claims_the_earlier_counts(url):
    with shared_contract.open_study(url, None) as one, shared_contract.open_study(url, None) as other:
        trial = one._next()
        assert other._next() == trial  # both are about to propose the same
        assert one._mirror.claim(trial.subnet, trial.values, trial.origin)
        assert not other._mirror.claim(trial.subnet, trial.values, trial.origin)
        assert other.ask().subnet != trial.subnet


def test_a_database_that_cannot_be_used_is_named_without_its_password():
    with pytest.raises((RunError, MissingPackageError)) as caught:
        check_storage("postgresql://me:secret@localhost:1/none")
    assert "secret" not in str(caught.value)
    assert "localhost:1/none" in str(caught.value)
    with pytest.raises(RunError, match="postgresql://USER@HOST/DATABASE"):
        check_storage("nonsense://")
    with pytest.raises(RunError, match="cannot be used"):
        SharedStudy(problem.SPACE, ("score",), "sqlite:////no/such/folder/x.db", "name", None).open([])
