"""Without training: heads and neurons chosen by a few hundred texts, and what is left solved by least squares."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from sublm.costs import LatencyPredictor
from sublm.errors import TargetError
from sublm.export import save
from sublm.masks import choose_units, choose_widths, gate_fisher, order_removals, rearrange_units
from sublm.progress import plural
from sublm.reconstruction import record_stream
from sublm.run import fingerprint
from sublm.search import Constraint, Evaluation
from sublm.spaces import Subnet
from sublm.stages.costs import costs_of
from sublm.stages.reconstruction import (
    SOLVED_TOKENS,
    TOKENS,
    calibration_batches,
    reconstructed,
    reconstruction_inputs,
)
from sublm.stages.search import Found, front_in_full
from sublm.stages.supernet import Prepared
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace

SIZES = (0.85, 0.7, 0.5, 0.35)
"""Shares of the largest's cost at which models are made, if nothing else is asked for."""
BELOW = (1.0, 0.9, 0.75, 0.6)
"""Shares of a target at which they are made: what is measured may miss what was predicted."""

Limits = tuple[Constraint, ...]


def search_masks(
    work: Workspace,
    teacher: TeacherResult,
    prepared: Prepared,
    predictor: LatencyPredictor | None,
    constraints: Limits,
) -> Found:
    """Makes a model at every size without training; each is scored on the search split, and kept as it was scored.

    Raises:
        TargetError: If a wanted size is below that of the smallest sub-network.
    """
    s = work.settings
    costs = costs_of(work, prepared, predictor)
    wanted = sizes_wanted(
        s.sizes, s.objectives, constraints, {n: c(prepared.supernet.largest) for n, c in costs.items()}
    )
    inputs: dict[str, Any] = {
        "sizes": [[str(limit) for limit in limits] for limits in wanted],
        "step": s.step,
        "precision": work.precision,
        "tokens": TOKENS,
        "rearrange": s.rearrange,
        "reconstruction": reconstruction_inputs(work),
        "predictor": fingerprint(predictor.to_dict()) if predictor else None,
    }
    stage = work.stage("masks", inputs, ["masks"], upto="space")
    folder = work.run.folder / "masks"
    if not stage.done:
        with work.doing(stage, f"Choosing heads and neurons, and solving layers ({plural(len(wanted), 'size')})"):
            shutil.rmtree(folder, ignore_errors=True)
            batches = calibration_batches(work, SOLVED_TOKENS)
            made, stream = [], record_stream(prepared.supernet, batches)
            for number, subnet in enumerate(choose_subnets(work, prepared, wanted, costs)):
                model, layers = reconstructed(prepared, subnet, batches, stream)
                score = work.scores(model, "search", precision=work.precision)
                save(model, folder / subnet.key / "model", overwrite=True)
                errors = [[half.before, half.after] for half in layers]
                made.append({"subnet": subnet.to_dict(), "metrics": score, "errors": errors})
                work.progress.update(number + 1, len(wanted), score=score[work.metric])
            stage.result["made"] = made
    evaluations = [_evaluation(number, made, costs, work.metric) for number, made in enumerate(stage.result["made"])]
    front = front_in_full(evaluations, s.objectives)
    return Found(evaluations, front, constraints, predictor, folder, stage.fingerprint)


def sizes_wanted(
    sizes: Sequence[float], objectives: Sequence[str], constraints: Limits, whole: Mapping[str, float]
) -> list[Limits]:
    """The limits of every model to make.

    Args:
        sizes: Shares of the MACs, if they were asked for.
        objectives: "score" and costs; without a target, sizes are shares of the first cost.
        constraints: The targets; without sizes, models are made at and somewhat below them.
        whole: The largest's costs by name.
    """
    if sizes:
        return [(*constraints, Constraint("macs", size * whole["macs"])) for size in sorted(sizes, reverse=True)]
    if constraints:
        return [tuple(Constraint(c.cost, share * c.limit) for c in constraints) for share in BELOW]
    cost = next(name for name in objectives if name != "score")
    return [(Constraint(cost, share * whole[cost]),) for share in SIZES]


def choose_subnets(
    work: Workspace,
    prepared: Prepared,
    wanted: Sequence[Limits],
    costs: Mapping[str, Callable[[Subnet], float]],
) -> list[Subnet]:
    """The units that are kept within each of the limits, by the Fisher information of their gates."""
    supernet, batches = prepared.supernet, calibration_batches(work, TOKENS)
    fisher = gate_fisher(supernet, batches, loss=work.score_loss())
    scores = fisher.head_scores, fisher.neuron_scores
    removals = order_removals(supernet.shape, *scores, step=work.settings.step)
    found: dict[Subnet, None] = {}
    for number, limits in enumerate(wanted):

        def fits(subnet: Subnet, limits: Limits = limits) -> bool:
            return all(costs[limit.cost](subnet) <= limit.limit for limit in limits)

        # Below a target there may be nothing; the target itself and sizes that were asked for must be met.
        with suppress(TargetError) if number and not work.settings.sizes else nullcontext():
            widths = choose_widths(removals, fits)
            chosen = choose_units(widths, *scores)
            found[rearrange_units(chosen, fisher) if work.settings.rearrange else chosen] = None
    return list(found)


def _evaluation(
    number: int, made: Mapping[str, Any], costs: Mapping[str, Callable[[Subnet], float]], metric: str
) -> Evaluation:
    subnet = Subnet.from_dict(made["subnet"])
    return Evaluation(
        number,
        subnet,
        {},
        made["metrics"][metric],
        metrics=made["metrics"],
        costs={name: cost(subnet) for name, cost in costs.items()},
        origin="masks",
    )
