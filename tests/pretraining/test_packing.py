import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sublm.pretraining.packing import first_room, pack_dense, pack_sentences

sentences = st.lists(st.integers(1, 40), max_size=30)
capacities = st.integers(2, 20)


@given(sentences, capacities, st.none() | st.integers(1, 20))
def test_pieces_hold_whole_sentences_and_as_many_as_fit(lengths, capacity, first):
    first = None if first is None else min(first, capacity)
    ends = pack_sentences(lengths, capacity, first)
    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == sum(lengths)
    pieces = list(zip([0, *ends], ends, strict=False))
    assert all(stop - start <= capacity for start, stop in pieces)
    at = 0
    for length in lengths:
        cuts = [end for end in ends if at < end < at + length]
        if length <= capacity:
            assert not cuts
        at += length
    limits = dict(zip(np.cumsum([0, *lengths[:-1]]).tolist(), lengths, strict=True)) if lengths else {}
    for start, stop in pieces[1 if first else 0 :]:
        if stop in limits:  # the next sentence begins there: it did not fit
            assert stop - start + limits[stop] > capacity


@given(st.integers(0, 200), capacities, st.none() | st.integers(1, 20))
def test_dense_pieces_are_full_but_the_first_and_the_last(total, capacity, first):
    first = None if first is None else min(first, capacity)
    ends = pack_dense(total, capacity, first)
    sizes = np.diff([0, *ends]).tolist()
    assert sum(sizes) == total
    assert all(size == capacity for size in sizes[1:-1])
    assert all(0 < size <= capacity for size in sizes)
    if len(sizes) > 1:
        assert sizes[0] == (first or capacity)


@given(st.integers(0, 1000), st.integers(2, 510))
def test_the_first_piece_of_a_copy_has_room(seed, capacity):
    found = first_room(np.random.default_rng(seed), capacity)
    assert 2 <= found <= capacity
    assert found < capacity or capacity == 2
