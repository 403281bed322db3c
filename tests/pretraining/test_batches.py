import math
import random

import numpy as np
import pytest
import torch

from sublm.errors import DataError
from sublm.pretraining import Corpus, Masking, PieceBatches, build_corpus

from . import samples


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """137 rows or so in several shards, of all lengths."""
    rng = random.Random(0)
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text(samples.text_of([samples.document(rng, 3) for _ in range(120)]))
    return build_corpus([folder / "a.txt"], samples.bert(), folder / "out", length=32, shard_mib=0.001)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("whole_words", [False, True])
def test_going_on_at_any_batch_gives_what_would_have_come(corpus, whole_words):
    masking = Masking(whole_words=whole_words)
    batches = PieceBatches(corpus, batch_size=8, masking=masking, seed=3)
    whole = list(batches(1))
    assert len(whole) == len(batches)
    for start in range(len(whole) + 1):
        again = PieceBatches(Corpus.open(corpus.folder), batch_size=8, masking=masking, seed=3)
        rest = list(again.starting_at(1, start))
        assert len(rest) == len(whole) - start
        assert all(map(same, rest, whole[start:]))


def test_going_on_makes_no_earlier_batch(corpus, monkeypatch):
    batches = PieceBatches(corpus, batch_size=8)
    made = []
    monkeypatch.setattr(Corpus, "rows", lambda self, rows, read=Corpus.rows: made.append(rows) or read(self, rows))
    next(batches.starting_at(0, 5))
    assert len(made) == 1


@pytest.mark.parametrize(("world", "batch_size"), [(1, 8), (2, 8), (3, 5), (4, 7), (7, 100)])
def test_processes_get_equally_many_batches_and_every_row_once(corpus, world, batch_size):
    ranks = [PieceBatches(corpus, batch_size=batch_size, rank=rank, world=world) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    rows = [[batch["index"].tolist() for batch in batches(2)] for batches in ranks]
    assert all(rows[rank][number] for rank in range(world) for number in range(len(ranks[0])))
    seen = [row for batches in rows for batch in batches for row in batch]
    assert len(seen) == len(set(seen))
    left_out = len(corpus) - len(seen)
    assert left_out < world
    assert left_out == 0 or len(corpus) % (batch_size * world) < world


def test_all_processes_together_see_what_one_sees(corpus):
    alone = PieceBatches(corpus, batch_size=12, masking=Masking())
    ranks = [PieceBatches(corpus, batch_size=4, masking=Masking(), rank=rank, world=3) for rank in range(3)]
    for number in range(len(corpus) // 12):
        parts = [batches.batch(0, number) for batches in ranks]
        assert torch.cat([part["index"] for part in parts]).tolist() == alone.batch(0, number)["index"].tolist()
        labels = {
            int(i): row[row != -100].tolist() for p in parts for i, row in zip(p["index"], p["labels"], strict=True)
        }
        whole = alone.batch(0, number)
        for index, row in zip(whole["index"], whole["labels"], strict=True):
            assert labels[int(index)] == row[row != -100].tolist()


def test_a_batch_is_what_a_model_takes(corpus):
    batches = PieceBatches(corpus, batch_size=8, masking=Masking(0.3))
    for batch in batches(0):
        assert {name: values.dtype for name, values in batch.items()} == dict.fromkeys(
            ("input_ids", "attention_mask", "labels", "index"), torch.int64
        )
        lengths = batch["attention_mask"].sum(1)
        assert lengths.max() == batch["input_ids"].shape[1]
        originals = corpus.rows(batch["index"].numpy())
        restored = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        for row, length, original in zip(restored, lengths, originals, strict=True):
            assert row[:length].tolist() == original.tolist()
            assert (row[length:] == 0).all()
    plain = PieceBatches(corpus, batch_size=8)
    assert all((batch["labels"] == -100).all() for batch in plain(0))


def test_epochs_differ_in_order_and_in_masks(corpus):
    batches = PieceBatches(corpus, batch_size=len(corpus), masking=Masking())
    first, second = batches.batch(0, 0), batches.batch(1, 0)
    assert first["index"].tolist() != second["index"].tolist()
    order, other = first["index"].argsort(), second["index"].argsort()
    assert torch.equal(first["index"][order], second["index"][other])
    assert not torch.equal(first["labels"][order], second["labels"][other])


def test_rows_keep_their_order_without_shuffling(corpus):
    seen = [int(row) for batch in PieceBatches(corpus, batch_size=9, shuffle=False)(0) for row in batch["index"]]
    assert seen == list(range(len(corpus)))


def test_batches_of_similar_length_need_little_padding(corpus):
    shares = [batch["attention_mask"].float().mean() for batch in PieceBatches(corpus, batch_size=8)(0)]
    unsorted = [
        batch["attention_mask"].float().mean() for batch in PieceBatches(corpus, batch_size=8, shuffle=False)(0)
    ]
    assert np.mean(shares) > 0.9 > np.mean(unsorted)


def test_a_budget_of_tokens_bounds_every_batch(corpus):
    batches = PieceBatches(corpus, tokens=200)
    assert batches.batch_size == 200 // 32
    assert all(batch["input_ids"].numel() <= 200 for batch in batches(0))


def test_sections_are_disjoint_and_keep_their_rows(corpus):
    valid, rest = corpus.section(rows=20), corpus.section(20)
    assert (len(valid), len(rest)) == (20, len(corpus) - 20)
    seen = [
        {int(row) for batch in PieceBatches(part, batch_size=7)(0) for row in batch["index"]} for part in (valid, rest)
    ]
    assert seen == [set(range(20)), set(range(20, len(corpus)))]
    assert len({part.fingerprint for part in (valid, rest, corpus)}) == 3
    sizes = [len(row) for row in corpus.rows(np.arange(len(corpus)))]
    for budget in (100, 500, sum(sizes)):
        some = corpus.section(10, tokens=budget)
        assert sum(sizes[10 : some.stop]) <= budget
        assert some.stop == len(corpus) or sum(sizes[10 : some.stop + 1]) > budget
    assert corpus.lengths(3, 90).tolist() == sizes[3:90]
    with pytest.raises(DataError, match="No row is left"):
        corpus.section(len(corpus))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give either batch_size or tokens"),
        ({"batch_size": 8, "tokens": 100}, "Give either batch_size or tokens"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"tokens": 20}, "tokens=20 of a batch hold no row of 32; give at least 32"),
        ({"batch_size": 1, "rank": 2, "world": 2}, "rank=2 must be at least 0 and below world=2"),
        ({"batch_size": 1, "world": 10**6}, "too small for 1000000 processes"),
        ({"batch_size": 1, "seed": -1}, "seed=-1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(corpus, arguments, message):
    with pytest.raises(DataError, match=message):
        PieceBatches(corpus, **arguments)


def test_the_identity_tells_batches_apart(corpus):
    base = {"batch_size": 8, "masking": Masking(), "seed": 0}
    identities = [PieceBatches(corpus, **base).identity()] + [
        PieceBatches(corpus, **{**base, **change}).identity()
        for change in ({"batch_size": 4}, {"masking": Masking(0.2)}, {"masking": None}, {"seed": 1})
    ]
    assert all(one != other for n, one in enumerate(identities) for other in identities[:n])
    assert PieceBatches(corpus, **base).identity() == identities[0]
    assert math.ceil(len(corpus) / 8) == len(PieceBatches(corpus, **base))
