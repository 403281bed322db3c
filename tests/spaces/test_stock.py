"""Stock sub-networks: what the space of uniform layers holds by default, in every family."""

from __future__ import annotations

import pytest
import transformers

import sublm
from sublm.architectures.shape import Shape
from sublm.errors import SubnetError
from sublm.spaces import Stock, Subnet, small, uniform
from sublm.supernet import SuperNet, is_stock
from tests.supernet.families import FAMILIES, outputs, tiny_batch, tiny_model

SHAPE = Shape(layers=3, hidden=16, heads=2, head_size=8, neurons=10)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_uniform_search_ends_in_stock_models(family, tmp_path):
    model = tiny_model(family, "classification")
    supernet = SuperNet(model)
    space = uniform(supernet, step=4)
    every = [space.decode(values) for values in space.settings()]
    assert len(set(every)) == space.size > 1
    assert all(is_stock(supernet, subnet) for subnet in every)
    small_one = supernet.extract(space.smallest)
    supernet.activate(space.smallest)
    sublm.save(small_one, tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.py"))
    auto = transformers.AutoModelForSequenceClassification
    loaded = auto.from_pretrained(tmp_path / "model", trust_remote_code=False, local_files_only=True).eval()
    batch = tiny_batch(family, "classification", labels=False)
    expected, found = (outputs(each, batch)["logits"] for each in (model.eval(), loaded))
    assert expected.allclose(found, atol=1e-5)


def test_all_heads_stay_and_layers_go_by_the_order_given():
    space = uniform(SHAPE, step=5, layer_order=[2, 0, 1])
    assert {(subnet.layers, subnet.heads[2], subnet.hidden) for subnet in map(space.decode, space.settings())} == {
        ((0, 2), 2, 16),
        ((0, 1, 2), 2, 16),
    }
    assert uniform(SHAPE, min_layers=1, layer_order=[2, 0, 1]).smallest.layers == (2,)
    free = uniform(SHAPE, stock=False)
    assert {subnet.layers for subnet in map(free.decode, free.settings())} == {(0, 1, 2)}


def test_the_first_layer_stays_where_the_stock_class_needs_it():
    supernet = SuperNet(tiny_model("modernbert", "classification"))
    backwards = list(reversed(range(supernet.shape.layers)))
    space = uniform(supernet, min_layers=1, layer_order=backwards)
    assert space.smallest.layers == (0,)
    assert all(is_stock(supernet, space.decode(values)) for values in space.settings())


def test_the_hidden_size_of_narrow_embeddings_is_not_stock():
    shape = Shape(layers=2, hidden=32, heads=4, head_size=8, neurons=8)
    assert Stock(shape).holds(Subnet.uniform(shape, heads=2, hidden=16))
    assert not Stock(shape, not_hidden=16).holds(Subnet.uniform(shape, heads=2, hidden=16))


def test_published_spaces_are_what_their_papers_say():
    base = Shape(layers=12, hidden=768, heads=12, head_size=64, neurons=3072)
    assert small(base, step=1).size == 479_232
    assert uniform(base, step=1).size == 7 * 3072  # layers 6 to 12
    assert uniform(base, step=1, stock=False).size == 12 * 3072


def test_what_cannot_be_stock_is_refused():
    pruned = Shape(layers=3, hidden=16, heads=1, head_size=8, neurons=10)
    with pytest.raises(SubnetError, match="--no-stock"):
        uniform(pruned)
    assert uniform(pruned, stock=False).largest == Subnet.full(pruned)
    with pytest.raises(SubnetError, match="stock=False"):
        uniform(SHAPE, hidden=[8])
    with pytest.raises(SubnetError, match="min_layers"):
        uniform(SHAPE, stock=False, min_layers=1)
