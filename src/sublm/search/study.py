"""The study: asks a sampler for the next sub-network, keeps what became of it, and goes on after a kill.

`ask` depends on the seed, on the trial's number and on the evaluations so far alone, and every evaluation is on the
disk before the next `ask`. A study opened again in its folder therefore asks exactly what the uninterrupted one would
have asked.

Several trials may be in flight. A sampler sees each of them as an entry without a result, so it always sees as many
entries as there are trials before its own. One that looks at nothing but their number and at what has been seen (random
search, a grid) proposes the same whatever is still in flight; one that looks at results does not.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sublm.errors import RunError, SubnetError, TargetError
from sublm.files import fingerprint, plain, read_json, write_json
from sublm.search import pareto
from sublm.search.constraints import Constraint, Costs, check_constraints, meets
from sublm.search.evaluation import Evaluation
from sublm.search.log import EvaluationLog
from sublm.search.mirror import OptunaMirror
from sublm.search.samplers import SAMPLERS, Observation, Problem, Sampler, check_sampler
from sublm.search.shared import SharedStudy
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.stratified import StratifiedSampler
from sublm.spaces.subnet import Subnet

CONFIGURATION = "search.json"
SCHEMA = 1

_ENUMERABLE = 50_000
"""Up to so many settings a space is looked through for what is left when the sampler finds nothing more."""


@dataclass(frozen=True)
class Trial:
    """What is to be evaluated next.

    Attributes:
        number: Position in the search, from 0.
        subnet: The sub-network.
        values: Values of the space's variables that give it.
        origin: "seed", or the sampler's name.
    """

    number: int
    subnet: Subnet
    values: Values
    origin: str


class Study:
    """A search in progress. One process holds it; `close` it, or use it as a context manager."""

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        *,
        objectives: Sequence[str] = ("score", "macs"),
        constraints: Sequence[Constraint] = (),
        sampler: str | Sampler = "nsga2",
        seed: int = 0,
        seeds: Sequence[Subnet] = (),
        folder: Path | None = None,
        storage: str | None = None,
        identity: Any = None,
    ) -> None:
        """Checks everything that can be checked before work starts, and reads what has been evaluated.

        Args:
            space: Where to search.
            costs: Every cost by name. Those that are constrained or an objective are also computed for sub-networks
                that are only considered, so they should be quick; measured latency belongs behind a predictor.
            objectives: "score" (raised) and names of costs (lowered).
            constraints: Limits on costs.
            sampler: A name of `SAMPLERS`, or a sampler.
            seed: Equal seeds give equal searches.
            seeds: Sub-networks to evaluate early, as far as they meet the constraints.
            folder: Where to keep the study; in memory only by default.
            storage: URL of a database that Optuna can use, such as "postgresql://HOST/NAME". All studies there that
                search the same space for the same, with the same `identity`, are one: each takes the others' results
                as its own, and none evaluates what another has evaluated or is evaluating.
            identity: Plain data that the scores depend on (weights, rows); only with `storage`.

        Raises:
            TargetError: If nothing in the space meets the constraints.
            SubnetError: If a seed is not in the space.
            RunError: If an objective or the sampler is unknown, the sampler cannot search the space, the folder holds
                another search, or the storage cannot be used.
        """
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed
        self._costs = dict(costs)
        unknown = [name for name in self.objectives if name != "score" and name not in self._costs]
        if unknown or not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise RunError(
                f"objectives={list(self.objectives)}: choose one or more different ones of "
                f"{', '.join(['score', *sorted(self._costs)])}."
            )
        self.sampler = _sampler(sampler)
        check_sampler(self.sampler, space)
        feasible = check_constraints(space, self.constraints, self._costs)
        self._starts = self._starting_points(feasible, seeds)
        self._problem = Problem(
            space, self._admissible, self._drawer(feasible), self.objectives, self.constraints, self._costs
        )
        self._configuration = self._describe(seeds)
        self.evaluations: list[Evaluation] = []
        self._seen: set[str] = set()  # told, or in flight here
        self._elsewhere: set[str] = set()  # in flight in other drivers
        self._pending: dict[int, Trial] = {}
        self._numbers: set[int] = set()
        self._log: EvaluationLog | None = None
        self._mirror: OptunaMirror | SharedStudy = OptunaMirror(space, self.objectives, folder)
        if storage is not None:
            self._mirror = SharedStudy(space, self.objectives, storage, self._shared_name(identity), folder)
        self._open(None if folder is None else Path(folder))

    def _open(self, folder: Path | None) -> None:
        try:
            if folder is not None:
                self._log = EvaluationLog(folder, self.space)
                _check_configuration(folder / CONFIGURATION, self._configuration)
                for evaluation in self._log.read():
                    self._keep(evaluation)
            self._mirror.open(self.evaluations)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder and of the storage; what is in flight is given up."""
        self._mirror.close()
        if self._log is not None:
            self._log.close()

    def ask(self) -> Trial | None:
        """The next sub-network to evaluate, in flight until it is told.

        Its number is the lowest that is free. After a kill these are first those that were in flight then.

        Returns:
            None when no new sub-network that meets the constraints is found. While others are in flight, another one
            may be found once they are told.
        """
        while True:
            self.refresh()
            trial = self._next()
            if trial is None or self._mirror.claim(trial.subnet, trial.values, trial.origin):
                break  # else another driver was quicker
        if trial is not None:
            self._fly(trial)
        return trial

    def resume(self, trial: Trial) -> bool:
        """Puts a trial in flight again that was so when an earlier search was killed.

        Returns:
            Whether it may go on: it has not been told, and nobody else has taken it.
        """
        free = trial.number not in self._numbers and self._admissible(trial.values)
        if not free or not self._mirror.claim(trial.subnet, trial.values, trial.origin):
            return False
        self._fly(trial)
        return True

    def _fly(self, trial: Trial) -> None:
        self._pending[trial.number] = trial
        self._numbers.add(trial.number)
        self._seen.add(trial.subnet.key)

    def _next(self) -> Trial | None:
        number = self._free_number()
        for start in self._starts:
            if self._admissible(start):
                return Trial(number, self.space.decode(start), start, "seed")
        rng = random.Random(f"{self.seed}:{number}")
        values = self.sampler.propose(self._problem, self._history(number), rng)
        if values is None or not self._admissible(values):
            values = self._left_over()
        if values is None:
            return None
        values = self.space.canonical(values)
        return Trial(number, self.space.decode(values), values, self.sampler.name)

    def _free_number(self) -> int:
        number = len(self._numbers)
        if number and max(self._numbers) >= number:  # something was in flight when the search was killed
            number = next(free for free in range(number) if free not in self._numbers)
        return number

    def _history(self, number: int) -> list[Observation]:
        """All trials before a number, by number; those in flight have no result yet."""
        entries = {
            seen.number: Observation(seen.values, seen.objectives(self.objectives))
            for seen in self.evaluations
            if seen.number < number
        }
        nothing = (math.nan,) * len(self.objectives)
        entries |= {
            trial.number: Observation(trial.values, nothing, pending=True)
            for trial in self._pending.values()
            if trial.number < number
        }
        return [entries[before] for before in sorted(entries)]

    def refresh(self) -> None:
        """Takes the results of other drivers that share the study; `ask` does so, too."""
        found, self._elsewhere = self._mirror.news()
        for theirs in found:
            if theirs.subnet.key not in self._seen:
                evaluation = dataclasses.replace(theirs, number=self._free_number())
                if self._log is not None:
                    self._log.append(evaluation)
                self._keep(evaluation)

    def tell(
        self, trial: Trial, metrics: Mapping[str, float] | None, *, seconds: float = 0.0, error: str = ""
    ) -> Evaluation:
        """Records what became of a trial.

        Args:
            trial: What `ask` gave; those in flight may be told in any order.
            metrics: Named results; the score is that called "score", else the first. None if the evaluation failed.
            seconds: Time the evaluation took.
            error: Why it failed.

        Raises:
            RunError: If the trial is not in flight.
        """
        if self._pending.get(trial.number) != trial:
            flying = ", ".join(map(str, sorted(self._pending))) or "none"
            raise RunError(f"Trial {trial.number} was told, in flight: {flying}; tell every trial once.")
        if metrics is not None and not isinstance(metrics, Mapping):
            raise TypeError(f"An evaluation gives named results such as {{'score': 0.8}}; got {metrics!r}.")
        numbers = {name: float(value) for name, value in (metrics or {}).items()}
        score = numbers["score"] if "score" in numbers else next(iter(numbers.values()), math.nan)
        evaluation = Evaluation(
            number=trial.number,
            subnet=trial.subnet,
            values=trial.values,
            score=score,
            metrics=numbers,
            costs={name: float(cost(trial.subnet)) for name, cost in self._costs.items()},
            seconds=seconds,
            origin=trial.origin,
            error=error,
        )
        if self._log is not None:
            self._log.append(evaluation)
        del self._pending[trial.number]
        self._keep(evaluation)
        self._mirror.add(evaluation)
        return evaluation

    @property
    def front(self) -> list[Evaluation]:
        """The evaluations that no other one beats in every objective, by falling last objective."""
        points = [evaluation.objectives(self.objectives) for evaluation in self.evaluations]
        members = [self.evaluations[i] for i in pareto.front(points)]
        return sorted(members, key=lambda evaluation: evaluation.objectives(self.objectives)[-1], reverse=True)

    def _keep(self, evaluation: Evaluation) -> None:
        bisect.insort(self.evaluations, evaluation, key=lambda other: other.number)
        self._numbers.add(evaluation.number)
        self._seen.add(evaluation.subnet.key)

    def _admissible(self, values: Mapping[str, Any]) -> bool:
        subnet = self.space.decode(values)
        key = subnet.key
        return key not in self._seen and key not in self._elsewhere and meets(subnet, self.constraints, self._costs)

    def _starting_points(self, feasible: Subnet, seeds: Sequence[Subnet]) -> list[Values]:
        """Largest, smallest, those given, and the dearest on the way between that still meets the constraints."""
        found = [self.space.encode(subnet) for subnet in (self.space.largest, self.space.smallest)]
        for subnet in seeds:
            values = self.space.encode(subnet)
            if values is None:
                raise SubnetError(
                    f"The seed {subnet.to_json()[:200]} is not in the space {self.space.name!r}; leave it out of "
                    "`seeds`, or search a space that holds it (`space.contains(subnet)`)."
                )
            found.append(values)
        if not meets(self.space.largest, self.constraints, self._costs):
            found.append(self._boundary(feasible))
        return [values for values in found if values is not None]

    def _boundary(self, feasible: Subnet) -> Values | None:
        start, end = self.space.encode(feasible), self.space.encode(self.space.largest)
        if start is None or end is None:
            return None
        rng = random.Random(self.seed)
        values = self._furthest(self.space.path(start, end, rng))
        # On the way all variables move at once and may stop well below the limit: each takes what is left.
        for name in rng.sample(list(values), len(values)):
            way = self.space.path(values, {**values, name: end[name]}, rng)
            values = self._furthest(way)
        return values

    def _furthest(self, way: Callable[[float], Values]) -> Values:
        """The last setting on a way that still meets the constraints; the first one does."""
        fits, breaks = 0.0, 1.0
        if meets(self.space.decode(way(1.0)), self.constraints, self._costs):
            return way(1.0)
        for _ in range(16):
            middle = (fits + breaks) / 2
            if meets(self.space.decode(way(middle)), self.constraints, self._costs):
                fits = middle
            else:
                breaks = middle
        return way(fits)

    def _drawer(self, feasible: Subnet) -> Any:
        """Random settings over the axis of the first cost that matters."""
        named = [name for name in self.objectives if name != "score"] + [c.cost for c in self.constraints]
        if not named:
            return lambda rng, at=None: self.space.sample_values(rng)
        cost = self._costs[named[0]]
        limit = min((c.limit for c in self.constraints if c.cost == named[0]), default=None)
        accept = (lambda subnet: meets(subnet, self.constraints, self._costs)) if self.constraints else None
        least = cost(self.space.smallest)
        low = least if limit is None or least <= limit else cost(feasible)
        try:
            sampler = StratifiedSampler(self.space, cost, low=low, high=limit, accept=accept)
        except TargetError:
            # What meets the constraints is too rare to be drawn at random: the sampler works from the seeds.
            start = self.space.encode(feasible)
            return lambda rng, at=None: self.space.mutate(start or {}, rng)

        def draw(rng: random.Random, at: float | None = None) -> Values:
            return sampler.sample_values(rng, None if at is None else int(at * sampler.strata))

        return draw

    def _left_over(self) -> Values | None:
        """Something not evaluated yet, in a space that is small enough to look through."""
        if self.space.size > _ENUMERABLE:
            return None
        return next((values for values in self.space.settings() if self._admissible(values)), None)

    def _shared_name(self, identity: Any) -> str:
        """Name of the shared study: equal where results mean the same, whoever proposes what to evaluate."""
        own = ("sampler", "seed", "seeds")
        meaning = {name: value for name, value in self._configuration.items() if name not in own}
        return f"sublm-{fingerprint([meaning, identity])[:16]}"

    def _describe(self, seeds: Sequence[Subnet]) -> dict[str, Any]:
        """All that decides what is asked."""
        settings: dict[str, Any] = {}
        if dataclasses.is_dataclass(self.sampler) and not isinstance(self.sampler, type):
            settings = plain(self.sampler)
        return {
            "schema": SCHEMA,
            "objectives": list(self.objectives),
            "constraints": [dataclasses.asdict(constraint) for constraint in self.constraints],
            "costs": sorted(self._costs),
            "sampler": {"name": self.sampler.name} | settings,
            "seed": self.seed,
            "seeds": [subnet.key for subnet in seeds],
            "space": self.space.to_dict(),
        }


def _sampler(sampler: str | Sampler) -> Sampler:
    """The sampler of that name, or the sampler itself.

    Raises:
        RunError: If there is none of that name.
    """
    if not isinstance(sampler, str):
        return sampler
    if sampler not in SAMPLERS:
        raise RunError(f"There is no sampler {sampler!r}; choose one of {', '.join(sorted(SAMPLERS))}.")
    return SAMPLERS[sampler]()


def _check_configuration(path: Path, wanted: dict[str, Any]) -> None:
    """Writes the configuration of a new search, or makes sure that a known one goes on unchanged."""
    wanted = plain(wanted)
    if not path.exists():
        write_json(path, wanted)
        return
    found = read_json(path)
    if not isinstance(found, dict):
        raise RunError(f"{path} is not the description of a search; search in another folder.")
    differing = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if differing:
        name = differing[0]
        asked, there = (json.dumps(side.get(name))[:120] for side in (wanted, found))
        raise RunError(
            f"{path.parent} holds another search: {name} is {there} there and {asked} here"
            f"{' (and ' + ', '.join(differing[1:]) + ')' if differing[1:] else ''}. "
            "Search in another folder, or with the same settings to go on."
        )
