"""Measuring: order, failures, threads, inputs, statistics. No test asserts how long anything takes."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertForMultipleChoice, BertForSequenceClassification

from sublm.costs import Latency, measure_latency, representative_lengths
from sublm.errors import LatencyError
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet

CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 32,
}


def recorder(calls, name):
    """A candidate that writes down when it is called, with what."""

    def run(inputs):
        calls.append((name, tuple(inputs["input_ids"].shape)))

    return run


def test_candidates_take_turns_in_a_shuffled_seeded_order():
    def names(seed):
        calls = []
        found = measure_latency({n: recorder(calls, n) for n in "abcd"}, rounds=6, warmup=2, seed=seed)
        assert list(found) == list("abcd")
        return [name for name, _ in calls]

    first = names(0)
    assert first[::2] == first[1::2]  # each turn is an untimed pass and a timed one
    by_round = [tuple(first[i : i + 8 : 2]) for i in range(0, len(first), 8)]
    assert len(by_round) == 8
    assert all(sorted(turn) == list("abcd") for turn in by_round)
    assert len(set(by_round)) > 1
    assert names(0) == first
    assert names(1) != first


def test_warm_up_does_not_count_and_conditions_are_recorded():
    calls = []
    found = measure_latency({"a": recorder(calls, "a")}, rounds=5, warmup=3, length=7, batch=2, threads=2)["a"]
    assert len(calls) == 2 * (5 + 3)
    assert set(calls) == {("a", (2, 7))}
    assert (found.rounds, found.length, found.batch, found.threads, found.runtime) == (5, 7, 2, 2, "torch")
    assert 0 < found.minimum <= found.median
    assert found.minimum <= found.mean
    assert found.spread >= 0
    assert Latency.from_dict(found.to_dict()) == found


def test_lengths_may_be_integers_of_numpy():
    lengths = np.array([7, 9])
    calls = []
    found = measure_latency({"a": recorder(calls, "a")}, rounds=1, warmup=0, length=lengths.max())["a"]
    assert (found.length, set(calls)) == (9, {("a", (1, 9))})
    assert measure_latency({"a": recorder(calls, "a")}, rounds=1, warmup=0, length=lengths)["a"].length == (7, 9)


def test_every_round_goes_through_all_lengths():
    calls = []
    found = measure_latency({"a": recorder(calls, "a")}, rounds=3, warmup=0, length=[9, 3, 5])["a"]
    assert [shape for _, shape in calls] == [(1, 3), (1, 3), (1, 5), (1, 9)] * 3  # the first pass of a turn is untimed
    assert found.length == (3, 5, 9)
    assert Latency.from_dict(found.to_dict()) == found


def test_a_spent_budget_leaves_three_rounds():
    calls = []
    found = measure_latency({"a": recorder(calls, "a")}, rounds=50, warmup=0, budget_s=0.0)
    assert found["a"].rounds == 3
    assert len(calls) == 6


def test_a_failing_candidate_is_an_error_that_names_it():
    def broken(inputs):
        raise ValueError("no such kernel")

    before = torch.get_num_threads()
    with pytest.raises(LatencyError, match=r"small could not be measured: ValueError: no such kernel"):
        measure_latency({"large": lambda inputs: None, "small": broken}, threads=before + 1)
    assert torch.get_num_threads() == before


def test_threads_are_set_and_restored():
    seen = collections.Counter()
    before = torch.get_num_threads()
    measure_latency({"a": lambda inputs: seen.update([torch.get_num_threads()])}, rounds=3, threads=before + 2)
    assert set(seen) == {before + 2}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_models_run_in_evaluation_and_inference_mode_and_are_left_as_they_were(precision):
    model = BertForSequenceClassification(BertConfig(**CONFIG)).train()
    seen = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, output: seen.append((module.training, torch.is_inference_mode_enabled()))
    )
    try:
        found = measure_latency({"model": model}, rounds=3, warmup=1, length=6, precision=precision)["model"]
    finally:
        hook.remove()
    assert set(seen) == {(False, True)}
    assert found.precision == precision
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model(input_ids=torch.tensor([[5, 6]])).logits.sum().backward()  # its weights are no inference tensors
    assert model.classifier.weight.grad is not None


def test_multiple_choice_is_measured_per_choice():
    model = BertForMultipleChoice(BertConfig(**CONFIG))
    shapes = set()
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.add(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    measure_latency({"choice": model}, rounds=3, length=6, batch=2)
    hook.remove()
    assert shapes == {(2, 1, 6)}


def test_a_sub_network_that_cannot_be_run_is_an_error():
    model = BertForSequenceClassification(BertConfig(**CONFIG))
    with pytest.raises(LatencyError, match="long could not be measured"):
        measure_latency({"long": model}, length=1000)  # more than its positions


def test_onnx_file_is_measured(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    ids = helper.make_tensor_value_info("input_ids", kind.INT64, ["batch", "length"])
    out = helper.make_tensor_value_info("out", kind.INT64, ["batch", "length"])
    graph = helper.make_graph([helper.make_node("Add", ["input_ids", "input_ids"], ["out"])], "sum", [ids], [out])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    found = measure_latency({"sum": path}, runtime="onnx", rounds=4, length=[3, 5])["sum"]
    assert (found.runtime, found.precision, found.rounds) == ("onnx", "file", 4)
    assert found.minimum > 0

    path.write_bytes(b"not a model")
    with pytest.raises(LatencyError, match="sum: ONNX Runtime cannot load"):
        measure_latency({"sum": path}, runtime="onnx")


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({"a": print}, {"runtime": "tensorrt"}, "runtime must be"),
        ({"a": print}, {"precision": "int8"}, "precision must be"),
        (
            {"a": print},
            {"precision": "bf16", "runtime": "onnx"},
            "precision must be one of fp32, fp16, int8, int8-static in the runtime onnx",
        ),
        ({"a": print}, {"threads": 0}, "threads must be at least 1"),
        ({"a": print}, {"rounds": 0}, "rounds must be at least 1"),
        ({"a": print}, {"length": []}, "length needs one or more"),
        ({"a": print}, {"length": 0}, "length needs one or more"),
        ({"a": "model.onnx"}, {}, "a: files are measured with runtime='onnx' or 'openvino'"),
        ({"a": "missing.onnx"}, {"runtime": "onnx"}, "a: missing.onnx is not a file"),
        ({"a": torch.nn.Linear(1, 1)}, {"runtime": "onnx"}, "a: with runtime='onnx' the path"),
        ({"a": 3}, {}, "a: a model, a function or the path"),
    ],
)
def test_bad_arguments_are_refused(models, options, message):
    if options.get("runtime") == "onnx" and "precision" not in options:
        pytest.importorskip("onnxruntime")
    with pytest.raises(LatencyError, match=message):
        measure_latency(models, **options)


def test_an_elastic_model_is_measured_through_a_function():
    supernet = SuperNet(BertForSequenceClassification(BertConfig(**CONFIG)).eval())
    small = Subnet.uniform(supernet.shape, layers=1, heads=1, neurons=3)
    active = []

    def run(subnet):
        def forward(inputs):
            supernet.activate(subnet)
            supernet.model(**inputs)
            active.append(supernet.active)

        return forward

    found = measure_latency({"small": run(small), "largest": run(supernet.largest)}, rounds=3, length=5)
    assert set(found) == {"small", "largest"}
    assert set(active) == {small, supernet.largest}


@given(st.lists(st.integers(1, 512), min_size=1, max_size=300), st.integers(1, 20))
def test_representative_lengths_are_lengths_of_the_task(lengths, samples):
    found = representative_lengths(lengths, samples)
    assert len(found) == min(samples, len(lengths))
    assert list(found) == sorted(found)
    assert set(found) <= set(lengths)
    if samples >= len(lengths):
        assert found == tuple(sorted(lengths))


def test_representative_lengths_keep_the_mean_and_the_tail():
    lengths = list(range(1, 101)) + [400] * 10
    found = representative_lengths(lengths, 11)
    assert found[-1] == 400
    assert sum(found) / len(found) == pytest.approx(sum(lengths) / len(lengths), rel=0.05)
