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


MEMORY = 2**29
"""Bytes of a teacher's answers that are kept, in main memory: half a GiB."""


class Validation:
    """Judges networks by the objective's loss on the same batches, without dropout; lower is better.

    The teacher is asked once for each batch, however often networks are judged, as far as its answers fit into memory;
    about the others it is asked again. The losses are the same to the bit either way.

    Args:
        objective: What was trained for.
        batches: Masked batches; the same ones whenever they are gone through.
        teacher: Whom the objective learns from, not to be changed meanwhile; None judges by the masked tokens alone.
        precision: Of the forward passes, "fp32" or "bf16".
        memory: Bytes of answers that are kept; 0 keeps none.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Iterable[Mapping[str, Tensor]],
        *,
        teacher: nn.Module | None = None,
        precision: str = "fp32",
        memory: int = MEMORY,
    ) -> None:
        self._objective, self._batches = objective, batches
        self._teacher, self._precision = teacher, precision
        self._memory = memory
        self._known: dict[int, Answer] = {}  # by number of the batch
        self._held = 0
        self._device: torch.device | None = None

    def losses(self, network: SuperNet | nn.Module, subnets: Sequence[Subnet | None]) -> list[float]:
        """The loss of each of some sub-networks; the network is left with the one active that was before.

        Args:
            network: A super-network, or a plain model, whose only sub-network is None.
            subnets: The sub-networks.

        Returns:
            The mean over all that the objective counts, for each sub-network.

        Raises:
            DataError: If nothing in the batches counts.
        """
        source = "labels" if self._teacher is None else "teacher"
        return [found[source] for found in self._means(network, subnets, (source,))]

    def losses_both(
        self, network: SuperNet | nn.Module, subnets: Sequence[Subnet | None]
    ) -> tuple[list[float], list[float]]:
        """`losses` by the teacher, and by the masked tokens alone, from the same forward passes.

        The second can be compared with that of a training without a teacher. The objective must predict masked tokens.
        """
        found = self._means(network, subnets, ("teacher", "labels"))
        return [means["teacher"] for means in found], [means["labels"] for means in found]

    def _means(
        self, network: SuperNet | nn.Module, subnets: Sequence[Subnet | None], sources: Sequence[str]
    ) -> list[dict[str, float]]:
        """Of each sub-network, the mean loss by what it learns from: "teacher" or "labels"."""
        objective = self._objective
        elastic = None if isinstance(network, nn.Module) else network
        model: Any = network if isinstance(network, nn.Module) else network.model
        before = elastic.active if elastic is not None else None
        device = next(model.parameters()).device
        totals, counted = [dict.fromkeys(sources, 0.0) for _ in subnets], 0
        try:
            with inference(model, self._precision):
                for place, batch in enumerate(self._batches):
                    moved = {name: values.to(device) for name, values in batch.items() if name != "index"}
                    number = objective.count(moved)
                    if not number:
                        continue
                    counted += number
                    taught = self._ask(place, moved, device)
                    for judged, subnet in enumerate(subnets):
                        if elastic is not None and subnet is not None:
                            elastic.activate(subnet)
                        answer = objective.answer(model, moved)
                        with torch.autocast(device.type, enabled=False):  # sums over many tokens need all digits
                            for source in sources:
                                loss = objective.loss(answer, taught if source == "teacher" else None, moved, subnet)
                                totals[judged][source] += float(loss) * number
        finally:
            if elastic is not None and before is not None:
                elastic.activate(before)
        if not counted:
            raise DataError("Nothing is masked in the validation text: its pieces are too short. Give longer ones.")
        return [{source: total / counted for source, total in sums.items()} for sums in totals]

    def _ask(self, place: int, batch: Mapping[str, Tensor], device: torch.device) -> Answer | None:
        """What the teacher says on a batch, from memory if it is there."""
        if self._teacher is None:
            return None
        if device != self._device:  # another one computes other last digits
            self._known, self._held, self._device = {}, 0, device
        if place in self._known:
            return self._known[place].to(device)
        answer = self._objective.answer(self._teacher.to(device).eval(), batch)
        if self._held + answer.bytes <= self._memory:
            self._known[place] = answer.to(torch.device("cpu"))
            self._held += answer.bytes
        return answer


def validation_losses(
    network: SuperNet | nn.Module,
    subnets: Sequence[Subnet | None],
    objective: Objective,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    teacher: nn.Module | None = None,
    precision: str = "fp32",
) -> list[float]:
    """The objective's loss of each of some sub-networks, once; see `Validation`, which judges again and again.

    Batches are read once and the teacher is asked once, however many sub-networks there are.
    """
    return Validation(objective, batches, teacher=teacher, precision=precision, memory=0).losses(network, subnets)


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
