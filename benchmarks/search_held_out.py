"""What the fronts of `search_methods.py` are worth on rows that no search has seen.

    python benchmarks/search_held_out.py --data DATA --model MODEL --work WORK --task mrpc --rows 400 --space medium

A front of many evaluations holds sub-networks that were lucky on the search rows. Each front found for a tenth of the
MACs of 500 full NSGA-II evaluations, and that of all 500, is scored on rows of the validation split. The searches are
repeated from the predictions in WORK, those of `search_methods.py`; what is not there is left out and said.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from search_bench import Bench, Kept, OutOfTimeError, add_options, open_bench, run_search, rungs
from search_results import BUDGET, REFERENCE, spread

from sublm.costs import cost_model
from sublm.evaluation import Parts
from sublm.files import write_json
from sublm.machine import describe_machine, library_versions
from sublm.search import Evaluation, pareto
from sublm.spaces import Subnet
from sublm.tasks import compute_metrics

RESULTS = Path(__file__).parent / "results" / "search_methods"
METHODS = ("nsga2", "ehvi", "rsbo", "lsbo", "local_search", "pareto_ea", "random")
ENOUGH = 100
"""Evaluations that cost more than the budget, with any of these methods."""


class Repeated:
    """A search made again from known predictions.

    Attributes:
        evaluations: In order.
        macs: Those spent after each of them.
    """

    def __init__(self, bench: Bench, space: str, method: str, seed: int, evaluations: int) -> None:
        source = Kept(bench, rungs(bench), deadline=0.0)
        self.evaluations: list[Evaluation] = []
        self.macs: list[float] = []

        def note(evaluation: Evaluation) -> None:
            self.evaluations.append(evaluation)
            self.macs.append(source.macs)

        with suppress(OutOfTimeError):  # a prediction is not known
            run_search(bench, source, space, method, seed, evaluations, note)

    def front(self, macs: float) -> list[Evaluation]:
        """The front of what was evaluated for so many MACs."""
        inside = [found for found, spent in zip(self.evaluations, self.macs, strict=True) if spent <= macs]
        return [inside[i] for i in pareto.front([found.objectives(("score", "macs")) for found in inside])]


class HeldOut:
    """Scores on the rows that no search sees; each sub-network is run once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._parts = Parts(bench.supernet, bench.held_out, pad_token_id=bench.pad, precision=bench.precision)
        self._scores: dict[Subnet, float] = {}

    def score(self, subnet: Subnet) -> float:
        """The primary metric."""
        if subnet not in self._scores:
            logits = self._parts.logits(subnet, 0)
            metrics = compute_metrics(logits, self._bench.held_out.labels, self._bench.task)
            self._scores[subnet] = metrics[self._bench.task.metric]
        return self._scores[subnet]


Point = tuple[float, float, float]
"""Share of the MACs, score on the search rows, score on the held-out rows."""


def volume(front: Sequence[Point], column: int) -> float:
    """The mean, over all budgets from none to the largest's MACs, of the score of what the search chose for a budget.

    Chosen is the member of the front with the best score on the search rows within the budget; before the first one
    there is none, and the score 0. On the search rows this is the hypervolume of `search_methods.py`.

    Args:
        front: Its members, by rising share and with it rising score on the search rows.
        column: Of the score that counts.
    """
    ends = [point[0] for point in front[1:]] + [1.0]
    return sum(min(max(point[column], 0.0), 1.0) * (end - point[0]) for point, end in zip(front, ends, strict=True))


def measure(bench: Bench, space: str, seeds: int, evaluations: int) -> dict[str, Any]:
    """What fronts are worth on the search rows and on the held-out ones, as shares of the reference's."""
    held_out = HeldOut(bench)
    whole = cost_model(bench.supernet).macs(bench.supernet.largest)

    def points(front: list[Evaluation]) -> list[Point]:
        members = [(found.costs["macs"] / whole, found.score, held_out.score(found.subnet)) for found in front]
        return sorted(members)

    references = [Repeated(bench, space, REFERENCE[0], seed, evaluations) for seed in range(seeds)]
    short = [seed for seed, found in enumerate(references) if len(found.evaluations) < evaluations]
    if short:
        raise SystemExit(f"NSGA-II of the seeds {short} is not complete; run search_methods.py first.")
    budget = BUDGET * statistics.mean(found.macs[-1] for found in references)
    whole_fronts = [points(found.front(found.macs[-1])) for found in references]
    level = [statistics.mean(volume(front, column) for front in whole_fronts) for column in (1, 2)]
    entries: dict[str, Any] = {}

    def note(name: str, fronts: list[list[Point]]) -> None:
        found = [[volume(front, column) / norm for front in fronts] for column, norm in zip((1, 2), level, strict=True)]
        entries[name] = {
            "seeds": len(fronts),
            "search_rows": spread(found[0]),
            "held_out": spread(found[1]),
            "fronts": fronts,
        }
        print(f"{name:<24}" + "".join(f"{100 * statistics.mean(values):>12.2f}" for values in found), flush=True)

    print(f"{'volume, %':<24}{'search rows':>12}{'held out':>12}")
    note(f"nsga2, {evaluations} evaluations", whole_fronts)
    for method in METHODS:
        found = []
        for seed in range(seeds):
            repeated = references[seed] if method == REFERENCE[0] else Repeated(bench, space, method, seed, ENOUGH)
            if repeated.macs and repeated.macs[-1] >= budget:
                found.append(points(repeated.front(budget)))
            else:
                print(f"{method}, seed {seed}: not all predictions are known")
        if found:
            note(f"{method}, a tenth", found)
    return {
        "task": bench.task.name,
        "metric": bench.task.metric,
        "space": space,
        "rows": {"search": len(bench.encoded), "held_out": len(bench.held_out)},
        "reference": {"evaluations": evaluations, "search_rows": level[0], "held_out": level[1]},
        "fronts": entries,
        "machine": describe_machine(),
        "versions": library_versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=500, help="those of the reference")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    if len(arguments.space) != 1:
        parser.error("give one --space.")
    found = measure(open_bench(arguments), arguments.space[0], arguments.seeds, arguments.evaluations)
    arguments.results.mkdir(parents=True, exist_ok=True)
    write_json(arguments.results / f"{arguments.task}-{arguments.space[0]}-held-out.json", found)


if __name__ == "__main__":
    main()
