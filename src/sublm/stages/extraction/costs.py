"""p and i of every candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sublm.architectures import Shape
from sublm.costs import FamilyCosts, shaped_config
from sublm.costs.measured import measure_models
from sublm.export import deployer
from sublm.search.fptas import Candidate, bounds, shape_name
from sublm.stages.extraction.family import Family, with_random_weights


def counted(family: Family, shapes: Sequence[Shape], *, embeddings: bool, length: int) -> list[Candidate]:
    """Candidates with the parameters and the MACs of their encoder, without a head.

    Args:
        family: What they have in common.
        shapes: Theirs.
        embeddings: Whether the embedding tables count.
        length: Tokens of the sequence that the MACs are of.
    """
    costs = FamilyCosts(family.config, bounds(shapes))
    return [Candidate(s, costs.parameters(s, embeddings=embeddings), costs.macs(s, length)) for s in shapes]


def measure(
    family: Family, candidates: Sequence[Candidate], options: Mapping[str, Any], scratch: Path, *, seed: int
) -> dict[str, float]:
    """Milliseconds of a forward pass of every candidate's encoder, by name, all measured beside the largest.

    Latency depends on shapes, not on weights, which are random.

    Args:
        family: What they have in common.
        candidates: With their parameters.
        options: runtime, precision, threads, length, rounds, ... of `sublm.costs.measure_latency`.
        scratch: Where files that the runtime reads are written.
        seed: Of the order and the tokens.
    """

    def make(shape: Shape) -> Any:
        return with_random_weights(shaped_config(family.config, shape), 0).base_model.eval()

    largest = max(candidates, key=lambda candidate: candidate.p)
    found, _ = measure_models(
        {shape_name(c.shape): partial(make, c.shape) for c in candidates},
        {shape_name(c.shape): c.p for c in candidates},
        shape_name(largest.shape),
        prepare=deployer(scratch, options["runtime"], options["precision"]),
        seed=seed,
        **options,
    )
    return found
