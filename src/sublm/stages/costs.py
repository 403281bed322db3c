"""The costs of a run's sub-networks, by name."""

from __future__ import annotations

from collections.abc import Callable

from sublm.costs import CostModel, LatencyPredictor, cost_model, memory
from sublm.spaces import Subnet
from sublm.stages.supernet import Prepared
from sublm.stages.workspace import Workspace


def memory_of(work: Workspace, model: CostModel) -> Callable[[Subnet], float]:
    """The memory of sub-networks on the longest text, in the precision they will run in."""
    longest, precision = int(work.encoded["validation"].lengths.max()), work.settings.runtime_precision
    return lambda subnet: memory(model, subnet, length=longest, precision=precision)


def costs_of(
    work: Workspace, prepared: Prepared, predictor: LatencyPredictor | None
) -> dict[str, Callable[[Subnet], float]]:
    """Every cost by name."""
    model = cost_model(prepared.supernet)
    costs: dict[str, Callable[[Subnet], float]] = {
        "macs": model.macs,
        "parameters": model.parameters,
        "memory": memory_of(work, model),
    }
    if predictor is not None:
        costs["latency"] = predictor
    return costs
