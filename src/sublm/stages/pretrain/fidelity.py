"""`sublm fidelity`: do the shared weights of a super-network order sub-networks as training each alone does?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sublm.errors import RunError
from sublm.progress import Progress
from sublm.run import Run
from sublm.search import Fidelity, fidelity
from sublm.spaces import SearchSpace, StratifiedSampler, Subnet
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.stages.pretrain.costs import Deployed, costs_of, encoder_of
from sublm.stages.pretrain.fidelity_figure import write_fidelity_png
from sublm.stages.pretrain.following import call, follow
from sublm.stages.pretrain.job import execute
from sublm.stages.pretrain.reopen import Trained
from sublm.stages.workspace import doing

PICTURE = "fidelity.png"
TRIES = 50
"""Draws per architecture that a band is looked through for a new one."""


@dataclass(frozen=True)
class FidelitySettings:
    """What a comparison is asked for.

    Attributes:
        run: The run directory of the pre-training.
        shapes: The architectures; none draws them.
        number: How many are drawn.
        cost: What the band is a band of: "macs" or "parameters".
        band: Least and largest share of the whole encoder's cost among which they are drawn.
        steps: Steps that each is trained alone; 0 takes the super-network's.
        start: What these begin with: "model", the weights that the super-network began with, cut and sorted alike, or
            "scratch", random ones, as in the paper.
        seed: Of the draws, and of the trainings.
    """

    run: str
    shapes: tuple[str, ...] = ()
    number: int = 12
    cost: Literal["macs", "parameters"] = "macs"
    band: tuple[float, float] = (0.22, 0.25)
    steps: int = 0
    start: Literal["model", "scratch"] = "model"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shapes and len(set(self.shapes)) < 2:
            raise RunError(f"shapes={list(self.shapes)}: two different ones at least are compared.")
        if self.number < 2 or self.steps < 0:
            raise RunError(f"number={self.number} must be at least 2 and steps={self.steps} at least 0.")
        if len(self.band) != 2 or not 0 <= self.band[0] < self.band[1] <= 1:
            raise RunError(f"band={list(self.band)} must be two rising shares of the whole, such as 0.22 0.25.")
        for name, known in (("cost", ("macs", "parameters")), ("start", ("model", "scratch"))):
            if getattr(self, name) not in known:
                raise RunError(f"{name}={getattr(self, name)!r} is not known; choose {' or '.join(known)}.")

    def deciding(self) -> dict[str, Any]:
        """What makes a run another one; more architectures may be asked for later."""
        return {name: value for name, value in asdict(self).items() if name not in ("run", "shapes", "number")}


def measure_fidelity(
    run: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Trains sub-networks alone and compares their order with that by the weights they share.

    Killed at any moment, the same call goes on where it was.

    Args:
        run: The run directory of `sublm pretrain`.
        out: Where to; `RUN/fidelity` by default.
        overwrite: Use the folder though it holds a comparison with other settings.
        quiet: Show nothing but errors.
        **settings: Any other field of `FidelitySettings`.

    Returns:
        What `results.json` holds and, as "run", the folder.

    Raises:
        SubLMError: If anything given cannot be used; nothing is trained by then.
    """
    out = Path(run) / "fidelity" if out is None else out
    return call(execute_fidelity, FidelitySettings, run, settings, out=out, overwrite=overwrite, quiet=quiet)


def execute_fidelity(
    settings: FidelitySettings, folder: Path, progress: Progress, *, overwrite: bool = False
) -> dict[str, Any]:
    """Runs a comparison; see `measure_fidelity`."""

    def do(trained: Trained, run: Run) -> dict[str, Any]:
        found = _compare_all(settings, trained, run, progress)
        write_fidelity_png(found, folder / PICTURE)
        return found

    return follow(settings, folder, progress, do, overwrite=overwrite)


