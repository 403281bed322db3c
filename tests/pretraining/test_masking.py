import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublm.errors import DataError
from sublm.pretraining.masking import Masker, Masking
from sublm.pretraining.vocabulary import vocabulary_of

from . import samples

VOCABULARY = vocabulary_of(samples.bert())


def batch_of(seed, rows, width):
    """Rows of random length with special tokens around and some inside, and random words."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, width + 1, rows)
    filled = np.arange(width) < lengths[:, None]
    ids = np.where(filled, rng.integers(1, VOCABULARY.size, (rows, width)), VOCABULARY.pad)
    ids[:, 0] = 2
    ids[np.arange(rows), lengths - 1] = 3
    continues = filled & (rng.random((rows, width)) < 0.4) & ~np.isin(ids, VOCABULARY.special)
    continues[:, :2] = False
    return ids, filled, continues


batches = st.tuples(st.integers(0, 10**6), st.integers(1, 6), st.integers(3, 40))
shares = st.floats(0.0, 0.99)


@given(batches, shares, st.booleans(), st.integers(0, 2**40), st.integers(0, 50))
def test_at_most_the_share_is_chosen_and_nothing_special(batch, share, whole_words, seed, epoch):
    ids, filled, continues = batch_of(*batch)
    masker = Masker.of(Masking(share, whole_words=whole_words), VOCABULARY)
    masked, labels = masker(ids, filled, np.arange(len(ids)), seed=seed, epoch=epoch, continues=continues)
    chosen = labels != -100
    candidates = filled & ~np.isin(ids, VOCABULARY.special)
    assert not (chosen & ~candidates).any()
    limit = np.floor(share * candidates.sum(1) + 1e-9)
    assert (chosen.sum(1) <= limit).all() if whole_words else (chosen.sum(1) == limit).all()
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    changed = masked[chosen & (masked != ids)]
    assert not np.isin(changed, [token for token in VOCABULARY.special if token != VOCABULARY.mask]).any()


@given(batches, st.floats(0.05, 0.6))
def test_words_are_chosen_whole_and_as_many_as_fit(batch, share):
    ids, filled, continues = batch_of(*batch)
    masker = Masker.of(Masking(share, whole_words=True), VOCABULARY)
    _, labels = masker(ids, filled, np.arange(len(ids)), seed=0, epoch=0, continues=continues)
    chosen = labels != -100
    for row in range(len(ids)):
        words, places = [], np.flatnonzero(filled[row] & ~np.isin(ids[row], VOCABULARY.special))
        for place in places:
            if continues[row, place] and place - 1 in places:
                words[-1].append(place)
            else:
                words.append([place])
        states = [chosen[row, word] for word in words]
        assert all(state.all() or not state.any() for state in states)
        left = int(share * len(places) + 1e-9) - chosen[row].sum()
        assert all(len(word) > left for word, state in zip(words, states, strict=True) if not state.any())


@settings(max_examples=30)
@given(batches, st.booleans(), st.integers(0, 20))
def test_a_row_is_masked_alike_in_any_batch_and_padding(batch, whole_words, wider):
    ids, filled, continues = batch_of(*batch)
    rows = np.arange(len(ids)) * 7 + 3
    masker = Masker.of(Masking(0.3, whole_words=whole_words), VOCABULARY)
    masked, labels = masker(ids, filled, rows, seed=5, epoch=2, continues=continues)
    order = np.random.default_rng(0).permutation(len(ids))
    pad = ((0, 0), (0, wider))
    again = masker(
        np.pad(ids[order], pad, constant_values=VOCABULARY.pad),
        np.pad(filled[order], pad),
        rows[order],
        seed=5,
        epoch=2,
        continues=np.pad(continues[order], pad),
    )
    width = ids.shape[1]
    assert (again[0][:, :width] == masked[order]).all()
    assert (again[1][:, :width] == labels[order]).all()


def test_eight_tenths_become_the_mask_one_another_token_and_one_stays():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, VOCABULARY.size, (400, 128))
    filled = np.ones_like(ids, bool)
    masked, labels = Masker.of(Masking(), VOCABULARY)(ids, filled, np.arange(400), seed=0, epoch=0)
    chosen = labels != -100
    assert (chosen.sum(1) == 19).all()  # 15 % of 128, rounded down
    after, before = masked[chosen], labels[chosen]
    assert np.mean(after == VOCABULARY.mask) == pytest.approx(0.8, abs=0.02)
    assert np.mean(after == before) == pytest.approx(0.1 + 0.1 / (VOCABULARY.size - 5), abs=0.02)
    places = chosen.mean(0)  # no place is preferred
    assert places.min() > 0.06
    assert places.max() < 0.25
    drawn = np.bincount(after[(after != before) & (after != VOCABULARY.mask)], minlength=VOCABULARY.size)
    assert (drawn[5:] > 0).all()  # every ordinary token can be drawn


def test_other_tokens_are_masked_in_other_epochs_seeds_and_rows():
    ids = np.full((2, 64), 7)
    masker = Masker.of(Masking(), VOCABULARY)
    filled = np.ones_like(ids, bool)
    found = [
        tuple(row.tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))
        for row in masker(ids, filled, np.array([0, 1]), seed=seed, epoch=epoch)[1] != -100
    ]
    assert len(set(found)) == 8


def test_shares_and_tokenizers_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"share=1.5"):
        Masking(1.5)
    with pytest.raises(DataError, match="add up to 1"):
        Masking(masked=0.8, random=0.3)
    without = vocabulary_of(samples.bert()).to_dict() | {"mask": None}
    with pytest.raises(DataError, match="no mask token"):
        Masker.of(Masking(), type(VOCABULARY).from_dict(without))
