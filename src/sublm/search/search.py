"""The search: evaluates sub-networks one after the other and ends with the front."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sublm.search.constraints import Constraint, Costs
from sublm.search.evaluation import Evaluation
from sublm.search.samplers import Sampler
from sublm.search.study import Study
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
) -> SearchResult:
    """Searches a space for the front of score against cost.

    The largest, the smallest, the given and a boundary sub-network come first. No sub-network is evaluated twice, and
    none that breaks a constraint. Run again with the same folder and settings, a search goes on where it stopped, and
    ends as if it had not been stopped; with more `evaluations` it goes further.

    Args:
        space: Where to search.
        evaluate: Gives named results of a sub-network; the score is that called "score", else the first. An exception
            makes a failed evaluation, which counts as NaN; interrupting the program still ends it.
        costs: Every cost by name; the constrained ones and the objectives should be quick to compute.
        objectives: "score" (raised) and names of costs (lowered).
        constraints: Limits on costs; see `parse_target`.
        sampler: A name of `SAMPLERS`, or a sampler.
        evaluations: How many there should be in the end, those of earlier runs included.
        seed: Equal seeds give equal searches.
        seeds: Sub-networks to evaluate early; those that break a constraint are left out.
        folder: Where every evaluation is recorded at once; nowhere by default.
        progress: Called after each new evaluation.

    Raises:
        TargetError: If nothing in the space meets the constraints.
        SubnetError: If a seed is not in the space.
        RunError: If an objective or the sampler is unknown, or the folder holds another search.
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
    ) as study:
        exhausted = False
        while len(study.evaluations) < evaluations:
            trial = study.ask()
            if trial is None:
                exhausted = True
                break
            metrics, error = None, ""
            started = time.perf_counter()
            try:
                metrics = evaluate(trial.subnet)
            except Exception as problem:  # one broken sub-network must not end a search of hours
                error = f"{type(problem).__name__}: {problem}"
            evaluation = study.tell(trial, metrics, seconds=time.perf_counter() - started, error=error)
            if progress is not None:
                progress(evaluation)
        return SearchResult(study.evaluations, study.front, exhausted)
