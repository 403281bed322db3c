"""The study as Optuna knows it: for its dashboard, its plots and its samplers.

Our own record is the truth; the journal beside it can be made again from it at any time, and is, if a kill broke it.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.search.evaluation import Evaluation
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.subnet import Subnet
from sublm.spaces.variables import Choice, Integer, Subset

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

JOURNAL = "study.journal"
STUDY = "search"

_MOST_UNITS = 64
"""A subset of more things has no parameters of its own in Optuna; its values stand in the user attributes."""


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's parameters for the variables of a space; a subset has one for each of its things, if they are few."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, variable in space.variables.items():
        if isinstance(variable, Integer):
            # Optuna counts its steps from `low`; where ours do not, positions would hide the numbers: single steps.
            even = variable.low % variable.step == 0 and variable.high % variable.step == 0
            found[name] = IntDistribution(variable.low, variable.high, step=variable.step if even else 1)
        elif isinstance(variable, Choice):
            found[name] = CategoricalDistribution(list(variable.options))
        elif isinstance(variable, Subset) and variable.units <= _MOST_UNITS:
            found.update({f"{name}_{unit}": IntDistribution(0, 1) for unit in range(variable.units)})
    return found


def to_parameters(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Optuna's parameters; see `distributions`."""
    found: dict[str, Any] = {}
    for name, variable in space.variables.items():
        if not isinstance(variable, Subset):
            found[name] = values[name]
        elif variable.units <= _MOST_UNITS:
            kept = set(variable.kept(values[name]))
            found.update({f"{name}_{unit}": int(unit in kept) for unit in range(variable.units)})
    return found


def from_parameters(space: SearchSpace, parameters: Mapping[str, Any]) -> Values | None:
    """Optuna's parameters as values, each the nearest that the space takes; None if a variable has no parameters."""
    found: Values = {}
    for name, variable in space.variables.items():
        if isinstance(variable, Integer):
            wanted, below = parameters[name], variable.position(parameters[name])
            found[name] = min(variable.at(below), variable.at(below + 1), key=lambda value: abs(value - wanted))
        elif not isinstance(variable, Subset):
            found[name] = parameters[name]
        elif variable.units <= _MOST_UNITS:
            found[name] = variable.canonical([i for i in range(variable.units) if parameters[f"{name}_{i}"]])
        else:
            return None
    return found


class OptunaMirror:
    """Keeps an Optuna study in step with the evaluations; does nothing without a folder."""

    def __init__(self, space: SearchSpace, objectives: tuple[str, ...], folder: Path | None) -> None:
        self._space = space
        self._objectives = objectives
        self._path = None if folder is None else Path(folder) / JOURNAL
        self._study: optuna.Study | None = None

    def open(self, evaluations: Sequence[Evaluation]) -> None:
        """Opens the journal and adds what it lacks. The caller holds the folder, so no other process writes to it."""
        if self._path is None:
            return
        # A killed process leaves Optuna's own lock behind, which would be waited for half a minute.
        self._path.with_name(JOURNAL + ".lock").unlink(missing_ok=True)
        if self._path.exists():
            _cut_torn_line(self._path)
        try:
            known = self._load()
        except (KeyError, ValueError, AssertionError):
            self._path.replace(self._path.with_name(JOURNAL + ".broken"))
            known = self._load()
        for evaluation in evaluations:
            if evaluation.number not in known:
                self.add(evaluation)

    def claim(self, subnet: Subnet, values: Mapping[str, Any], origin: str) -> bool:
        """Whether a sub-network may be evaluated here: always, for nobody shares the journal."""
        return True

    def news(self) -> tuple[list[Evaluation], set[str]]:
        """What others found, and the keys of what they evaluate now: nothing."""
        return [], set()

    def close(self) -> None:
        """Nothing is held open."""

    def _load(self) -> set[int]:
        """Opens or creates the study; the numbers of the evaluations it holds."""
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        with quiet():
            storage = JournalStorage(JournalFileBackend(str(self._path), JournalFileOpenLock(str(self._path))))
            self._study = open_study(storage, STUDY, self._objectives)
            return {trial.user_attrs["number"] for trial in self._study.trials}

    def add(self, evaluation: Evaluation) -> None:
        """Adds one evaluation as a finished trial."""
        if self._study is not None:
            self._study.add_trial(frozen_trial(self._space, self._objectives, evaluation))


def open_study(storage: Any, name: str, objectives: tuple[str, ...]) -> optuna.Study:
    """Opens or creates a study with named objectives."""
    import optuna

    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if objective == "score" else "minimize" for objective in objectives],
        load_if_exists=True,
    )
    if study.metric_names is None:
        study.set_metric_names(list(objectives))
    return study


def frozen_trial(space: SearchSpace, objectives: tuple[str, ...], evaluation: Evaluation) -> optuna.trial.FrozenTrial:
    """An evaluation as a trial of Optuna; one whose objectives hold NaN has failed."""
    from optuna.trial import TrialState, create_trial

    minimised = evaluation.objectives(objectives)
    values = [-value if name == "score" else value for name, value in zip(objectives, minimised, strict=True)]
    failed = any(math.isnan(value) for value in values)
    attributes = {"number": evaluation.number, "key": evaluation.subnet.key, "origin": evaluation.origin}
    attributes["values"] = json.dumps(space.pack(evaluation.values))
    attributes |= {name: value for name, value in (*evaluation.metrics.items(), *evaluation.costs.items())}
    if evaluation.error:
        attributes["error"] = evaluation.error
    return create_trial(
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        values=None if failed else values,
        params=to_parameters(space, evaluation.values),
        distributions=distributions(space),
        user_attrs=attributes,
    )


def _cut_torn_line(path: Path) -> None:
    """Takes away a last line whose writing was cut off, so that the next one does not stick to it."""
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna from announcing new studies and experimental parts; leaves its log level as it was."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