def _compare_all(settings: FidelitySettings, trained: Trained, run: Run, progress: Progress) -> dict[str, Any]:
    encoder = encoder_of(trained)
    costs = costs_of(encoder, Deployed(length=trained.length, seed=settings.seed))
    whole = {name: float(cost(encoder.largest)) for name, cost in costs.items()}
    if settings.shapes:
        subnets = [read_shape(shape, trained.supernet.shape) for shape in dict.fromkeys(settings.shapes)]
    else:
        bounds = (settings.band[0] * whole[settings.cost], settings.band[1] * whole[settings.cost])
        subnets = draw_in_band(trained.space, costs[settings.cost], bounds, settings.number, settings.seed)
    shared = _losses("one-shot losses", "by the weights they share", trained, subnets, run, progress)
    alone = [_alone(settings, trained, subnet, run, progress) for subnet in subnets]
    before: list[float] = []
    if settings.start == "model":
        said = "by the weights before the training"
        before = _losses("losses before training", said, trained, subnets, run, progress, untrained=True)
    entries = [
        {
            "shape": shape_name(subnet),
            "one_shot_loss": shared[place],
            "stand_alone_loss": alone[place]["loss"],
            "seconds": alone[place]["seconds"],
            **({"loss_before_training": before[place]} if before else {}),
            "costs": {name: float(cost(subnet)) for name, cost in costs.items()},
        }
        for place, subnet in enumerate(subnets)
    ]
    return {
        "settings": settings.deciding() | {"steps": _steps(settings, trained)},
        "whole": whole,
        **compare(entries, seed=settings.seed),
        "architectures": entries,
    }


def compare(entries: Sequence[Mapping[str, Any]], *, seed: int = 0) -> dict[str, Any]:
    """Agreement of the one-shot losses with the stand-alone ones, and of what it must beat: costs, and no training.

    Args:
        entries: Architectures with `one_shot_loss`, `stand_alone_loss`, `costs` and perhaps `loss_before_training`.
        seed: Of the interval.
    """
    alone = [float(entry["stand_alone_loss"]) for entry in entries]
    others = {name: [-float(entry["costs"][name]) for entry in entries] for name in ("macs", "parameters")}
    if "loss_before_training" in entries[0]:
        others["loss_before_training"] = [float(entry["loss_before_training"]) for entry in entries]
    shared = [float(entry["one_shot_loss"]) for entry in entries]
    return {
        **_plain(fidelity(shared, alone, seed=seed)),
        "instead_of_it": {name: _plain(fidelity(values, alone, seed=seed)) for name, values in others.items()},
    }


def draw_in_band(space: SearchSpace, cost: Any, bounds: tuple[float, float], number: int, seed: int) -> list[Subnet]:
    """Different random sub-networks whose cost lies between bounds; with a larger number, the same and further ones.

    Raises:
        TargetError: If nothing in the space costs as much.
        RunError: If there are fewer different ones.
    """
    sampler = StratifiedSampler(space, cost, bins=1, low=bounds[0], high=bounds[1])
    rng = random.Random(seed)
    found: dict[str, Subnet] = {}
    for _ in range(TRIES * number):
        subnet = sampler.sample(rng)
        found.setdefault(subnet.key, subnet)
        if len(found) == number:
            return list(found.values())
    raise RunError(
        f"Only {len(found)} different sub-networks were found in the band; {number} were asked for: widen the band, or "
        "ask for fewer."
    )


def _plain(found: Fidelity) -> dict[str, Any]:
    return asdict(found)


def _steps(settings: FidelitySettings, trained: Trained) -> int:
    """Steps that each architecture is trained alone."""
    return settings.steps or -(-len(trained.text.steps) // trained.settings.accumulation)


def _losses(
    name: str,
    said: str,
    trained: Trained,
    subnets: list[Subnet],
    run: Run,
    progress: Progress,
    *,
    untrained: bool = False,
) -> list[float]:
    """Validation losses by the weights of the super-network, as they are or as they were before its training."""
    inputs = {"weights": trained.fingerprint, "subnets": [subnet.to_dict() for subnet in subnets]}
    stage = run.stage(name, inputs, after=[])
    if not stage.done:
        with doing(run, progress, stage, f"Judging {len(subnets)} sub-networks {said}"):
            stage.result["losses"] = trained.losses(subnets, untrained=untrained)
    return [float(loss) for loss in stage.result["losses"]]


def _alone(
    settings: FidelitySettings, trained: Trained, subnet: Subnet, run: Run, progress: Progress
) -> dict[str, Any]:
    """Trains one alone, as the super-network was trained; killed, it goes on."""
    name = shape_name(subnet)
    folder = run.folder / "alone" / name
    inputs = {"weights": trained.fingerprint, "subnet": subnet.to_dict()}
    stage = run.stage(f"cut {name}", inputs, after=[], outputs=[f"alone/{name}"])
    if not stage.done:
        with doing(run, progress, stage, f"Writing {name} as it was before the training"):
            trained.cut(subnet, folder / "start", untrained=True)
    scratch = settings.start == "scratch"
    asked = trained.alone(
        folder / "start", steps=_steps(settings, trained), from_scratch=scratch, seed=trained.settings.seed
    )
    result = execute(asked, folder / "run", progress)
    return {"loss": float(result["losses"]["model"]), "seconds": float(result["train_seconds"])}
