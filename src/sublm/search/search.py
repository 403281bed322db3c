"""The search: evaluates sub-networks, one after the other or several at a time, and ends with the front."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublm.errors import WorkerLostError
from sublm.search.constraints import Constraint, Costs
from sublm.search.evaluation import Evaluation
from sublm.search.executors import open_executor
from sublm.search.samplers import Sampler
from sublm.search.study import Study, Trial
from sublm.spaces.space import SearchSpace
from sublm.spaces.subnet import Subnet


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        evaluations: Every evaluation, in order.
        front: The evaluations that no other beats in every objective, by falling last objective.
        exhausted: Whether the search ended early because no new sub-network that meets the constraints was found.
    """

    evaluations: list[Evaluation]
    front: list[Evaluation]
    exhausted: bool = False


def search(
    space: SearchSpace,
    evaluate: Callable[[Subnet], Mapping[str, float]],
    costs: Costs,
    *,
    objectives: Sequence[str] = ("score", "macs"),
    constraints: Sequence[Constraint] = (),
    sampler: str | Sampler = "nsga2",
    evaluations: int = 100,
    seed: int = 0,
    seeds: Sequence[Subnet] = (),
    folder: Path | None = None,
    progress: Callable[[Evaluation], None] | None = None,
    workers: int = 1,
    ray: str | None = None,
    storage: str | None = None,
    identity: Any = None,
) -> SearchResult:
    """Searches a space for the front of score against cost.

    The largest, the smallest, the given and a boundary sub-network come first. No sub-network is evaluated twice, and
    none that breaks a constraint. Run again with the same folder and settings, a search goes on where it stopped, and
    ends as if it had not been stopped; with more `evaluations` it goes further.

    With several workers, evaluations are recorded as they end. Samplers that look at nothing but what has been proposed
    before (`random`, `grid`, `exhaustive`) find the same front with any number of workers. Others learn from what is
    finished when they propose, so their searches differ with the number of workers and from run to run, as do all if
    `evaluate` gives up early what is seen to be beaten; one worker repeats itself exactly.

    Args:
        space: Where to search.
        evaluate: Gives named results of a sub-network; the score is that called "score", else the first. An exception
            makes a failed evaluation, which counts as NaN; interrupting the program still ends it. With workers it is
            sent to each of them once, pickled; tensors it holds are shared between the workers of one machine.
        costs: Every cost by name; the constrained ones and the objectives should be quick to compute.
        objectives: "score" (raised) and names of costs (lowered).
        constraints: Limits on costs; see `parse_target`.
        sampler: A name of `SAMPLERS`, or a sampler.
        evaluations: How many there should be in the end, those of earlier runs included.
        seed: Equal seeds give equal searches.
        seeds: Sub-networks to evaluate early; those that break a constraint are left out.
        folder: Where every evaluation is recorded at once; nowhere by default.
        progress: Called after each new evaluation.
        workers: Evaluations in flight at a time; 1 without `ray` evaluates in this process. A worker that is killed
            costs its evaluation, which is tried again up to twice on a fresh one and then recorded as failed.
        ray: Address of a Ray cluster, whose workers they are then; see `open_executor`.
        storage: URL of a database through which several drivers share the search; see `Study`. `evaluations` counts
            the results of all of them then.
        identity: What the scores depend on; see `Study`.

    Raises:
        TargetError: If nothing in the space meets the constraints.
        SubnetError: If a seed is not in the space.
        RunError: If an objective or the sampler is unknown, or the folder holds another search.
        WorkerError: If workers cannot be started.
    """
    with Study(
        space,
        costs,
        objectives=objectives,
        constraints=constraints,
        sampler=sampler,
        seed=seed,
        seeds=seeds,
        folder=folder,
        storage=storage,
        identity=identity,
    ) as study:
        exhausted = False
        study.refresh()
        if len(study.evaluations) < evaluations:
            here = workers == 1 and ray is None
            job = functools.partial(_evaluate, evaluate) if here else _evaluate_installed
            begin: dict[str, Any] = {} if here else {"initializer": _install, "initargs": (evaluate,)}
            with open_executor(workers, ray=ray, **begin) as executor:
                exhausted = _evaluate_all(study, executor, job, workers, evaluations, progress)
        return SearchResult(study.evaluations, study.front, exhausted)


def _evaluate_all(
    study: Study,
    executor: Executor,
    job: Callable[[Subnet], _Outcome],
    workers: int,
    evaluations: int,
    progress: Callable[[Evaluation], None] | None,
) -> bool:
    """Keeps the workers busy until there are enough evaluations; whether it ended early."""
    flying: dict[Future[_Outcome], Trial] = {}
    while True:
        exhausted = False
        while len(flying) < workers and len(study.evaluations) + len(flying) < evaluations and not exhausted:
            trial = study.ask()
            if trial is None:
                exhausted = True
            else:
                flying[executor.submit(job, trial.subnet)] = trial
        if not flying:
            return exhausted
        done, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda future: flying[future].number):
            evaluation = _tell(study, flying.pop(future), future)
            if progress is not None:
                progress(evaluation)
        study.refresh()  # others may have found what was still wanted


def _tell(study: Study, trial: Trial, future: Future[_Outcome]) -> Evaluation:
    try:
        metrics, error, seconds = future.result()
    except WorkerLostError as lost:  # others, such as a worker that cannot be started, end the search
        metrics, error, seconds = None, f"{type(lost).__name__}: {lost}", 0.0
    return study.tell(trial, metrics, seconds=seconds, error=error)


_Outcome = tuple[Any, str, float]
"""Metrics or None, the error, seconds."""

_Evaluate = Callable[[Subnet], Mapping[str, float]]

_installed: _Evaluate
"""What this worker evaluates with."""


def _install(evaluate: _Evaluate) -> None:
    """Begins a worker: unpickling `evaluate` has built all it needs."""
    global _installed
    _installed = evaluate


def _evaluate_installed(subnet: Subnet) -> _Outcome:
    return _evaluate(_installed, subnet)


def _evaluate(evaluate: _Evaluate, subnet: Subnet) -> _Outcome:
    started = time.perf_counter()
    try:
        return evaluate(subnet), "", time.perf_counter() - started
    except Exception as problem:  # one broken sub-network must not end a search of hours
        return None, f"{type(problem).__name__}: {problem}", time.perf_counter() - started
