"""Validation loss of sub-networks on text that is never trained on, and its course over a training."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sublm.costs import cost_model
from sublm.errors import DataError
from sublm.files import read_json, write_json
from sublm.spaces import SearchSpace
from sublm.spaces.homogeneous import shape_name
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from sublm.tasks.evaluation import inference
from sublm.training import Objective
from sublm.training.objectives import Answer

DRAWS = 101
"""Sub-networks drawn to find one of median size."""


def validation_losses(
    network: SuperNet | nn.Module,
    subnets: Sequence[Subnet | None],
    objective: Objective,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    teacher: nn.Module | None = None,
    precision: str = "fp32",
) -> list[float]:
    """The objective's loss of each of some sub-networks, without dropout; lower is better.

    Batches are read once and the teacher is asked once, however many sub-networks there are. The network is left with
    the sub-network active that was before.

    Args:
        network: A super-network, or a plain model, whose only sub-network is None.
        subnets: The sub-networks.
        objective: What was trained for.
        batches: Masked batches, the same for all who are compared.
        teacher: Whom the objective learns from; None judges by the masked tokens alone.
        precision: Of the forward passes, "fp32" or "bf16".

    Returns:
        The mean over all that the objective counts, for each sub-network.

    Raises:
        DataError: If nothing in the batches counts.
    """
    sources = ("teacher",) if teacher is not None else ("labels",)
    means = _means(network, subnets, objective, batches, teacher, precision, sources)
    return [found[sources[0]] for found in means]


def validation_losses_both(
    network: SuperNet | nn.Module,
    subnets: Sequence[Subnet | None],
    objective: Objective,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    teacher: nn.Module,
    precision: str = "fp32",
) -> tuple[list[float], list[float]]:
    """`validation_losses` by the teacher, and by the masked tokens alone, from the same forward passes.

    The second can be compared with that of a training without a teacher. The objective must predict masked tokens.
    """
    means = _means(network, subnets, objective, batches, teacher, precision, ("teacher", "labels"))
    return [found["teacher"] for found in means], [found["labels"] for found in means]


def _means(
    network: SuperNet | nn.Module,
    subnets: Sequence[Subnet | None],
    objective: Objective,
    batches: Iterable[Mapping[str, Tensor]],
    teacher: nn.Module | None,
    precision: str,
    sources: Sequence[str],
) -> list[dict[str, float]]:
    """Of each sub-network, the mean loss by what it learns from: "teacher" or "labels"."""
    elastic = None if isinstance(network, nn.Module) else network
    model: Any = network if isinstance(network, nn.Module) else network.model
    before = elastic.active if elastic is not None else None
    device = next(model.parameters()).device
    totals, counted = [dict.fromkeys(sources, 0.0) for _ in subnets], 0
    if teacher is not None:
        teacher.to(device).eval()
    try:
        with inference(model, precision):
            for batch in batches:
                moved = {name: values.to(device) for name, values in batch.items() if name != "index"}
                number = objective.count(moved)
                if not number:
                    continue
                counted += number
                taught: Answer | None = objective.answer(teacher, moved) if teacher is not None else None
                for place, subnet in enumerate(subnets):
                    if elastic is not None and subnet is not None:
                        elastic.activate(subnet)
                    answer = objective.answer(model, moved)
                    with torch.autocast(device.type, enabled=False):  # sums over many tokens need all digits
                        for source in sources:
                            loss = objective.loss(answer, taught if source == "teacher" else None, moved, subnet)
                            totals[place][source] += float(loss) * number
    finally:
        if elastic is not None and before is not None:
            elastic.activate(before)
    if not counted:
        raise DataError("Nothing is masked in the validation text: its pieces are too short. Give longer ones.")
    return [{source: total / counted for source, total in sums.items()} for sums in totals]


def watched(supernet: SuperNet, space: SearchSpace, seed: int) -> dict[str, Subnet]:
    """The largest sub-network of a space, one of median MACs, and the smallest."""
    macs = cost_model(supernet).macs
    rng = random.Random(seed)
    drawn = sorted((space.sample(rng) for _ in range(DRAWS)), key=macs)
    return {"largest": space.largest, "median": drawn[DRAWS // 2], "smallest": space.smallest}


class Curve:
    """Losses over the steps of a training, in a file; a training that is gone on with goes on with it.

    Args:
        path: The file.
        about: What else it says: the sub-networks and their costs.
        tokens: Tokens of a step, about.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], tokens: int) -> None:
        self._path, self._about, self._tokens = path, dict(about), tokens
        found = read_json(path)["curve"] if path.exists() else []
        self._points: dict[int, dict[str, Any]] = {point["step"]: point for point in found}
        self._began, self._before = time.perf_counter(), found[-1]["seconds"] if found else 0.0

    def __contains__(self, step: int) -> bool:
        return step in self._points

    @property
    def points(self) -> list[dict[str, Any]]:
        """Entries in the order of the steps: step, tokens, seconds, losses and, of some, masked_losses."""
        return [self._points[step] for step in sorted(self._points)]

    def clear(self) -> None:
        """Forgets everything: another training begins."""
        self._points, self._before = {}, 0.0

    def add(
        self,
        step: int,
        losses: Mapping[str, float],
        train_loss: float | None = None,
        masked: Mapping[str, float] | None = None,
    ) -> None:
        """Notes the losses after a step, in place of what was noted for it and for later ones.

        Args:
            step: The step.
            losses: The objective's, by sub-network.
            train_loss: That of the training.
            masked: Those of the masked tokens alone, if the objective's are others.
        """
        self._points = {at: point for at, point in self._points.items() if at < step}
        seconds = self._before + time.perf_counter() - self._began
        self._points[step] = {
            "step": step,
            "tokens": step * self._tokens,
            "seconds": round(seconds, 3),
            "train_loss": train_loss,
            "losses": dict(losses),
            **({"masked_losses": dict(masked)} if masked else {}),
        }
        write_json(self._path, {**self._about, "curve": self.points})


def describe_subnets(supernet: SuperNet, subnets: Mapping[str, Subnet]) -> dict[str, Any]:
    """Shapes and costs of sub-networks, for people and for plots."""
    model = cost_model(supernet)
    return {
        name: {
            "shape": shape_name(subnet),
            "parameters": model.parameters(subnet),
            "macs": model.macs(subnet),
            "subnet": subnet.to_dict(),
        }
        for name, subnet in subnets.items()
    }
