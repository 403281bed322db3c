"""Fitting on measurements whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertForMaskedLM, BertModel

from sublm.costs import Counts, Latency, LatencyPredictor, fit_latency, measured
from sublm.costs.additive import FORMS, AdditiveModel, feature_names, features
from sublm.costs.mlp import fit_mlp
from sublm.costs.prediction import fit_times
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
        "model": {"type": "bert", **dataclasses.asdict(supernet.shape)},
    }
    assert torch.__version__.startswith(found.machine["torch"].split("+")[0])


def test_the_held_out_error_tells_of_noise_and_no_coefficient_is_negative(supernet):
    found = fit_latency(supernet, subnets(supernet.shape, 40), measure=fake_measure, noise=0.3)
    assert found.error > 0.05
    assert found.tau < 0.99
    assert min(found.model.coefficients) >= 0


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
    broken = found.to_dict()
    broken["model"] = {**broken["model"], "form": "curved"}
    with pytest.raises(LatencyError, match="not a latency predictor"):
        LatencyPredictor.from_dict(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": None}, "machine must be a table of names and values; found None"),
        ({"conditions": None}, "conditions must be a table"),
        ({"conditions": ["torch"]}, "conditions must be a table"),
        ({"points": 0, "ratios": []}, "found 0 points, 0 ratios"),
        ({"points": "20"}, "found '20' points, 20 ratios"),
        ({"ratios": 1.0}, "ratios must be a list of positive numbers"),
        ({"ratios": [None] * 20}, "ratios must be a list of positive numbers"),
        ({"error": "a"}, "error must be a number; found 'a'"),
        ({"tau": None}, "tau must be a number"),
        ({"largest": "quick"}, "largest must be milliseconds or null"),
        ({"statistic": "mode"}, "statistic must be 'minimum' or 'median'"),
        ({"model": None}, "not a latency predictor"),
    ],
)
def test_a_malformed_file_is_told_what_is_wrong_with_it(change, message, tmp_path):
    whole = fit_times(random_counts(20), np.linspace(1, 2, 20), {"runtime": "torch"}).to_dict()
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(whole | change))
    with pytest.raises(LatencyError, match=message) as refused:
        LatencyPredictor.load(path)
    assert str(path) in str(refused.value)
    path.write_text(json.dumps({name: value for name, value in whole.items() if name not in change}))
    with pytest.raises(LatencyError, match=f"it has (no ratios and )?no {next(iter(change))}"):
        LatencyPredictor.load(path)


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
    monkeypatch.setattr(measured, "_PARAMETERS_AT_ONCE", 20_000)
    parts = fit_latency(supernet, chosen, measure=measure)
    assert len(groups) > 3
    largest = supernet.largest.key
    assert all(largest in group for group in groups)
    others = sorted(name for group in groups[1:] for name in group if name != largest)
    assert others == sorted(set(groups[0]) - {largest})
    assert parts.predict(chosen) == pytest.approx(whole.predict(chosen))


def test_a_group_that_was_measured_in_a_slow_spell_is_set_right(supernet, monkeypatch):
    monkeypatch.setattr(measured, "_PARAMETERS_AT_ONCE", 20_000)
    spells = iter([1.0, 3.0, 1.2, 2.0, 1.0, 5.0, *[1.5] * 50])

    def measure(models, **options):
        slower = next(spells)
        found = fake_measure(models, **options)
        return {name: dataclasses.replace(e, minimum=slower * e.minimum) for name, e in found.items()}

    chosen = subnets(supernet.shape, 30)
    found = fit_latency(supernet, chosen, measure=measure)
    assert found.predict(chosen) == pytest.approx([truth_of(subnet) for subnet in chosen], rel=0.01)


def test_another_model_may_be_measured_in_every_group_in_place_of_the_largest(supernet, monkeypatch):
    monkeypatch.setattr(measured, "_PARAMETERS_AT_ONCE", 20_000)
    base = SuperNet(BertModel(BertConfig(**SIZES | {"num_hidden_layers": 4, "intermediate_size": 48})).eval())
    spells, groups = iter([1.0, 3.0, 1.2, 2.0, 1.0, 5.0, *[1.5] * 50]), []

    def measure(models, **options):
        slower = next(spells)
        groups.append(models.keys())
        found = fake_measure(models, **options)
        return {name: dataclasses.replace(e, minimum=slower * e.minimum) for name, e in found.items()}

    chosen = subnets(supernet.shape, 30)
    found = fit_latency(supernet, chosen, reference=base, measure=measure)
    assert len(groups) > 1
    assert all("reference" in group for group in groups)
    assert sum(supernet.largest.key in group for group in groups) == 1
    assert found.reference == pytest.approx(truth_of(base.largest))
    assert found.largest == pytest.approx(truth_of(supernet.largest))
    assert found.points == 31  # it is no sub-network, and nothing is fitted to it
    assert found.predict(chosen) == pytest.approx([truth_of(subnet) for subnet in chosen], rel=0.01)
    assert LatencyPredictor.from_json(found.to_json()) == found
    earlier = {name: value for name, value in found.to_dict().items() if name != "reference"}
    assert LatencyPredictor.from_dict(earlier).reference is None


def test_a_session_that_is_slower_than_an_earlier_one_is_set_right(supernet):
    def slow(models, **options):
        found = fake_measure(models, **options)
        return {name: dataclasses.replace(e, minimum=2 * e.minimum) for name, e in found.items()}

    chosen = subnets(supernet.shape, 5)
    truth = [truth_of(subnet) for subnet in chosen]
    known = truth_of(supernet.largest)
    assert fit_latency(supernet, subnets(supernet.shape, 14), measure=fake_measure).largest == pytest.approx(known)
    assert measured.measure_subnets(supernet, chosen, measure=slow, known=known)[0] == pytest.approx(truth)
    assert measured.measure_subnets(supernet, chosen, measure=fake_measure, known=9 * known)[0] == pytest.approx(truth)
    twice = measured.measure_subnets(supernet, chosen, measure=slow)[0]
    assert twice == pytest.approx([2 * value for value in truth])


def test_word_embeddings_are_cut_for_the_measurement_only(monkeypatch):
    monkeypatch.setattr(measured, "_WORDS", 8)
    torch.manual_seed(0)
    words = SuperNet(BertForMaskedLM(BertConfig(**SIZES)).eval())
    plain = SuperNet(BertModel(BertConfig(**SIZES)).eval())
    rows = {}

    def measure(models, **options):
        rows["seen"] = {model.get_input_embeddings().num_embeddings for model in models.values()}
        for model in models.values():
            model(input_ids=torch.randint(0, model.config.vocab_size, (1, 4)))
        return fake_measure(models, **options)

    fit_latency(plain, subnets(plain.shape, 14), measure=measure)
    assert rows["seen"] == {8}
    assert plain.model.get_input_embeddings().num_embeddings == 40
    fit_latency(words, subnets(words.shape, 14), measure=measure)
    assert rows["seen"] == {40}  # the answers are words: what they cost depends on how many there are


def test_real_measurements_end_in_a_predictor(supernet):
    chosen = subnets(supernet.shape, 14)
    found = fit_latency(supernet, chosen, rounds=3, warmup=1, length=8)
    assert found(supernet.largest) > 0
    assert found.conditions["length"] == 8


def test_too_few_subnets_are_refused(supernet):
    with pytest.raises(LatencyError, match="2 different sub-networks are too few"):
        fit_latency(supernet, subnets(supernet.shape, 1) * 20, measure=fake_measure)


SHAPE_WIDEST = {"heads": 12, "neurons": 1536, "weights": 10_000_000}


def random_counts(number, seed=0, layers=6):
    rng = np.random.default_rng(seed)
    size = (number, layers)
    return Counts(rng.integers(0, 13, size), rng.integers(0, 1537, size), np.full(number, 384), np.full(number, 32))


def test_counts_are_those_of_the_subnets():
    listed = [Subnet((2, (0, 3)), (0, (1, 2, 5)), 8, 4), Subnet((0, 1), (7, 7), (0, 2), 2)]
    counts = Counts.of(listed)
    assert counts.heads.tolist() == [[2, 2], [0, 1]]
    assert counts.neurons.tolist() == [[0, 3], [7, 7]]
    assert counts.hidden.tolist() == [8, 2]
    assert counts.head_size.tolist() == [4, 2]
    assert len(Counts.of([])) == 0


@pytest.mark.parametrize("form", FORMS)
def test_features_have_names_and_never_fall_when_more_is_kept(form):
    counts = random_counts(200)
    rows = features(counts, form, SHAPE_WIDEST)
    assert rows.shape == (200, len(feature_names(form)))
    more = dataclasses.replace(counts, heads=counts.heads + 1, neurons=counts.neurons + 32)
    assert (features(more, form, SHAPE_WIDEST) >= rows).all()


@given(st.integers(0, 2**32), st.sampled_from(FORMS))
def test_many_are_predicted_as_one_by_one(seed, form):
    rng = np.random.default_rng(seed)
    model = AdditiveModel(form, tuple(rng.random(len(feature_names(form)))), SHAPE_WIDEST)
    counts = random_counts(7, seed)
    subnets = [Subnet(tuple(h), tuple(n), 384, 32) for h, n in zip(counts.heads, counts.neurons, strict=True)]
    alone = [model.predict(Counts.of([subnet]))[0] for subnet in subnets]
    assert model.predict(counts) == pytest.approx(alone)


def bent_truth(counts):
    """A half whose first neurons are dearer than the rest: no price per unit fits."""
    return 1 + np.minimum(counts.neurons, 190).sum(axis=1) * 2e-3 + counts.neurons.sum(axis=1) * 2e-4


def test_a_price_that_changes_with_the_width_is_found():
    seen, unseen = random_counts(90), random_counts(50, seed=1)
    found = fit_times(seen, bent_truth(seen), {})
    assert found.model.form == "bent"
    assert found.predict(unseen) == pytest.approx(bent_truth(unseen), rel=0.05)


def test_a_few_disturbed_measurements_do_not_move_the_rest():
    seen = random_counts(60)
    truth = 1 + 0.1 * seen.heads.sum(axis=1) + 1e-3 * seen.neurons.sum(axis=1)
    disturbed = truth.copy()
    disturbed[::12] *= 1.8
    found = fit_times(seen, disturbed, {})
    assert found.predict(seen) == pytest.approx(truth, rel=0.03)
    assert found.error > 0.03  # but they are told of
    assert found.factors(0.9)[1] > 1.5


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_hold_the_share_of_measurements_that_they_promise(level):
    rng = np.random.default_rng(0)

    def noisy(counts):
        truth = 1 + 0.1 * counts.heads.sum(axis=1) + 1e-3 * counts.neurons.sum(axis=1)
        return truth * (1 + 0.08 * rng.random(len(counts)))

    seen, unseen = random_counts(100), random_counts(2000, seed=1)
    ends = fit_times(seen, noisy(seen), {}).interval(unseen, level)
    times = noisy(unseen)
    assert np.mean((times >= ends[:, 0]) & (times <= ends[:, 1])) == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize(("points", "reached"), [(14, 13 / 15), (19, 18 / 20), (40, 39 / 41)])
def test_the_level_that_few_measurements_reach_is_told(points, reached):
    found = fit_times(random_counts(points), np.linspace(1, 2, points), {})
    assert found.widest_level == found.summary()["widest_level"] == pytest.approx(reached)
    assert found.factors(0.99) == found.factors(reached) == (found.ratios[0], found.ratios[-1])
    narrower = found.factors(reached - 4 / (points + 1))
    assert found.ratios[0] < narrower[0] < narrower[1] < found.ratios[-1]


@pytest.mark.parametrize("model", ["additive", "mlp"])
def test_of_nothing_nothing_is_predicted(model):
    found = fit_times(random_counts(20), np.linspace(1, 2, 20), {}, model=model)
    assert found.predict([]).shape == (0,)
    assert found.interval([]).shape == (0, 2)


def test_a_fit_that_does_not_end_is_an_error_of_its_own(monkeypatch):
    def endless(*arguments):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("scipy.optimize.nnls", endless)
    with pytest.raises(
        LatencyError, match=r"fitted to 12 measurements: Maximum number of iterations reached\. Measure"
    ):
        fit_times(random_counts(20), np.linspace(1, 2, 20), {})


def test_a_level_must_be_a_share():
    found = fit_times(random_counts(20), np.linspace(1, 2, 20), {})
    with pytest.raises(LatencyError, match="between 0 and 1"):
        found.interval(random_counts(1), 95)


def test_the_published_kind_learns_and_is_saved(monkeypatch):
    seen, unseen = random_counts(60), random_counts(20, seed=1)
    truth = 1 + 0.1 * seen.heads.sum(axis=1) + 1e-3 * seen.neurons.sum(axis=1)
    model = fit_mlp(seen, truth, width=32, steps=300)
    assert np.mean(np.abs(model.predict(seen) / truth - 1)) < 0.1
    again = type(model).from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.predict(unseen) == pytest.approx(model.predict(unseen))
    short = {**model.to_dict(), "width": 31}
    with pytest.raises(ValueError, match="do not fit"):
        type(model).from_dict(short)


def test_an_unknown_model_is_refused():
    with pytest.raises(LatencyError, match="additive, mlp"):
        fit_times(random_counts(20), np.linspace(1, 2, 20), {}, model="forest")


def test_a_predictor_of_another_device_is_used_only_by_force(tmp_path):
    found = fit_times(random_counts(20), np.linspace(1, 2, 20), {"runtime": "torch"})
    path = tmp_path / "latency.json"
    path.write_text(found.to_json())
    assert LatencyPredictor.load(path) == found
    foreign = dataclasses.replace(found, machine={**found.machine, "processor": "Abacus 3000"})
    path.write_text(foreign.to_json())
    with pytest.raises(LatencyError, match=r"another device: processor Abacus 3000 there, .* here\..*--force"):
        LatencyPredictor.load(path)
    assert LatencyPredictor.load(path, force=True) == foreign
    with pytest.raises(LatencyError, match="cannot be read"):
        LatencyPredictor.load(tmp_path / "none.json")
