"""What sub-networks of a pre-trained super-network cost, as encoders: no task keeps the head for masked tokens."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sublm.architectures import ARCHITECTURES
from sublm.costs import LatencyPredictor, cost_model, fit_latency, memory
from sublm.costs.measured import measure_subnets
from sublm.errors import RunError, UnsupportedModelError
from sublm.export import deployer, longest_text
from sublm.paths import check_folder
from sublm.spaces import SearchSpace, StratifiedSampler, Subnet
from sublm.stages.pretrain.models import is_subnetwork
from sublm.stages.pretrain.reopen import Trained
from sublm.supernet import SuperNet
from sublm.tasks.models import quiet_loading

SAMPLES = 40
"""Sub-networks that a latency predictor is fitted on."""


@dataclass(frozen=True)
class Deployed:
    """How sub-networks will run.

    Attributes:
        runtime: "torch", "onnx" or "openvino".
        precision: "fp32", "bf16" or "int8".
        threads: Threads of one forward pass.
        length: Tokens of a text.
        seed: Of random texts and samples.
    """

    runtime: str = "torch"
    precision: str = "fp32"
    threads: int = 1
    length: int = 128
    seed: int = 0

    def options(self) -> dict[str, Any]:
        """For the measuring functions of `sublm.costs`."""
        return {
            "runtime": self.runtime,
            "precision": self.precision,
            "threads": self.threads,
            "length": self.length,
            "batch": 1,
            "seed": self.seed,
        }


def open_base(name: str, length: int) -> SuperNet:
    """A model that shares and speed-ups are counted by, without a head.

    Args:
        name: A folder, or a name on the hub.
        length: Tokens of the texts that costs are counted for.

    Raises:
        SubLMError: If there is no such model, its costs cannot be counted, or it reads shorter texts.
    """
    import transformers

    check_folder("base", name)
    if is_subnetwork(Path(name)):
        raise UnsupportedModelError(
            f"base={name!r} is a sub-network that SubLM cut; costs are compared with those of an ordinary model, such "
            "as the one that it was cut from."
        )
    with quiet_loading():
        try:
            model = transformers.AutoModel.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise UnsupportedModelError(
                f"base={name!r} cannot be loaded: {str(error).splitlines()[0]} Give a folder written by "
                f"save_pretrained, or a hub name, of one of the families {', '.join(sorted(ARCHITECTURES))}."
            ) from error
    if longest_text(model) < length:
        raise RunError(
            f"base={name!r} reads {longest_text(model)} tokens; costs are counted for texts of {length}. Give another "
            "base, or a smaller length."
        )
    try:
        return SuperNet(model.eval())
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"base={name!r}: {error}") from error


def encoder_of(trained: Trained) -> SuperNet:
    """The super-network without its head."""
    return SuperNet(copy.deepcopy(trained.supernet.model.base_model))


def costs_of(
    encoder: SuperNet, deployed: Deployed, predictor: LatencyPredictor | None = None
) -> dict[str, Callable[[Subnet], float]]:
    """Every cost by name; latency if it can be predicted."""
    model = cost_model(encoder)
    costs: dict[str, Callable[[Subnet], float]] = {
        "macs": lambda subnet: model.macs(subnet, deployed.length),
        "parameters": model.parameters,
        "memory": lambda subnet: memory(model, subnet, length=deployed.length, precision=deployed.precision),
    }
    return costs if predictor is None else {**costs, "latency": predictor}


def fit(
    encoder: SuperNet,
    space: SearchSpace,
    deployed: Deployed,
    scratch: Path,
    tokenizer: Any,
    base: SuperNet | None = None,
) -> LatencyPredictor:
    """Measures some tens of sub-networks and fits a predictor; latency depends on shapes alone.

    Args:
        encoder: The super-network without its head.
        space: Its sub-networks.
        deployed: How they will run.
        scratch: A folder for files that are measured.
        tokenizer: The tokenizer.
        base: Another model that is measured in the same rounds.
    """
    sampler = StratifiedSampler(space, cost_model(encoder).macs, bins=SAMPLES)
    subnets = [space.decode(values) for values in sampler.spread(SAMPLES, random.Random(deployed.seed))]
    prepare = deployer(scratch, deployed.runtime, deployed.precision, tokenizer=tokenizer)
    return fit_latency(
        encoder, subnets, reference=base, prepare=prepare, rounds=20, budget_s=90.0, **deployed.options()
    )


def measure(
    encoder: SuperNet,
    subnets: list[Subnet],
    deployed: Deployed,
    scratch: Path,
    tokenizer: Any,
    predictor: LatencyPredictor,
    base: SuperNet | None = None,
) -> np.ndarray:
    """Milliseconds of sub-networks, [N], by the clock of the session that the predictor was fitted in."""
    times, _ = measure_subnets(
        encoder,
        subnets,
        reference=base,
        prepare=deployer(scratch, deployed.runtime, deployed.precision, tokenizer=tokenizer),
        known=predictor.largest if base is None else predictor.reference,
        rounds=30,
        budget_s=60.0,
        **deployed.options(),
    )
    return times
