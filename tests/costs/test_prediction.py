"""Fitting on measurements whose truth is known."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import BertConfig, BertModel

from sublm.costs import Latency, LatencyPredictor, fit_latency, prediction
from sublm.errors import LatencyError
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32, "vocab_size": 40}


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return SuperNet(BertModel(BertConfig(**SIZES)).eval())


def subnets(shape, number, seed=0):
    rng = random.Random(seed)
    return [
        Subnet(
            tuple(rng.randint(0, shape.heads) for _ in range(shape.layers)),
            tuple(rng.randint(0, shape.neurons) for _ in range(shape.layers)),
            rng.randint(1, shape.hidden),
            rng.choice([2, 4]),
        )
        for _ in range(number)
    ]


def true_latency(attention_halves, width, ffn_halves, neurons, hidden):
    return 1.5 + hidden * (0.02 * attention_halves + 0.003 * width + 0.01 * ffn_halves + 0.002 * neurons)


def truth_of(subnet):
    width = sum(subnet.heads) * subnet.head_size
    halves = (sum(map(bool, subnet.heads)), sum(map(bool, subnet.neurons)))
    return true_latency(halves[0], width, halves[1], sum(subnet.neurons), subnet.hidden)


def read_off(model):
    """The true latency of an extracted model, from its configuration."""
    config = model.config
    layers = config.num_hidden_layers
    heads = getattr(config, "layer_heads", None) or [config.num_attention_heads] * layers
    neurons = getattr(config, "layer_neurons", None) or [config.intermediate_size] * layers
    size = getattr(config, "head_size", None) or config.hidden_size // config.num_attention_heads
    halves = (sum(map(bool, heads)), sum(map(bool, neurons)))
    return true_latency(halves[0], sum(heads) * size, halves[1], sum(neurons), config.hidden_size)


def fake_measure(models, *, seed, noise=0.0, **options):
    rng = random.Random(seed)
    made = {}
    for name, model in models.items():
        value = read_off(model) * (1 + noise * rng.uniform(-1, 1))
        made[name] = Latency(value, value + 1, value, 0.0, 3, "torch", "fp32", 1, (4, 8), 1)
    return made


def test_an_additive_truth_is_recovered(supernet):
    found = fit_latency(supernet, subnets(supernet.shape, 30), measure=fake_measure)
    assert found.points == 31
    assert found.error < 0.001
    assert found.tau > 0.99
    for subnet in subnets(supernet.shape, 20, seed=9):
        assert found(subnet) == pytest.approx(truth_of(subnet), rel=0.01)
    assert found.conditions == {
        "runtime": "torch",
        "precision": "fp32",
        "threads": 1,
        "length": [4, 8],
        "batch": 1,
        "device": "cpu",
    }
    assert torch.__version__.startswith(found.machine["torch"].split("+")[0])


def test_the_held_out_error_tells_of_noise_and_no_coefficient_is_negative(supernet):
    found = fit_latency(supernet, subnets(supernet.shape, 40), measure=fake_measure, noise=0.3)
    assert found.error > 0.05
    assert found.tau < 0.99
    assert min(found.coefficients) >= 0


def test_the_median_can_be_predicted_instead(supernet):
    few = subnets(supernet.shape, 30)
    least = fit_latency(supernet, few, measure=fake_measure)
    median = fit_latency(supernet, few, measure=fake_measure, statistic="median")
    assert median(few[0]) == pytest.approx(least(few[0]) + 1, rel=0.01)


def test_json_both_ways(supernet):
    found = fit_latency(supernet, subnets(supernet.shape, 20), measure=fake_measure)
    assert LatencyPredictor.from_json(found.to_json()) == found
    with pytest.raises(LatencyError, match="must be JSON"):
        LatencyPredictor.from_json("{")
    with pytest.raises(LatencyError, match="not a latency predictor"):
        LatencyPredictor.from_json('{"coefficients": {"constant": 1}}')


def test_every_subnet_is_prepared_and_measured_once_whatever_fits_in_memory(supernet, monkeypatch):
    chosen = subnets(supernet.shape, 20)
    prepared, groups = [], []

    def measure(models, **options):
        groups.append(list(models))
        return fake_measure(models, **options)

    def prepare(model):
        prepared.append(model)
        return model

    whole = fit_latency(supernet, chosen, measure=measure, prepare=prepare)
    assert len(groups) == 1
    assert len(prepared) == 21
    monkeypatch.setattr(prediction, "_PARAMETERS_AT_ONCE", 20_000)
    parts = fit_latency(supernet, chosen, measure=measure)
    assert len(groups) > 3
    assert sorted(name for group in groups[1:] for name in group) == sorted(groups[0])
    assert parts.coefficients == pytest.approx(whole.coefficients)


def test_real_measurements_end_in_a_predictor(supernet):
    chosen = subnets(supernet.shape, 14)
    found = fit_latency(supernet, chosen, rounds=3, warmup=1, length=8)
    assert found(supernet.largest) > 0
    assert found.conditions["length"] == 8


def test_too_few_subnets_are_refused(supernet):
    with pytest.raises(LatencyError, match="2 different sub-networks are too few"):
        fit_latency(supernet, subnets(supernet.shape, 1) * 20, measure=fake_measure)
