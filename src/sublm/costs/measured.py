"""Measuring extracted sub-networks against each other, as many at a time as fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
    reference: SuperNet | None = None,
    prepare: Callable[[Any], Candidate] | None = None,
    measure: Callable[..., Mapping[str, Latency]] = measure_latency,
    statistic: str = "minimum",
    known: float | None = None,
    seed: int = 0,
    **options: Any,
) -> tuple[np.ndarray, Latency]:
    """Measures sub-networks as the ordinary models they would become, the super-network's largest among them.

    If they do not fit into memory together, they are measured in groups, the largest in each; what a group took is
    divided by how much slower the largest was in it than in the quickest group, or than it is known to be. Another
    model may take the largest's place.

    Args:
        supernet: The super-network; latency depends on shapes, so it needs no training.
        subnets: Different sub-networks.
        reference: The model to measure in every group in place of this super-network's largest, made elastic.
        prepare: Turns an extracted model into what is measured, such as the path of its ONNX file.
        measure: `measure_latency`, or a function like it.
        statistic: What of a measured latency is given back.
        known: What the largest took in an earlier session, if that was quicker than this one turns out.
        seed: Of the groups and of the measurement.
        **options: Passed on to `measure`: runtime, precision, threads, length, batch, rounds, ...

    Returns:
        Milliseconds in the order of the sub-networks, [N], and the latency of the largest, or of the reference.
    """
    whole, first = (supernet, supernet.largest.key) if reference is None else (reference, "reference")
    chosen = {first: (whole, whole.largest), **{subnet.key: (supernet, subnet) for subnet in subnets}}
    makers = {key: partial(source.extract, subnet) for key, (source, subnet) in chosen.items()}
    sizes = {
        key: cost_model(source).parameters(subnet, embeddings=False) + _WORDS * count(subnet.hidden)
        for key, (source, subnet) in chosen.items()
    }
    found, quickest = measure_models(
        makers,
        sizes,
        first,
        prepare=prepare,
        measure=measure,
        statistic=statistic,
        known=known,
        seed=seed,
        **options,
    )
    return np.array([found[subnet.key] for subnet in subnets]), quickest


def measure_models(
    makers: Mapping[str, Callable[[], Any]],
    sizes: Mapping[str, int],
    largest: str,
    *,
    prepare: Callable[[Any], Candidate] | None = None,
    measure: Callable[..., Mapping[str, Latency]] = measure_latency,
    statistic: str = "minimum",
    known: float | None = None,
    seed: int = 0,
    **options: Any,
) -> tuple[dict[str, float], Latency]:
    """Measures models that are made when their turn comes; see `measure_subnets` for how groups are compared.

    Args:
        makers: Name -> makes the model.
        sizes: Name -> parameters in memory.
        largest: Name of the model that is measured in every group.
        prepare: See `measure_subnets`.
        measure: See `measure_subnets`.
        statistic: See `measure_subnets`.
        known: See `measure_subnets`.
        seed: See `measure_subnets`.
        **options: See `measure_subnets`.

    Returns:
        Milliseconds by name, and the largest's latency.
    """
    others = [name for name in makers if name != largest]
    # groups are measured one after the other, so which group a size falls into must be chance
    order = np.random.default_rng(seed).permutation(len(others))
    found: dict[str, float] = {}
    references: list[Latency] = []
    taken: list[dict[str, Latency]] = []
    for group in _groups([others[i] for i in order], sizes):
        models: dict[str, Any] = {name: _light(makers[name]()) for name in [largest, *group]}
        if prepare is not None:
            models = {name: prepare(model) for name, model in models.items()}
        taken.append(dict(measure(models, seed=seed, **options)))
        references.append(taken[-1][largest])
        del models
    quickest = min(references, key=lambda latency: float(getattr(latency, statistic)))
    least = min(float(getattr(quickest, statistic)), known or math.inf)
    for latencies, reference in zip(taken, references, strict=True):
        slower = getattr(reference, statistic) / least
        found |= {name: getattr(latency, statistic) / slower for name, latency in latencies.items()}
    return found, quickest


def _groups(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Groups of models that are held in memory and measured against each other."""
    group: list[str] = []
    held = 0
    for name in names:
        if group and held + sizes[name] > _PARAMETERS_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(name)
        held += sizes[name]
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
