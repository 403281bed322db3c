"""Measuring extracted sub-networks against each other, as many at a time as fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from sublm.costs.closed_form import cost_model
from sublm.costs.latency import Candidate, Latency, measure_latency
from sublm.spaces.subnet import Subnet, count

if TYPE_CHECKING:
    from sublm.supernet.supernet import SuperNet

_PARAMETERS_AT_ONCE = 500_000_000  # extracted models kept in memory together
_WORDS = 2048  # rows kept of the word embeddings: a look-up takes as long in a small table


def measure_subnets(
    supernet: SuperNet,
    subnets: Sequence[Subnet],
    *,
    prepare: Callable[[Any], Candidate] | None = None,
    measure: Callable[..., Mapping[str, Latency]] = measure_latency,
    statistic: str = "minimum",
    seed: int = 0,
    **options: Any,
) -> tuple[np.ndarray, Latency]:
    """Measures sub-networks as the ordinary models they would become, the super-network's largest among them.

    If they do not fit into memory together, they are measured in groups, the largest in each; what a group took is
    divided by how much slower the largest was in it than in the quickest group.

    Args:
        supernet: The super-network; latency depends on shapes, so it needs no training.
        subnets: Different sub-networks.
        prepare: Turns an extracted model into what is measured, such as the path of its ONNX file.
        measure: `measure_latency`, or a function like it.
        statistic: What of a measured latency is given back.
        seed: Of the groups and of the measurement.
        **options: Passed on to `measure`: runtime, precision, threads, length, batch, rounds, ...

    Returns:
        Milliseconds in the order of the sub-networks, [N], and the largest's latency.
    """
    largest = supernet.largest
    others = [subnet for subnet in subnets if subnet != largest]
    # groups are measured one after the other, so which group a size falls into must be chance
    order = np.random.default_rng(seed).permutation(len(others))
    found: dict[str, float] = {}
    references: list[Latency] = []
    groups = list(_groups(supernet, [others[i] for i in order]))
    taken: list[dict[str, Latency]] = []
    for group in groups:
        models: dict[str, Any] = {s.key: _light(supernet.extract(s)) for s in [largest, *group]}
        if prepare is not None:
            models = {name: prepare(model) for name, model in models.items()}
        taken.append(dict(measure(models, seed=seed, **options)))
        references.append(taken[-1][largest.key])
        del models
    quickest = min(references, key=lambda latency: float(getattr(latency, statistic)))
    for latencies, reference in zip(taken, references, strict=True):
        slower = getattr(reference, statistic) / getattr(quickest, statistic)
        found |= {name: getattr(latency, statistic) / slower for name, latency in latencies.items()}
    return np.array([found[subnet.key] for subnet in subnets]), quickest


def _groups(supernet: SuperNet, subnets: Sequence[Subnet]) -> Iterator[list[Subnet]]:
    """Groups of sub-networks that are held in memory and measured against each other."""
    group: list[Subnet] = []
    held = 0
    for subnet in subnets:
        size = cost_model(supernet).parameters(subnet, embeddings=False) + _WORDS * count(subnet.hidden)
        if group and held + size > _PARAMETERS_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(subnet)
        held += size
    yield group


def _light(model: Any) -> Any:
    """Cuts the word embeddings to their first rows, in place; a model that predicts words keeps them all."""
    words = model.get_input_embeddings()
    if not isinstance(words, nn.Embedding) or words.num_embeddings <= _WORDS or model.get_output_embeddings():
        return model
    light = nn.Embedding(_WORDS, words.embedding_dim, padding_idx=words.padding_idx)
    light.weight = nn.Parameter(words.weight.detach()[:_WORDS].clone(), requires_grad=False)
    model.set_input_embeddings(light)
    model.config.vocab_size = _WORDS
    return model
