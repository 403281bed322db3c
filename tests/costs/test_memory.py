"""Memory in closed form against what torch allocates."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification

from sublm.costs import memory
from sublm.errors import SubLMError
from sublm.export import Deployment
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet

CONFIG = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return SuperNet(BertForSequenceClassification(BertConfig(**CONFIG, vocab_size=100)).eval())


def measured_peak(model, length, batch):
    """Most bytes allocated at once during a forward pass."""
    ids = torch.randint(5, 100, (batch, length))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        model(**inputs)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            model(**inputs)
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize(
    ("heads", "neurons"), [((4, 4), (192, 192)), ((1, 2), (32, 192)), ((4, 4), (16, 0)), ((1, 0), (8, 8))]
)
@pytest.mark.parametrize(("length", "batch"), [(40, 1), (80, 4)])
def test_the_estimate_is_close_to_what_torch_holds(supernet, heads, neurons, length, batch):
    subnet = Subnet(heads, neurons, 48, 12)
    model = supernet.extract(subnet).eval()
    stored = sum(p.numel() * p.element_size() for p in model.parameters())
    estimated = memory(supernet, subnet, length=length, batch=batch)
    assert estimated - stored == pytest.approx(measured_peak(model, length, batch), rel=0.2)


def test_weights_alone_decide_at_the_shortest_text_and_shrink_with_the_precision(supernet):
    weights = supernet.extract(supernet.largest).num_parameters()
    sizes = {
        name: memory(supernet, supernet.largest, length=1, precision=name)
        for name in ("fp32", "bf16", "int8", "int8-static")
    }
    assert sizes["fp32"] == pytest.approx(4 * weights, rel=0.05)
    assert sizes["bf16"] == sizes["fp32"] / 2
    assert weights < sizes["int8"] == sizes["int8-static"] < sizes["bf16"]


@pytest.mark.parametrize("precision", ["int8", "int8-static"])
def test_the_weights_in_int8_are_those_of_the_file(supernet, precision, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    subnet = Subnet((4, 2), (96, 0), 48, 12)
    model = supernet.extract(subnet).eval()
    for parameter in model.parameters():  # equal ones are stored once
        torch.nn.init.normal_(parameter)
    graph = onnx.load(Deployment(model, tmp_path).form("onnx", precision)).graph
    stored = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer)
    short, longer = (memory(supernet, subnet, length=length, precision=precision) for length in (1, 2))
    assert 2 * short - longer == pytest.approx(stored, rel=0.01)


def test_bad_arguments_are_refused(supernet):
    with pytest.raises(SubLMError, match="at least 1"):
        memory(supernet, supernet.largest, length=0)
    with pytest.raises(SubLMError, match="fp32, fp16, bf16, int8, int8-static"):
        memory(supernet, supernet.largest, precision="fp4")
