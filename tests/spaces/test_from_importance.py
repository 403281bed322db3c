from __future__ import annotations

import json
import random
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublm.architectures.shape import Shape
from sublm.costs import shape_costs
from sublm.errors import SubnetError, TargetError
from sublm.spaces import SearchSpace, Subnet, even_targets, from_importance, read_nncf, write_nncf
from sublm.spaces.from_importance import ladder

BASE = Shape(layers=12, hidden=768, heads=12, head_size=64, neurons=3072)
MEDIUM = Shape(layers=8, hidden=512, heads=8, head_size=64, neurons=2048)
SMALL = Shape(layers=3, hidden=32, heads=4, head_size=8, neurons=100)


def importance(shape, seed=0, **details):
    rng = np.random.default_rng(seed)
    scores = rng.gamma(1, 16, (shape.layers, shape.heads)), rng.gamma(1, 1, (shape.layers, shape.neurons))
    return SimpleNamespace(heads=scores[0], neurons=scores[1], method="made up", details=details)


def test_costs_and_targets_are_the_published_ones():
    costs = shape_costs(BASE)
    assert costs.macs(Subnet.full(BASE)) == 11_174_217_216
    assert costs.macs(Subnet.uniform(BASE, heads=5, neurons=949)) == 3_875_341_824
    assert shape_costs(BASE, head="question_answering").macs(Subnet.full(BASE), 384) // 10**6 == 35_333
    assert [target / 1e6 for target in even_targets(4400e6, 11174e6, 5)] == [4400, 6093, 7786, 9479, 11174]


def test_a_range_that_divides_evenly_keeps_all_its_steps():
    assert [target / 1e6 for target in even_targets(4400e6, 11200e6, 5)] == [4400, 6100, 7800, 9500, 11200]
    assert even_targets(10, 20, 2) == [10, 20]


@pytest.mark.parametrize("align", [1, 32])
def test_bert_base_reaches_its_targets(align):
    costs = shape_costs(BASE)
    targets = even_targets(4400e6, 11174e6, 5)
    space = from_importance(BASE, importance(BASE), costs.macs, targets, align=align)
    assert space.seeds[-1] == Subnet.full(BASE)
    head = 4 * 768 * 64 * 128 + 2 * 128 * 128 * 64
    for subnet, target in zip(space.seeds[:-1], targets, strict=False):
        assert target - head < costs.macs(subnet) <= target


scores = st.floats(0, 100, width=32)


