"""The closed forms equal what extracted models have and what torch's counter counts."""

from __future__ import annotations

import gc
import random
import re
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForMultipleChoice,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from sublm.costs import macs, parameters
from sublm.errors import SubLMError, SubnetError
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from sublm.supernet.modeling_sublm import CLASSES
from tests.supernet.families import COMBINATIONS, tiny_model

# The counter does not know the fused attention of the CPU, so models are counted with the eager one.
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "vocab_size": 61,
    "max_position_embeddings": 64,
    "attn_implementation": "eager",
}
MODELS = [
    *[(BertConfig, kind, {}) for kind in (BertModel, BertForSequenceClassification, BertForTokenClassification)],
    *[(BertConfig, kind, {}) for kind in (BertForQuestionAnswering, BertForMultipleChoice, BertForMaskedLM)],
    (BertConfig, BertForPreTraining, {}),
    (BertConfig, BertForMaskedLM, {"tie_word_embeddings": False}),
    *[(RobertaConfig, kind, {}) for kind in (RobertaModel, RobertaForSequenceClassification)],
    *[(RobertaConfig, kind, {}) for kind in (RobertaForTokenClassification, RobertaForQuestionAnswering)],
    *[(RobertaConfig, kind, {}) for kind in (RobertaForMultipleChoice, RobertaForMaskedLM)],
    (XLMRobertaConfig, XLMRobertaForSequenceClassification, {}),
    *[
        (ElectraConfig, kind, {"embedding_size": width})
        for width in (16, 24)  # 16 is projected to the hidden size
        for kind in (
            ElectraModel,
            ElectraForSequenceClassification,
            ElectraForTokenClassification,
            ElectraForQuestionAnswering,
            ElectraForMultipleChoice,
            ElectraForMaskedLM,
            ElectraForPreTraining,
        )
    ],
]


def make(config, kind, extra):
    torch.manual_seed(0)
    labels = 2 if kind.__name__.endswith("QuestionAnswering") else 3
    return kind(config(**SIZES, num_labels=labels, **extra)).eval()


def random_units(rng, total, least):
    """A count or explicit indices."""
    kept = rng.randint(least, total)
    return kept if rng.random() < 0.6 else tuple(rng.sample(range(total), kept))


def random_subnet(rng, shape):
    return Subnet(
        tuple(0 if rng.random() < 0.2 else random_units(rng, shape.heads, 1) for _ in range(shape.layers)),
        tuple(0 if rng.random() < 0.2 else random_units(rng, shape.neurons, 1) for _ in range(shape.layers)),
        shape.hidden if rng.random() < 0.5 else random_units(rng, shape.hidden, 1),
        shape.head_size if rng.random() < 0.5 else random_units(rng, shape.head_size, 1),
    )


def random_stock_subnet(rng, shape):
    heads = rng.randint(1, shape.heads)
    layers = rng.sample(range(shape.layers), rng.randint(1, shape.layers))
    neurons = rng.randint(1, shape.neurons)
    return Subnet.uniform(shape, layers=layers, heads=heads, neurons=neurons, hidden=heads * shape.head_size)


def count_macs(model, length):
    """MACs of one sequence (one choice) by torch's counter."""
    inputs = torch.ones(1, length, dtype=torch.long)
    if type(model).__name__.endswith("MultipleChoice"):
        inputs = inputs[None]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=inputs, attention_mask=torch.ones_like(inputs))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def table_parameters(model):
    """Parameters of the embedding tables, tied uses included."""
    return sum(m.weight.numel() for m in model.base_model.embeddings.modules() if isinstance(m, torch.nn.Embedding))


