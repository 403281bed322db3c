import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublm.errors import DataError
from sublm.pretraining.pieces import make_pieces, tokenise
from sublm.pretraining.vocabulary import open_portable, portable, vocabulary_of

from . import samples

TOKENIZERS = {"bert": samples.bert, "roberta": samples.roberta, "xlm_roberta": samples.xlm_roberta}


def pieces_of(documents, tokenizer, *, length=12, packing="sentences", rng=None):
    events = [event for sentences in documents for event in [*sentences, None]]
    tokens = tokenise(events, open_portable(portable(tokenizer)))
    pieces = make_pieces(tokens, vocabulary_of(tokenizer), length=length, packing=packing, rng=rng)
    rows = [pieces.ids[a:b].tolist() for a, b in zip(pieces.offsets[:-1], pieces.offsets[1:], strict=True)]
    return tokens, pieces, rows


def encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


texts = st.lists(
    st.lists(
        st.lists(st.sampled_from([*samples.SYLLABLES, "lame", "pirugo", "bababababababababababababa"]), max_size=9).map(
            " ".join
        ),
        max_size=5,
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(
    texts,
    st.sampled_from(sorted(TOKENIZERS)),
    st.sampled_from(["sentences", "stream", "dense"]),
    st.integers(5, 16),
    st.booleans(),
)
def test_no_token_is_lost_invented_or_moved(documents, kind, packing, length, copied):
    tokenizer = TOKENIZERS[kind]()
    vocabulary = vocabulary_of(tokenizer)
    rng = np.random.default_rng(1) if copied else None
    tokens, pieces, rows = pieces_of(documents, tokenizer, length=length, packing=packing, rng=rng)
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert all(row[0] == first and row[-1] == last and 4 <= len(row) <= length for row in rows)
    content = [token for row in rows for token in row[1:-1] if token != vocabulary.separator]
    expected = [token for sentences in documents for text in sentences for token in encode(tokenizer, text)]
    assert len(content) == pieces.tokens == len(expected) - pieces.one_token
    if pieces.one_token:  # these tokens are the only ones missing
        left = iter(expected)
        assert all(token in left for token in content)
    else:
        assert content == expected
    lengths = [len(encode(tokenizer, text)) for sentences in documents for text in sentences]
    assert tokens.empty == lengths.count(0)
    assert pieces.split == sum(n > length - 2 for n in lengths)


def test_documents_share_a_piece_only_behind_a_separator():
    documents = [["ba de", "fi"], ["go ku la"]]
    for kind, make in TOKENIZERS.items():
        tokenizer = make()
        first, second = encode(tokenizer, "ba de") + encode(tokenizer, "fi"), encode(tokenizer, "go ku la")
        cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        rows = pieces_of(documents, tokenizer, length=64)[2]
        assert rows == [[cls, *first, sep], [cls, *second, sep]], kind
        for packing in ("stream", "dense"):
            rows = pieces_of(documents, tokenizer, length=64, packing=packing)[2]
            assert rows == [[cls, *first, sep, *second, sep]], kind


def test_no_piece_begins_or_ends_with_a_separator():
    documents = [["ba de fi"], ["go ku"], ["la me no"], ["pi"], ["ru ba"]]
    for length in range(5, 12):
        for packing in ("stream", "dense"):
            for row in pieces_of(documents, samples.bert(), length=length, packing=packing)[2]:
                assert row[1] != 3
                assert row[-2] != 3


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_words_are_the_tokenizers_and_begin_anew_in_every_piece(kind):
    tokenizer, rng = TOKENIZERS[kind](), random.Random(3)
    documents = [samples.document(rng) for _ in range(20)]
    pieces = pieces_of(documents, tokenizer, length=500)[1]
    for document, start, stop in zip(documents, pieces.offsets[:-1], pieces.offsets[1:], strict=True):
        begins = 1 + sum(len(set(tokenizer(text, add_special_tokens=False).word_ids())) for text in document) + 1
        assert (~pieces.continues[start:stop]).sum() == begins
    assert pieces.continues.any()
    short = pieces_of([["bababababababababababa"]], tokenizer, length=6)[1]
    assert not short.continues[short.offsets[:-1]].any()
    assert not short.continues[short.offsets[:-1] + 1].any()


def test_further_copies_begin_their_pieces_elsewhere():
    rng = random.Random(0)
    documents = [[samples.words(rng, 80)] for _ in range(5)]
    _, plain, rows = pieces_of(documents, samples.bert(), length=32)
    _, copy, others = pieces_of(documents, samples.bert(), length=32, rng=np.random.default_rng([0, 1, 0]))
    assert len(set(map(tuple, rows)) & set(map(tuple, others))) <= 1
    assert plain.tokens + plain.one_token == copy.tokens + copy.one_token


def test_what_reads_like_a_special_token_is_text():
    rows = pieces_of([["ba [SEP] de [MASK]"]], samples.bert(), length=32)[2]
    assert all(token not in (2, 3, 4) for row in rows for token in row[1:-1])


def test_a_length_without_room_is_refused():
    with pytest.raises(DataError, match=r"length=3 leaves no room for two tokens beside the 2 special ones; 4 do"):
        pieces_of([["ba"]], samples.bert(), length=3)
