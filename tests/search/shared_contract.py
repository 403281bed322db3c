"""What drivers that share a study promise each other, whatever the database."""

from __future__ import annotations

import shutil

import optuna
import problem

from sublm.search import Study


def open_study(url, folder, seed=3, identity="weights", sampler="random", **options):
    settings = {"constraints": problem.CONSTRAINTS, "seed": seed, "folder": folder, "sampler": sampler}
    return Study(problem.SPACE, {"macs": problem.macs}, storage=url, identity=identity, **(settings | options))


def evaluate(study, trial):
    try:
        study.tell(trial, problem.score(trial.subnet))
    except ValueError as error:
        study.tell(trial, None, error=str(error))


def results(study):
    return {e.subnet.key: (repr(e.score), e.error, repr(sorted(e.metrics.items()))) for e in study.evaluations}


def take_turns(one, other, evaluations):
    """Both have two trials in flight; each evaluation is made by one of them."""
    made = []
    flying = [(study, study.ask()) for study in (one, other, one, other)]
    while flying:
        study, trial = flying.pop(0)
        evaluate(study, trial)
        made.append(trial.subnet.key)
        if len(made) + len(flying) < evaluations:
            flying.append((study, study.ask()))
    return made


def check_all(url, folder):
    """Drivers with the same seed propose the same, and still never evaluate anything twice."""
    with open_study(url, folder / "one") as one, open_study(url, folder / "other") as other:
        made = take_turns(one, other, 10)
        assert len(set(made)) == 10
        extra = one.ask(), other.ask()  # both take over what the other told last
        assert extra[0].subnet != extra[1].subnet
        assert results(one) == results(other)
        assert len(one.evaluations) == 10
        name = one._mirror.name
    # What was in flight is given up, so that others may take it; what was told is in each folder.
    with open_study(url, folder / "one") as one:
        assert len(one.evaluations) == 10
        assert one.ask().subnet in [trial.subnet for trial in extra]
    # Without the database nothing is lost, and a new database gets all of it.
    with open_study(None, folder / "one") as alone:
        assert len(alone.evaluations) == 10
    # A third driver, its folder a copy, is another driver.
    shutil.copytree(folder / "one", folder / "copy")
    with open_study(url, folder / "one") as one, open_study(url, folder / "copy", sampler="random") as copy:
        assert len(copy.evaluations) == 10
        assert one.ask().subnet != copy.ask().subnet
    # Results of other weights are no results of these.
    with open_study(url, folder / "trained further", identity="other weights") as further:
        assert further.ask().number == 0
    study = optuna.load_study(study_name=name, storage=url)
    finished = [trial for trial in study.trials if "evaluation" in trial.user_attrs]
    assert len(finished) == len({trial.user_attrs["key"] for trial in finished}) == 10
    assert not [trial for trial in study.trials if not trial.state.is_finished()]
    assert study.metric_names == ["score", "macs"]
