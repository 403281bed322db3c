"""The tree-structured Parzen estimator of Optuna."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sublm.search.mirror import distributions, from_parameters, quiet, to_parameters
from sublm.search.samplers.base import Observation, Problem, fresh
from sublm.spaces.space import Values

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class TPE:
    """Draws from where the good sub-networks lie close and the others do not (Ozaki et al. 2022), by Optuna.

    The estimator is made anew from the history for every proposal. What it proposes but must not be evaluated (seen
    before, or beyond a constraint) counts as bad, as does what is in flight, and it is asked again; when that is of no
    use, and where the space has a subset too large for Optuna (`large`), the proposal is random over the cost axis.

    Attributes:
        start: So many random sub-networks, spread over the cost axis, come first (seeds count among them).
        candidates: The best of so many draws is proposed.
        tries: Proposals asked for before one is made at random.
    """

    start: int = 12
    candidates: int = 24
    tries: int = 20
    name: ClassVar[str] = "tpe"

    def propose(self, problem: Problem, history: Sequence[Observation], rng: random.Random) -> Values | None:
        """The next setting; see `Sampler`."""
        parameters = distributions(problem.space)
        valid = [seen for seen in history if not any(map(math.isnan, seen.objectives))]
        if len(history) < self.start or len(valid) < 3 or not parameters:
            return fresh(problem, len(history), rng)
        with quiet():
            study = self._study(problem, valid, [seen for seen in history if seen.pending], rng.getrandbits(32))
            for _ in range(self.tries):
                values = from_parameters(problem.space, study.ask(parameters).params)
                if values is None:
                    break
                if problem.admissible(values):
                    return values
        return fresh(problem, len(history), rng)

    def _study(
        self, problem: Problem, valid: Sequence[Observation], pending: Sequence[Observation], seed: int
    ) -> optuna.Study:
        """What has been evaluated and what is in flight, in memory."""
        import optuna
        from optuna.trial import TrialState, create_trial

        # The constant liar takes trials that run for bad ones.
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=0, n_ei_candidates=self.candidates, multivariate=True, constant_liar=True, seed=seed
        )
        study = optuna.create_study(directions=["minimize"] * len(valid[0].objectives), sampler=sampler)
        parameters = distributions(problem.space)
        for seen in (*valid, *pending):
            study.add_trial(
                create_trial(
                    params=to_parameters(problem.space, seen.values),
                    distributions=parameters,
                    values=None if seen.pending else list(seen.objectives),
                    state=TrialState.RUNNING if seen.pending else TrialState.COMPLETE,
                )
            )
        return study
