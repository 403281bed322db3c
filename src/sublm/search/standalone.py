"""Standard architecture search: every candidate is trained alone, several at a time, the poor ones not to the end.

The driver decides and records; whoever trains is handed a sub-network and an epoch to come to, keeps checkpoints, and
can be asked again for the same. So a worker that dies costs what it did since its last checkpoint, and a driver that
dies finds its candidates where they were.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path

from sublm.errors import WorkerError, WorkerLostError
from sublm.files import read_json, write_json
from sublm.search.constraints import Costs
from sublm.search.evaluation import Evaluation
from sublm.search.rungs import Rungs
from sublm.search.samplers.moasha import MOASHA
from sublm.search.search import SearchResult
from sublm.search.study import Study, Trial
from sublm.spaces.subnet import Subnet

CLOCK, FLIGHTS = "clock.json", "flights.json"
_TICK = 5.0
"""Seconds after which the time used is written down again, so that a kill costs little of it."""


@dataclass(frozen=True)
class Learned:
    """How far the training of a candidate has come.

    Attributes:
        scores: After every epoch done, higher is better; NaN where there was none.
        seconds: Time it took, that of earlier sessions included.
    """

    scores: tuple[float, ...]
    seconds: float = 0.0


Learn = Callable[[Subnet, int, float | None], Learned]
"""Trains a candidate until an epoch, but not beyond a time of `time.time()`: one that waits for a worker, or is given
to another one, has no more time for that. It goes on from its last checkpoint, and gives the same again when asked
again. Which of the epochs was best, and its weights, are its own business to keep."""


@dataclass(frozen=True)
class StandaloneResult(SearchResult):
    """What a standalone search found.

    Attributes:
        seconds: Wall-clock time used, that of earlier sessions included.
        out_of_time: Whether it ended because its time was up.
    """

    seconds: float = 0.0
    out_of_time: bool = False


def search_standalone(
    study: Study,
    learn: Learn,
    costs: Costs,
    *,
    epochs: int,
    evaluations: int,
    executor: Executor,
    workers: int = 1,
    seconds: float | None = None,
    folder: Path | None = None,
    progress: Callable[[Evaluation], None] | None = None,
) -> StandaloneResult:
    """Trains candidates until there are enough, or the time is up.

    The score of a candidate is that of its best epoch. With the sampler `moasha`, a candidate that is not among the
    best at a rung is stopped there and counts with the epochs it had; other samplers train each to the end.

    When the time is up, candidates that have finished an epoch count with what they have; the others are left as they
    are, for a search that goes on with more time.

    Args:
        study: Proposes candidates and records what became of them.
        learn: Trains one. With worker processes it must be picklable.
        costs: Every cost by name; those of the study.
        epochs: Epochs of a whole training.
        evaluations: How many candidates there should be in the end, those of earlier sessions included.
        executor: Where candidates are trained; see `open_executor`.
        workers: How many at a time.
        seconds: Wall-clock time, that of earlier sessions included; no limit by default.
        folder: Where rungs and the clock are kept: the study's folder.
        progress: Called after each candidate.

    Raises:
        WorkerError: If no worker can be started.
    """
    return _Search(study, learn, costs, epochs, evaluations, executor, workers, seconds, folder, progress).run()


@dataclass(frozen=True)
class _Flight:
    """A candidate in training, and until which epoch."""

    trial: Trial
    until: int


class _Search:
    """One call of `search_standalone`."""

    def __init__(
        self,
        study: Study,
        learn: Learn,
        costs: Costs,
        epochs: int,
        evaluations: int,
        executor: Executor,
        workers: int,
        seconds: float | None,
        folder: Path | None,
        progress: Callable[[Evaluation], None] | None,
    ) -> None:
        self.study, self.learn, self.executor, self.workers = study, learn, executor, workers
        self.epochs, self.evaluations = epochs, evaluations
        self.costs, self.progress = costs, progress
        self.clock = _Clock(seconds, folder)
        halving = study.sampler if isinstance(study.sampler, MOASHA) else None
        self.levels = (*(halving.rungs(epochs) if halving is not None else ()), epochs)
        self.rungs = Rungs(halving or MOASHA(), folder)
        self.flights: dict[Future[Learned], _Flight] = {}
        self.folder = folder
        self.pending = self._read_pending()  # in flight when an earlier session ended, and not yet again

    def run(self) -> StandaloneResult:
        with self.clock:
            exhausted = self._train()
        short = len(self.study.evaluations) < self.evaluations
        return StandaloneResult(
            self.study.evaluations,
            self.study.front,
            exhausted,
            seconds=self.clock.used,
            out_of_time=short and not exhausted,
        )

    def _train(self) -> bool:
        """Trains until there is enough, or the time is up; whether the space has been exhausted before."""
        exhausted = False
        while True:
            while not exhausted and self._may_start():
                trial = self._next()
                if trial is None:
                    exhausted = not self.flights  # what is in flight may make room for more
                    break
                self._send(trial, self.levels[0])
                self._write_pending()
            if not self.flights:
                return exhausted
            done, _ = wait(self.flights, timeout=_TICK, return_when=FIRST_COMPLETED)  # Windows hears Ctrl-C between
            for future in sorted(done, key=lambda one: self.flights[one].trial.number):
                self._receive(future, self.flights.pop(future))

    def _may_start(self) -> bool:
        planned = len(self.study.evaluations) + len(self.flights)
        return len(self.flights) < self.workers and planned < self.evaluations and not self.clock.up

    def _next(self) -> Trial | None:
        """First those that were in flight before: they have checkpoints."""
        while self.pending:
            trial = self.pending.pop(0)
            if self.study.resume(trial):
                return trial
        return self.study.ask()

    def _send(self, trial: Trial, until: int) -> None:
        future = self.executor.submit(self.learn, trial.subnet, until, self.clock.end)
        self.flights[future] = _Flight(trial, until)

    def _receive(self, future: Future[Learned], flight: _Flight) -> None:
        """Sends a candidate on, or records what became of it."""
        trial, until = flight.trial, flight.until
        try:
            learned = future.result()
        except WorkerLostError as problem:
            self._tell(trial, Learned(()), error=str(problem))
            return
        except WorkerError:
            raise
        except Exception as problem:  # one broken candidate must not end a search of days
            self._tell(trial, Learned(()), error=f"{type(problem).__name__}: {problem}")
            return
        scores = learned.scores[:until]
        if len(scores) == until < self.epochs and self._goes_on(trial, until, scores[-1]):
            self._send(trial, self.levels[self.levels.index(until) + 1])
        elif scores:
            self._tell(trial, Learned(scores, learned.seconds))
        else:  # the time was up before its first epoch was: it is not told, and comes first when the search goes on
            self.pending.append(trial)
            self._write_pending()

    def _goes_on(self, trial: Trial, epochs: int, score: float) -> bool:
        costs = {name: float(self.costs[name](trial.subnet)) for name in self.study.objectives if name != "score"}
        now = Evaluation(trial.number, trial.subnet, trial.values, score, costs=costs)
        objectives = now.objectives(self.study.objectives)
        return self.rungs.judge(trial.subnet.key, epochs, objectives, may_go_on=not self.clock.up)

    def _tell(self, trial: Trial, learned: Learned, error: str = "") -> None:
        metrics = None if error else best_epoch(learned.scores)
        evaluation = self.study.tell(trial, metrics, seconds=learned.seconds, error=error)
        self._write_pending()
        if self.progress is not None:
            self.progress(evaluation)

    def _read_pending(self) -> list[Trial]:
        if self.folder is None or not (self.folder / FLIGHTS).exists():
            return []
        space, found = self.study.space, []
        for entry in read_json(self.folder / FLIGHTS):
            values = space.unpack(entry["values"])
            found.append(Trial(int(entry["number"]), space.decode(values), values, str(entry["origin"])))
        return found

    def _write_pending(self) -> None:
        if self.folder is not None:
            trials = sorted([*self.pending, *(flight.trial for flight in self.flights.values())], key=_number)
            entries = [
                {"number": trial.number, "values": self.study.space.pack(trial.values), "origin": trial.origin}
                for trial in trials
            ]
            write_json(self.folder / FLIGHTS, entries)


def _number(trial: Trial) -> int:
    return trial.number


def best_epoch(scores: Sequence[float]) -> dict[str, float]:
    """The results of a candidate: its best score, the epochs it had and the one that was best (from 1)."""
    best, epoch = math.nan, len(scores)
    for number, score in enumerate(scores, start=1):
        if not math.isnan(score) and not score < best:  # of equals the later, as a training keeps its weights
            best, epoch = score, number
    return {"score": best, "epochs": len(scores), "best_epoch": epoch}


class _Clock:
    """Wall-clock time over all sessions of a search; entered, it is written down whatever the search waits for."""

    def __init__(self, limit: float | None, folder: Path | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._path = None if folder is None else folder / CLOCK
        known = self._path is not None and self._path.exists()
        self._before = float(read_json(self._path)["seconds"]) if known and self._path is not None else 0.0
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="clock", daemon=True)

    def __enter__(self) -> None:
        self._ticking.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._ticking.join()
        self._write()

    def _tick(self) -> None:
        while not self._stopped.wait(_TICK):
            with contextlib.suppress(OSError):  # a full disk: what the search itself writes there tells
                self._write()

    @property
    def used(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._began

    @property
    def end(self) -> float | None:
        """When the time is up, as `time.time()` counts; None without a limit."""
        return None if math.isinf(self._limit) else time.time() + self._limit - self.used

    @property
    def up(self) -> bool:
        """Whether the time is up."""
        return self.used >= self._limit

    def _write(self) -> None:
        if self._path is not None:
            write_json(self._path, {"seconds": round(self.used, 3)})
