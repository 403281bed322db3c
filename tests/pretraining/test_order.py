import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sublm.pretraining.order import EpochOrder, by_length


def order_of(counts, *, seed=0, epoch=0, batch=0, window=3, shuffle=True):
    first = np.cumsum([5, *counts[:-1]])
    lengths = [np.random.default_rng([7, n]).integers(2, 60, count) for n, count in enumerate(counts)]
    return EpochOrder(
        first,
        np.array(counts),
        seed=seed,
        epoch=epoch,
        batch=batch,
        lengths=lengths.__getitem__,
        window=window,
        shuffle=shuffle,
    )


shards = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(shards, st.integers(0, 99), st.integers(0, 9), st.integers(0, 7), st.booleans())
def test_every_row_stands_at_one_position_wherever_one_begins_to_read(counts, seed, epoch, batch, shuffle):
    total = sum(counts)
    whole = order_of(counts, seed=seed, epoch=epoch, batch=batch, shuffle=shuffle).rows(0, total)
    assert sorted(whole.tolist()) == list(range(5, 5 + total))
    if not shuffle:
        assert whole.tolist() == sorted(whole.tolist())
    order = order_of(counts, seed=seed, epoch=epoch, batch=batch, shuffle=shuffle)
    assert len(order) == total
    for start in (total // 2, 0, total - 1, total // 3):
        assert order.rows(start, total).tolist() == whole[start:].tolist()
        assert order.rows(start, min(start + 3, total)).tolist() == whole[start : start + 3].tolist()


def test_epochs_and_seeds_have_their_own_order():
    counts = [20] * 10
    orders = {tuple(order_of(counts, seed=s, epoch=e).rows(0, 200).tolist()) for s in range(3) for e in range(3)}
    assert len(orders) == 9


def test_neighbours_in_the_text_come_apart():
    rows = order_of([100] * 12, window=4).rows(0, 1200)
    assert np.mean(np.abs(np.diff(rows)) == 1) < 0.02


@settings(max_examples=50)
@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 8), st.integers(0, 99))
def test_batches_by_length_hold_the_same_rows(size, batch, before, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 100, size)
    order = rng.permutation(size)
    found = by_length(order, lengths, batch, before % batch, rng)
    assert sorted(found.tolist()) == list(range(size))


def test_batches_by_length_need_little_padding():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 128, 1600)

    def padded(order):
        return lengths[order].reshape(-1, 16).max(1).sum() * 16

    order = rng.permutation(1600)
    assert padded(by_length(order, lengths, 16, 0, rng)) < 1.1 * lengths.sum() < 1.7 * lengths.sum() < padded(order)
