"""The study in a database that several drivers share: each evaluates something else, and all have every result.

A driver claims what it is about to evaluate by adding it as a running trial. If two claim the same sub-network at the
same time, the earlier trial counts: the database numbers trials one after the other, so both come to the same verdict.
"""

from __future__ import annotations

import contextlib
import platform
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sublm.errors import MissingPackageError, RunError
from sublm.files import read_json, write_json
from sublm.search.evaluation import Evaluation
from sublm.search.mirror import distributions, frozen_trial, open_study, quiet, to_parameters
from sublm.spaces.space import SearchSpace
from sublm.spaces.subnet import Subnet

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

RECORD = "shared.json"
LINE = "evaluation"
"""The attribute that holds an evaluation whole."""


class SharedStudy:
    """A study in a database. Our own log stays the truth of this driver; what the database lacks of it is added."""

    def __init__(
        self, space: SearchSpace, objectives: tuple[str, ...], url: str, name: str, folder: Path | None
    ) -> None:
        """Nothing is opened yet.

        Args:
            space: The search space.
            objectives: Names, as in the study.
            url: Of the database.
            name: Of the study there.
            folder: The search's, where this driver notes who it is.
        """
        self._space = space
        self._objectives = objectives
        self._url = url
        self.name = name
        self._folder = folder
        self._driver = ""
        self._storage: RDBStorage | None = None
        self._study: optuna.Study | None = None
        self._study_id = 0
        self._claims: dict[str, int] = {}
        self._known: set[int] = set()

    def open(self, evaluations: Sequence[Evaluation]) -> None:
        """Opens or creates the study, gives up what this driver had in flight when it ended, and adds what is missing.

        Raises:
            RunError: If the database cannot be used.
        """
        from optuna.trial import TrialState

        self._driver = self._who()
        with reached(self._url), quiet():
            self._storage = open_storage(self._url)
            self._study = open_study(self._storage, self.name, self._objectives)
            self._study_id = self._storage.get_study_id_from_name(self.name)
            there = set()
            for trial in self._study.get_trials(deepcopy=False):
                if trial.state.is_finished():
                    if LINE in trial.user_attrs:  # else it was only claimed
                        there.add(trial.user_attrs.get("key"))
                elif trial.user_attrs.get("driver") == self._driver:
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        for evaluation in evaluations:
            if evaluation.subnet.key not in there:
                self.add(evaluation)

    def claim(self, subnet: Subnet, values: Mapping[str, Any], origin: str) -> bool:
        """Announces that a sub-network is evaluated here.

        Returns:
            Whether it may be: False if another driver announced or finished it before.
        """
        from optuna.trial import TrialState, create_trial

        assert self._storage is not None
        assert self._study is not None
        template = create_trial(
            state=TrialState.RUNNING,
            params=to_parameters(self._space, values),
            distributions=distributions(self._space),
            user_attrs={"key": subnet.key, "origin": origin, "driver": self._driver},
        )
        with reached(self._url):
            own = self._storage.create_new_trial(self._study_id, template)
            number = self._storage.get_trial(own).number
            for trial in self._study.get_trials(deepcopy=False):
                same = trial.number < number and trial.user_attrs.get("key") == subnet.key
                if same and (LINE in trial.user_attrs or not trial.state.is_finished()):
                    self._storage.set_trial_state_values(own, TrialState.FAIL)
                    return False
        self._claims[subnet.key] = own
        return True

    def add(self, evaluation: Evaluation) -> None:
        """Makes the claim of an evaluated sub-network a finished trial."""
        assert self._storage is not None
        finished = frozen_trial(self._space, self._objectives, evaluation)
        attributes = finished.user_attrs | {"driver": self._driver, LINE: evaluation.to_line(self._space)}
        with reached(self._url):
            claim = self._claims.pop(evaluation.subnet.key, None)
            if claim is None:
                finished.user_attrs = attributes
                self._storage.create_new_trial(self._study_id, finished)
                return
            for name in attributes.keys() - {"key", "origin", "driver"}:  # the claim has those
                self._storage.set_trial_user_attr(claim, name, attributes[name])
            self._storage.set_trial_state_values(claim, finished.state, finished.values)

    def news(self) -> tuple[list[Evaluation], set[str]]:
        """What other drivers have found since the last call, and the keys of what they evaluate now."""
        assert self._study is not None
        found, running = [], set()
        with reached(self._url):
            trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.number in self._known or trial.user_attrs.get("driver") == self._driver:
                continue
            if not trial.state.is_finished():
                running.add(str(trial.user_attrs.get("key")))
                continue
            self._known.add(trial.number)
            if LINE in trial.user_attrs:  # else it was only claimed
                found.append(Evaluation.from_line(trial.user_attrs[LINE], self._space))
        return found, running

    def close(self) -> None:
        """Gives up what is claimed and lets go of the database."""
        from optuna.trial import TrialState

        if self._storage is not None:
            with contextlib.suppress(Exception):  # it is given up when the search goes on, too
                for claim in self._claims.values():
                    self._storage.set_trial_state_values(claim, TrialState.FAIL)
            self._claims.clear()
            self._storage.remove_session()
            self._storage.engine.dispose()
            self._storage = self._study = None

    def _who(self) -> str:
        """This driver's name: kept in the folder, and another one in a copy of the folder."""
        if self._folder is None:
            return uuid.uuid4().hex
        where = f"{platform.node()}:{self._folder.resolve()}"
        path = self._folder / RECORD
        noted = read_json(path) if path.exists() else {}
        same = noted.get("where") == where
        driver = noted["driver"] if same else uuid.uuid4().hex
        # The URL is not noted: it may hold a password.
        write_json(path, {"study": self.name, "driver": driver, "where": where})
        return str(driver)


def open_storage(url: str) -> RDBStorage:
    """Connects to a database and makes Optuna's tables if they are missing."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    url = _with_driver(url)
    # A connection that the server has dropped meanwhile is made again.
    options = {"pool_pre_ping": True}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except (IntegrityError, ProgrammingError):  # another driver makes the tables at this moment
        return RDBStorage(url, engine_kwargs=options)


def _with_driver(url: str) -> str:
    """Names the installed driver in a PostgreSQL URL without one; SQLAlchemy's default has changed over time."""
    from importlib.util import find_spec

    kind, _, rest = url.partition("://")
    if kind not in ("postgresql", "postgres"):
        return url
    old = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return f"postgresql+{'psycopg2' if old else 'psycopg'}://{rest}"


def check_storage(url: str) -> None:
    """Makes sure that a database can be used.

    Raises:
        RunError: If it cannot be reached, or the URL is none.
        MissingPackageError: If its driver is not installed.
    """
    with reached(url), quiet():
        storage = open_storage(url)
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def reached(url: str) -> Iterator[None]:
    """Says what is wrong with a database without telling its password."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:  # Optuna's, about the one it comes from
        missing = getattr(error.__cause__ or error, "name", None) or "a driver for it"
        raise MissingPackageError(
            f"The storage {_shown(url)} needs the package {missing}, which is not installed: "
            'pip install "sublm[postgresql]" for PostgreSQL.',
            name=missing,
        ) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        raise RunError(
            f"The storage {_shown(url)} cannot be used: {str(cause).splitlines()[0][:200]}. Give a URL such as "
            "postgresql://USER@HOST/DATABASE with --storage. What was evaluated is kept; run again to go on."
        ) from error


def _shown(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "that was given"
