"""Cutting weights: prefixes are views, everything equals plain indexing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sublm.supernet.selection import Grid, select, select_heads, take


def kept_units(total: int):
    return st.integers(1, total) | st.sets(st.integers(0, total - 1), min_size=1).map(lambda s: tuple(sorted(s)))


def spelt(kept):
    return list(range(kept)) if isinstance(kept, int) else list(kept)


@given(kept_units(9), st.integers(0, 2))
def test_take_equals_indexing_on_any_axis(kept, axis):
    weight = torch.randn(9, 9, 9)
    found = take(weight, axis, select(kept, 9))
    assert torch.equal(found, weight.index_select(axis, torch.tensor(spelt(kept))))


@given(kept_units(4), kept_units(6))
def test_heads_and_head_sizes_equal_indexing(heads, size):
    weight = torch.randn(24, 5)
    selection = select_heads(heads, size, 4, 6)
    wanted = torch.cat([weight[head * 6 + torch.tensor(spelt(size))] for head in spelt(heads)])
    assert torch.equal(take(weight, 0, selection), wanted)
    assert torch.equal(take(weight.T, 1, selection), wanted.T)
    assert torch.equal(take(weight[:, 0], 0, selection), wanted[:, 0])
    if selection is not None and not isinstance(selection, int):
        assert len(selection) == len(wanted)


@pytest.mark.parametrize(
    ("selection", "kind"),
    [
        (select(9, 9), type(None)),
        (select(4, 9), int),
        (select((1, 3), 9), torch.Tensor),
        (select_heads(4, 6, 4, 6), type(None)),
        (select_heads(2, 6, 4, 6), int),
        (select_heads((1, 3), 6, 4, 6), torch.Tensor),
        (select_heads(4, 3, 4, 6), Grid),
        (select_heads((0, 3), 3, 4, 6), torch.Tensor),
    ],
)
def test_selections_are_as_cheap_as_they_can_be(selection, kind):
    assert isinstance(selection, kind)


def test_everything_and_prefixes_share_memory():
    weight = torch.randn(8, 8)
    assert take(weight, 0, None) is weight
    cut = take(take(weight, 0, 3), 1, 5)
    assert cut.shape == (3, 5)
    assert cut.data_ptr() == weight.data_ptr()
    cut.fill_(1.0)
    assert weight[:3, :5].eq(1).all()


@given(kept_units(4), kept_units(6))
def test_gradients_reach_exactly_what_was_taken(heads, size):
    weight = torch.randn(24, 3, requires_grad=True)
    selection = select_heads(heads, size, 4, 6)
    take(weight, 0, selection).sum().backward()
    rows = [head * 6 + dim for head in spelt(heads) for dim in spelt(size)]
    wanted = torch.zeros(24, 3)
    wanted[rows] = 1
    assert torch.equal(weight.grad, wanted)
