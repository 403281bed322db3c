import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import DataError
from sublm.tasks.batching import collate, count_batches, evaluation_batches, training_batches
from sublm.tasks.encoding import Encoded

PAD = 9


def encoded_of(lengths, labels=None):
    ids = [[1 + (row + place) % 8 for place in range(length)] for row, length in enumerate(lengths)]
    types = [[1] * length for length in lengths]
    labels = np.arange(len(lengths)) % 2 if labels is None else labels
    return Encoded(ids, labels, features={"token_type_ids": types})


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_has_every_row_once(lengths, batch_size, seed, epoch):
    encoded = encoded_of(lengths)
    batches = list(training_batches(encoded, batch_size, seed=seed, epoch=epoch, pad_token_id=PAD))
    assert len(batches) == count_batches(encoded, batch_size)
    assert sorted(row for batch in batches for row in batch["index"].tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch["labels"]) <= batch_size
        check_padding(encoded, batch)


@given(LENGTHS, st.integers(1, 200))
def test_evaluation_keeps_the_budget_and_rises_in_length(lengths, tokens):
    encoded = encoded_of(lengths)
    batches = list(evaluation_batches(encoded, tokens=tokens, pad_token_id=PAD))
    rows = [row for batch in batches for row in batch["index"].tolist()]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths)
    for batch in batches:
        assert batch["input_ids"].numel() <= tokens or len(batch["index"]) == 1
        check_padding(encoded, batch)


def check_padding(encoded, batch):
    rows = batch["index"].tolist()
    assert batch["input_ids"].shape == (len(rows), max(encoded.lengths[rows]))
    for place, row in enumerate(rows):
        length = encoded.lengths[row]
        assert batch["input_ids"][place, :length].tolist() == encoded.input_ids[row]
        assert (batch["input_ids"][place, length:] == PAD).all()
        assert batch["attention_mask"][place].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        assert batch["token_type_ids"][place].sum() == length
        assert batch["labels"][place] == encoded.labels[row]


def order_of(encoded, seed, epoch, batch_size=4):
    return [b["index"].tolist() for b in training_batches(encoded, batch_size, seed=seed, epoch=epoch, pad_token_id=0)]


def test_order_depends_on_seed_and_epoch_alone():
    encoded = encoded_of([1 + n % 7 for n in range(50)])
    np.random.seed(1)
    first = order_of(encoded, 0, 0)
    np.random.seed(2)
    assert order_of(encoded, 0, 0) == first
    assert order_of(encoded, 1, 0) != first
    assert order_of(encoded, 0, 1) != first
    assert order_of(encoded, 1, 0) != order_of(encoded, 0, 1)


def test_training_pads_little_yet_does_not_go_from_short_to_long():
    lengths = np.random.default_rng(0).integers(5, 100, 2000)
    encoded = encoded_of(lengths.tolist())
    batches = list(training_batches(encoded, 16, seed=0, epoch=0, pad_token_id=0))
    padded = sum(batch["input_ids"].numel() for batch in batches)
    assert padded < 1.1 * lengths.sum()
    widths = [batch["input_ids"].shape[1] for batch in batches]
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.3


def test_label_types():
    index = np.array([0, 1])
    assert collate(encoded_of([2, 3]), index, 0)["labels"].dtype == torch.int64
    scores = collate(encoded_of([2, 3], np.array([0.5, 1.5])), index, 0)["labels"]
    assert scores.dtype == torch.float32
    assert scores.tolist() == [0.5, 1.5]


def test_choices_are_padded_together():
    encoded = Encoded([([1], [2, 3]), ([4, 5, 6], [7])], np.array([0, 1]))
    (batch,) = evaluation_batches(encoded, tokens=100, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[[1, 0, 0], [2, 3, 0]], [[4, 5, 6], [7, 0, 0]]]
    assert batch["attention_mask"].sum(-1).tolist() == [[1, 2], [3, 1]]
    assert len(list(evaluation_batches(encoded, tokens=11, pad_token_id=0))) == 2  # 2 rows x 2 choices x 3 tokens = 12


def test_sizes_must_be_positive():
    encoded = encoded_of([1])
    with pytest.raises(DataError, match="batch_size=0"):
        next(training_batches(encoded, 0, seed=0, epoch=0, pad_token_id=0))
    with pytest.raises(DataError, match="tokens=0"):
        next(evaluation_batches(encoded, tokens=0, pad_token_id=0))
