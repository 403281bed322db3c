"""Sub-networks: canonical form, equality, JSON, checks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sublm.architectures.shape import Shape
from sublm.errors import SubnetError
from sublm.spaces.subnet import Subnet, count, indices

SHAPE = Shape(layers=3, hidden=24, heads=4, head_size=6, neurons=20)


def units(total: int, least: int = 0):
    by_indices = st.sets(st.integers(0, total - 1), min_size=least).flatmap(lambda s: st.permutations(sorted(s)))
    return st.integers(least, total) | by_indices


subnets = st.builds(
    Subnet,
    st.tuples(*[units(SHAPE.heads)] * 3),
    st.tuples(*[units(SHAPE.neurons)] * 3),
    units(SHAPE.hidden, 1),
    units(SHAPE.head_size, 1),
)


@given(subnets)
def test_json_brings_back_the_same_subnet(subnet):
    assert Subnet.from_json(subnet.to_json()) == subnet
    assert Subnet.from_dict(json.loads(json.dumps(subnet.to_dict()))) == subnet
    assert "\n" not in subnet.to_json()


@given(st.lists(st.integers(0, 19), unique=True))
def test_order_of_indices_does_not_matter_and_prefixes_are_counts(chosen):
    one, other = (Subnet((1,), (listed,), 3, 2) for listed in (chosen, sorted(chosen, reverse=True)))
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key
    (kept,) = one.neurons
    assert isinstance(kept, int) == (sorted(chosen) == list(range(len(chosen))))
    assert count(kept) == len(chosen)
    assert indices(kept) == tuple(sorted(chosen))


@given(subnets)
def test_a_subnet_equals_its_count_spelt_out_as_indices(subnet):
    spelt = Subnet(
        tuple(indices(u) for u in subnet.heads),
        tuple(indices(u) for u in subnet.neurons),
        indices(subnet.hidden),
        indices(subnet.head_size),
    )
    assert spelt == subnet
    assert hash(spelt) == hash(subnet)
    assert spelt.to_json() == subnet.to_json()


@given(subnets, subnets)
def test_keys_tell_different_subnets_apart(one, other):
    assert (one == other) == (one.key == other.key) == (one.to_json() == other.to_json())


@given(subnets)
def test_what_fits_passes_and_layers_are_those_with_a_half(subnet):
    subnet.check(SHAPE)
    kept = [i for i in range(3) if indices(subnet.heads[i]) or indices(subnet.neurons[i])]
    assert list(subnet.layers) == kept


@given(subnets, st.sampled_from(["heads", "neurons", "hidden", "head_size"]), st.integers(0, 2))
def test_one_unit_more_than_there_is_gets_refused(subnet, field, layer):
    limit = getattr(SHAPE, field)
    too_many = [limit + 1, (limit,)]
    for wrong in too_many:
        value = wrong
        if field in ("heads", "neurons"):
            value = tuple(wrong if i == layer else u for i, u in enumerate(getattr(subnet, field)))
        place = f"{field} of layer {layer}" if field in ("heads", "neurons") else field
        with pytest.raises(SubnetError, match=f"{place}: {limit + 1} asked for, at most {limit} exist"):
            subnet.replace(**{field: value}).check(SHAPE)


def test_the_full_subnet_keeps_everything():
    full = Subnet.full(SHAPE)
    assert full == Subnet((4, 4, 4), (20, 20, 20), 24, 6)
    assert full == Subnet.uniform(SHAPE)
    assert full.layers == (0, 1, 2)


def test_uniform_subnets():
    assert Subnet.uniform(SHAPE, layers=2, heads=3) == Subnet((3, 3, 0), (20, 20, 0), 24, 6)
    assert Subnet.uniform(SHAPE, layers=[2, 0], neurons=(5, 1), hidden=8, head_size=2) == Subnet(
        (4, 0, 4), ((1, 5), 0, (1, 5)), 8, 2
    )
    assert Subnet.uniform(SHAPE, layers=0).layers == ()
    for wrong in (4, [3], [-1]):
        with pytest.raises(SubnetError, match="do not exist: the super-network has 3"):
            Subnet.uniform(SHAPE, layers=wrong)
    with pytest.raises(SubnetError, match="layers must not be negative; got -1"):
        Subnet.uniform(SHAPE, layers=-1)


def test_keys_stay_the_same_between_versions():
    assert Subnet.full(SHAPE).to_json() == '{"head_size":6,"heads":[4,4,4],"hidden":24,"neurons":[20,20,20]}'
    assert Subnet.full(SHAPE).key == "e2a19f661ef4"


def test_integers_of_other_libraries_become_plain():
    subnet = Subnet((np.int64(2),), (torch.tensor([3, 1]),), np.int32(5), np.array([0, 1]))
    assert subnet == Subnet((2,), ((1, 3),), 5, 2)
    assert Subnet.from_json(subnet.to_json()) == subnet
    assert type(subnet.heads[0]) is int


def test_subnets_do_not_change():
    subnet = Subnet.full(SHAPE)
    with pytest.raises(AttributeError):
        subnet.hidden = 3
    assert subnet.replace(hidden=3).hidden == 3
    assert subnet.hidden == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (-1, 4, 4)}, "heads of layer 0 must not be negative; got -1"),
        ({"heads": (4, (1, -2), 4)}, "heads of layer 1 must not be negative; got -2"),
        ({"neurons": (4, 4, (1, 3, 1))}, r"neurons of layer 2 names an index twice: \[1, 1, 3\]"),
        ({"hidden": True}, "hidden must be a count or a list of indices, not True"),
        ({"hidden": 3.0}, r"hidden must be a count or a list of indices, not 3\.0"),
        ({"hidden": (1.5, 2)}, r"hidden must be .* not 1\.5"),
        ({"hidden": "12"}, "hidden must be .* not '12'"),
        ({"head_size": None}, "head_size must be .* not None"),
        ({"head_size": ("a",)}, "head_size must be .* not 'a'"),
        ({"heads": (4, 4)}, "heads has 2 layers and neurons 3; both need one entry per layer"),
        ({"heads": 4}, r"heads needs one entry per layer of the super-network, not 4; see Subnet\.uniform"),
    ],
)
def test_what_is_no_subnet_is_refused(change, message):
    with pytest.raises(SubnetError, match=message):
        Subnet.full(SHAPE).replace(**change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[1]", "found list"),
        ('{"heads": [1]}', r"exactly the fields \['head_size', 'heads', 'hidden', 'neurons'\]; found \['heads'\]"),
        ('{"heads": [1], "neurons": [1], "hidden": 1, "head_size": 1, "depth": 1}', "found .*'depth'"),
        ('{"heads": 1, "neurons": [1], "hidden": 1, "head_size": 1}', "must be lists with one entry per layer"),
        ('{"heads": ["1"], "neurons": [1], "hidden": 1, "head_size": 1}', "heads of layer 0 must be .* not '1'"),
        ('{"heads": [1], "neurons": [[0.5]], "hidden": 1, "head_size": 1}', r"neurons of layer 0 must be .* not 0\.5"),
    ],
)
def test_what_is_no_subnet_in_json_is_refused(text, message):
    with pytest.raises(SubnetError, match=message):
        Subnet.from_json(text)