@settings(max_examples=60, deadline=None)
@given(
    heads=st.lists(st.lists(scores, min_size=4, max_size=4), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
    align=st.sampled_from([1, 7, 32]),
    depth=st.booleans(),
    per=st.sampled_from(["unit", "cost"]),
    shares=st.lists(st.floats(0.3, 1.0), min_size=2, max_size=6),
)
def test_members_are_nested_grow_and_miss_their_targets_by_less_than_a_unit(heads, seed, align, depth, per, shares):
    found = importance(SMALL, seed)
    found.heads = heads
    macs = shape_costs(SMALL).macs
    rungs = ladder(SMALL, found, macs, align=align, depth=depth, per=per)
    whole = macs(Subnet.full(SMALL))
    targets = sorted(share * whole for share in shares)
    counts = [rungs.at_most(target) for target in targets]
    subnets = [rungs.subnet(count) for count in counts]
    for count, subnet, target in zip(counts, subnets, targets, strict=True):
        assert macs(subnet) == pytest.approx(rungs.costs[count], rel=1e-9)
        if count < len(rungs.halves):  # one rung more would be too dear
            assert macs(subnet) <= target < macs(rungs.subnet(count + 1))
        assert all(n == 100 or n % align == 0 for n in subnet.neurons)
        assert all(n == 0 or n >= 2 for n in subnet.neurons)
        assert depth or (all(subnet.heads) and all(subnet.neurons))
    for smaller, larger in pairwise(subnets):
        pairs = zip(smaller.heads + smaller.neurons, larger.heads + larger.neurons, strict=True)
        assert all(a <= b for a, b in pairs)


def test_one_threshold_parts_what_is_kept_from_what_is_not():
    found = importance(SMALL, 3, reduction="max")
    macs = shape_costs(SMALL).macs
    rungs = ladder(SMALL, found, macs, align=1)
    count = rungs.at_most(0.5 * macs(Subnet.full(SMALL)))
    subnet, threshold = rungs.subnet(count), rungs.threshold(count)
    for layer in range(3):
        assert subnet.heads[layer] == (found.heads[layer] >= threshold).sum()
        above = (found.neurons[layer] >= threshold).sum()
        assert subnet.neurons[layer] == (above if above >= 2 else 0)


def test_alignment_rounds_the_number_above_the_threshold_to_the_nearest():
    found = importance(SMALL, 5)
    macs = shape_costs(SMALL).macs
    rungs = ladder(SMALL, found, macs, align=16, per="unit")
    for count in range(0, len(rungs.halves), 5):
        subnet, threshold = rungs.subnet(count), rungs.threshold(count)
        for layer in range(3):
            above = int((found.neurons[layer] >= threshold).sum())
            assert abs(subnet.neurons[layer] - above) <= 8


def test_a_nearly_empty_half_layer_goes_whole():
    shape = Shape(layers=2, hidden=32, heads=2, head_size=16, neurons=400)
    found = importance(shape)
    found.neurons[0] *= 1e-6
    found.neurons[0][:7] = 1e6  # under 2 % of 400
    macs = shape_costs(shape).macs
    rungs = ladder(shape, found, macs, align=1, per="unit")
    kept = rungs.subnet(rungs.at_most(0.5 * macs(Subnet.full(shape))))
    assert kept.neurons[0] == 0
    found.neurons[0][7] = 1e6
    rungs = ladder(shape, found, macs, align=1, per="unit")
    assert rungs.subnet(rungs.at_most(0.5 * macs(Subnet.full(shape)))).neurons[0] == 8


def test_equal_scores_cut_all_layers_alike():
    ones = SimpleNamespace(heads=np.ones((3, 4)), neurons=np.ones((3, 100)))
    macs = shape_costs(SMALL).macs
    rungs = ladder(SMALL, ones, macs, align=10, per="unit")
    subnet = rungs.subnet(rungs.at_most(0.5 * macs(Subnet.full(SMALL))))
    assert max(subnet.neurons) - min(subnet.neurons) <= 10
    assert max(subnet.heads) - min(subnet.heads) <= 1


def test_the_space_holds_the_widths_that_occur_and_reads_back():
    macs = shape_costs(SMALL).macs
    whole = macs(Subnet.full(SMALL))
    space = from_importance(SMALL, importance(SMALL), macs, [0.4 * whole, 0.7 * whole, whole], align=16)
    text = space.to_json()
    read = SearchSpace.from_json(text)
    assert read == space
    assert read.seeds == space.seeds
    assert len(space.seeds) == 3
    for layer in range(3):
        assert set(space.variables[f"neurons_{layer}"].values()) == {seed.neurons[layer] for seed in space.seeds}
    assert space.largest == Subnet.full(SMALL)
    assert space.smallest == space.seeds[0]
    assert space.contains(space.sample(random.Random(0)))
    assert '"options": [' in text
    assert max(text.count("\n"), 0) < 150  # lists stand on one line


def test_seeds_that_an_edit_took_out_are_left_out():
    macs = shape_costs(SMALL).macs
    whole = macs(Subnet.full(SMALL))
    space = from_importance(SMALL, importance(SMALL), macs, [0.4 * whole, whole])
    data = space.to_dict()
    data["variables"]["heads_0"]["options"] = [4]
    data["variables"]["neurons_0"]["options"] = [100]
    assert SearchSpace.from_dict(data).seeds == (Subnet.full(SMALL),)
    data["options"]["seeds"] = [{"heads": [1]}]
    with pytest.raises(SubnetError, match="heads and neurons"):
        _ = SearchSpace.from_dict(data).seeds


def test_what_cannot_be_done_is_refused():
    macs = shape_costs(SMALL).macs
    whole = macs(Subnet.full(SMALL))
    found = importance(SMALL)
    with pytest.raises(TargetError, match="smallest within reach"):
        from_importance(SMALL, found, macs, [1.0])
    with pytest.raises(TargetError, match="the whole super-network costs"):
        from_importance(SMALL, found, macs, [1.1 * whole])
    with pytest.raises(SubnetError, match=r"heads is 3 x 4; this model has 12 x 12"):
        from_importance(BASE, found, shape_costs(BASE).macs, [5e9])
    with pytest.raises(SubnetError, match="sum over half-layers"):
        from_importance(SMALL, found, lambda subnet: macs(subnet) ** 2, [whole])
    found.neurons[0, 0] = float("nan")
    with pytest.raises(SubnetError, match="not finite"):
        from_importance(SMALL, found, macs, [whole])
    with pytest.raises(TargetError, match="must rise"):
        even_targets(5, 5)
    with pytest.raises(TargetError, match="2 steps"):
        even_targets(1, 5, 1)


def layers(text):
    return [[int(width) for width in layer.split()] for layer in text.split(",")]


# The widths of two released spaces: of the heads of every layer, and of its neurons.
COLA = [
    layers(
        "768 704 576 512, 768 704 448 320 256, 768 640 448 320, 768 640 512 448, 768 704 640, 768 640, 768, "
        "768 640 576, 768 576 512 448, 768 320 256, 768 384, 768 384 320"
    ),
    layers(
        "3072 2692 2134 1588 949, 3072 2685 2171 1609 959, 3072 2733 2275 1762 1110, 3072 2788 2312 1739 1096, "
        "3072 2771 2316 1788 1158, 3072 2797 2312 1774 1062, 3072 2797 2297 1719 1028, 3072 2762 2245 1654 1014, "
        "3072 2487 1863 1261 670, 3072 2187 1469 928 436, 3072 2037 1360 814 348, 3072 1991 1322 799 370"
    ),
]
MNLI_MEDIUM = [
    layers("512 320 256, 512 192, 512 192 128, 512 448 256 192, 512 256, 512 448 192, 512 320 192, 512 320 256"),
    layers(
        "2048 2034 1728 1378, 2048 2034 1723 1378, 2048 2024 1630 1307, 2048 2010 1585 1255, 2048 2008 1555 1233, "
        "2048 2003 1429 1096, 2048 1982 1209 885, 2048 1723 696 475"
    ),
]


def published(widths, skipped=(), stages=()):
    inside = "BertForSequenceClassification/BertModel[bert]/BertEncoder[encoder]/ModuleList[layer]/BertLayer"
    numbers = range(len(widths[0]))
    groups = [
        [
            f"{inside}[{i}]/BertAttention[attention]/BertSelfAttention[self]/NNCFLinear[{p}]/linear_0"
            for p in ("query", "key", "value")
        ]
        for i in numbers
    ] + [[f"{inside}[{i}]/BertIntermediate[intermediate]/NNCFLinear[dense]/linear_0"] for i in numbers]
    norm = "BertSelfOutput[output]/NNCFLayerNorm[LayerNorm]/layer_norm_0"
    ends = [[f"{inside}[{i - 1}]/...", f"{inside}[{i}]/BertAttention[attention]/{norm}"] for i in skipped]
    data = {
        "input_info": [{"sample_size": [1, 128], "type": "long", "keyword": "input_ids"}],
        "bootstrapNAS": {
            "training": {
                "schedule": {"list_stage_descriptions": list(stages)},
                "elasticity": {
                    "width": {"overwrite_groups": groups, "overwrite_groups_widths": widths[0] + widths[1]},
                    "depth": {"skipped_blocks": ends},
                },
            }
        },
    }
    return json.dumps(data)


def test_released_spaces_have_the_sizes_computed_from_them():
    found = read_nncf(published(COLA))
    assert (found.space.shape, found.length, found.head) == (BASE, 128, "classification")
    macs = shape_costs(found.space.shape).macs
    assert macs(found.space.largest) == 11_174_217_216
    assert round(macs(found.space.smallest) / 1e9, 3) == 4.378
    assert round(np.log10(float(found.space.size)), 1) == 14.0
    four = read_nncf(published(COLA), widest=4).space
    assert round(macs(four.smallest) / 1e9, 3) == 5.828
    assert round(np.log10(float(four.size)), 1) == 12.7


def test_a_released_space_with_a_half_layer_that_may_be_skipped():
    space = read_nncf(published(MNLI_MEDIUM, skipped=[1])).space
    assert space.shape == MEDIUM
    assert list(space.variables["heads_1"].values()) == [0, 3, 8]
    macs = shape_costs(MEDIUM).macs
    assert round(macs(space.largest) / 1e9, 3) == 3.356
    kept = space.smallest.replace(heads=(space.smallest.heads[0], 3, *space.smallest.heads[2:]))
    assert round(macs(kept) / 1e9, 3) == 1.672


def test_comments_and_trailing_commas_are_read():
    stage = {"train_dims": ["width"], "epochs": 12}
    text = published(COLA, stages=[stage])
    assert text.endswith("}}}}")
    text = text[:-1] + ',} // the "end", done\n'
    text = text.replace('"input_info"', '/* what\nis fed */ "input_info"', 1)
    assert read_nncf(text).stages == (stage,)


def test_what_is_written_reads_back():
    macs = shape_costs(MEDIUM).macs
    whole = macs(Subnet.full(MEDIUM))
    found = importance(MEDIUM)
    found.heads[0] *= 1e-9
    found.neurons[3] *= 1e-9
    space = from_importance(MEDIUM, found, macs, [0.4 * whole, whole])
    assert space.smallest.heads[0] == space.smallest.neurons[3] == 0
    stages = [{"train_dims": ["width", "depth"], "epochs": 3}]
    back = read_nncf(write_nncf(space, length=384, model="BertForQuestionAnswering", stages=stages))
    assert back.space.variables == space.variables
    assert (back.length, back.head, back.stages) == (384, "question_answering", tuple(stages))


def test_senseless_published_files_are_refused():
    with pytest.raises(SubnetError, match="no published search space"):
        read_nncf("{}")
    with pytest.raises(SubnetError, match="lists of widths"):
        read_nncf(published([COLA[0][:-1], COLA[1]]).replace("[]", "[]"))
    with pytest.raises(SubnetError, match="head size 48"):
        read_nncf(published(COLA), head_size=48)
    with pytest.raises(SubnetError, match="another model"):
        read_nncf(published(COLA), shape=MEDIUM)
    narrow = Shape(layers=12, hidden=768, heads=6, head_size=64, neurons=3072)
    with pytest.raises(SubnetError, match="the model has 0 to 6"):
        read_nncf(published(COLA), shape=narrow)