@pytest.mark.parametrize(("config", "kind", "extra"), MODELS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_closed_forms_equal_the_extracted_model(config, kind, extra):
    check_closed_forms(
        SuperNet(make(config, kind, extra)), random_subnet if kind.__name__ in CLASSES else random_stock_subnet
    )


@pytest.mark.parametrize(
    ("family", "head"), [(f, h) for f, h in COMBINATIONS if f not in ("bert", "electra", "roberta")]
)
def test_closed_forms_equal_the_extracted_model_in_every_family(family, head):
    model = tiny_model(family, head, max_position_embeddings=64, attn_implementation="eager")
    check_closed_forms(SuperNet(model), random_subnet, subnets=4)


def check_closed_forms(supernet, draw, subnets=8):
    rng = random.Random(type(supernet.model).__name__)
    for number in range(subnets):
        subnet = supernet.largest if number == 0 else draw(rng, supernet.shape)
        if supernet.layout.architecture.rotary:
            subnet = subnet.replace(head_size=supernet.shape.head_size)
        model, length = supernet.extract(subnet), rng.randint(2, 20)
        assert parameters(supernet, subnet) == model.num_parameters()
        assert parameters(supernet, subnet, embeddings=False) == model.num_parameters() - table_parameters(model)
        assert macs(supernet, subnet, length) == count_macs(model, length)


def bert_base(kind, **changes):
    with torch.device("meta"):
        return SuperNet(kind(BertConfig(**changes)))


def test_bert_base_with_pooler_and_classifier():
    supernet = bert_base(BertForSequenceClassification)
    assert macs(supernet, supernet.largest) == 11_174_217_216
    assert macs(supernet, Subnet.uniform(supernet.shape, heads=5, neurons=949)) == 3_875_341_824
    assert parameters(supernet, supernet.largest) == 109_483_778  # as published for bert-base-uncased with 2 labels


def test_linear_parameters_of_the_encoder_of_bert_base():
    supernet = bert_base(BertModel)
    shape, length = supernet.shape, 128
    attention = 2 * shape.layers * shape.heads * shape.head_size * length**2
    pooler = shape.hidden**2
    assert macs(supernet, supernet.largest, length) - attention - pooler == length * 84_934_656


AUTOTINYBERT = {  # Yin et al., table 4: l - d_m - d_f - h - d_qkv; parameters in millions, 2 x MACs in 1e9
    "S1": ("5-564-1054-8-512", 29.6, 3.17),
    "S2": ("4-396-624-6-384", 16.9, 1.23),
    "S3": ("4-432-384-4-256", 16.7, 0.860),
    "S4": ("3-320-608-4-256", 12.2, 0.601),
    "KD-S1": ("5-564-1024-12-528", 29.6, 3.18),
    "KD-S2": ("5-324-600-12-324", 14.2, 1.14),
    "KD-S3": ("5-280-512-12-276", 11.8, 0.853),
    "KD-S4": ("4-256-480-12-192", 9.8, 0.503),
}
AT_TEN_TIMES = {"S5": "5-450-636-6-384", "Fast-S5": "5-432-720-6-384"}  # of table F.1, which gives no costs
CONVENTIONAL = {  # what they are compared with: attention as wide as the hidden size, four times as many neurons
    "BERT-S1": ("4-512-2048-8-512", 28.8, 3.36),
    "BERT-S2": ("4-320-1280-5-320", 15.0, 1.34),
    "BERT-S3": ("4-256-1024-4-256", 11.2, 0.872),
    "BERT-S4": ("4-192-768-3-192", 7.8, 0.503),
    "BERT-KD-S1": ("4-512-2048-12-516", 28.8, 3.37),
    "BERT-KD-S2": ("4-312-1200-12-312", 14.4, 1.25),
    "BERT-KD-S3": ("4-264-1056-12-264", 11.6, 0.926),
    "BERT-base": ("12-768-3072-12-768", 109.5, 22.35),
    "SuperPLM": ("8-768-3072-12-768", 81.1, 14.9),
}


@pytest.mark.parametrize("name", [*AUTOTINYBERT, *CONVENTIONAL])
def test_published_shapes_cost_what_they_are_said_to(name):
    shape, parameters_m, double_macs_g = (AUTOTINYBERT | CONVENTIONAL)[name]
    supernet = bert_base(BertModel)  # encoder with pooler
    subnet = read_shape(shape, supernet)
    assert shape_name(subnet) == shape
    assert parameters(supernet, subnet) / 1e6 == pytest.approx(parameters_m, abs=0.051)
    assert 2 * macs(supernet, subnet) / 1e9 == pytest.approx(double_macs_g, rel=0.006)


@pytest.mark.parametrize("shape", [*(shape for shape, _, _ in AUTOTINYBERT.values()), *AT_TEN_TIMES.values()])
def test_the_costs_of_the_ten_published_shapes_are_those_of_their_formula(shape):
    layers, hidden, neurons, _, width = (int(part) for part in shape.split("-"))
    supernet = bert_base(BertModel)
    embeddings = (30522 + 512 + 2 + 2) * hidden
    attention = 4 * hidden * width + 3 * width + hidden + 2 * hidden
    ffn = 2 * hidden * neurons + neurons + hidden + 2 * hidden
    pooler = hidden * (hidden + 1)
    subnet = read_shape(shape, supernet)
    assert parameters(supernet, subnet) == embeddings + layers * (attention + ffn) + pooler
    per_token = layers * (4 * hidden * width + 2 * hidden * neurons + 2 * width * 128)
    assert macs(supernet, subnet) == 128 * per_token + hidden**2


def test_the_documented_table_of_the_published_shapes_is_what_is_counted():
    page = (Path(__file__).parents[2] / "docs" / "autotinybert.md").read_text()
    rows = dict(re.findall(r"^\| (\S+) \| (\d+-\d+-\d+-\d+-\d+ \| \S+ \| \S+) \|$", page, re.MULTILINE))
    shapes = {name: shape for name, (shape, *_) in AUTOTINYBERT.items()} | AT_TEN_TIMES
    supernet = bert_base(BertModel)
    for name, shape in {**shapes, "BERT-base": "12-768-3072-12-768"}.items():
        subnet = read_shape(shape, supernet)
        counted = f"{parameters(supernet, subnet) / 1e6:.1f} | {macs(supernet, subnet) / 1e9:.3f}"
        assert rows.pop(name) == f"{shape} | {counted}"
    assert not rows


def test_dropped_layers_cost_nothing():
    supernet = bert_base(BertForSequenceClassification)
    six = Subnet.uniform(supernet.shape, layers=[0, 2, 4, 6, 8, 10])
    shallow = bert_base(BertForSequenceClassification, num_hidden_layers=6)
    assert parameters(supernet, six) == parameters(shallow, shallow.largest)
    assert macs(supernet, six, 77) == macs(shallow, shallow.largest, 77)


def test_too_large_subnet_and_bad_length_are_refused():
    supernet = bert_base(BertModel, num_hidden_layers=2)
    too_many = Subnet((13, 1), (1, 1), 768, 64)
    with pytest.raises(SubnetError, match="13 asked for, at most 12"):
        parameters(supernet, too_many)
    with pytest.raises(SubnetError, match="13 asked for, at most 12"):
        macs(supernet, too_many)
    with pytest.raises(SubLMError, match="length must be at least 1"):
        macs(supernet, supernet.largest, 0)


def test_cached_coefficients_do_not_keep_the_super_network_alive():
    supernet = bert_base(BertModel, num_hidden_layers=1)
    assert parameters(supernet, supernet.largest) > 0
    seen = weakref.ref(supernet)
    del supernet
    gc.collect()
    assert seen() is None
