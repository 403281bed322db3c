from hypothesis import given
from hypothesis import strategies as st

from sublm.tasks.duplicates import jaccard, normalise, row_key, shingles, without_near_duplicates

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join), max_size=25)


def test_case_spaces_and_punctuation_do_not_count():
    assert normalise("  Hello,   WORLD! ") == normalise("hello world") == "hello world"


def test_texts_without_words_stay_apart():
    assert normalise(":-)") != normalise(":-(")


def test_a_pair_is_the_same_either_way_round():
    assert row_key(("One.", "two")) == row_key(("Two", "one"))
    assert row_key(("one", "one")) != row_key(("one",))


def test_one_changed_word_at_the_end_is_a_near_duplicate():
    texts = ["Return true if the object is a module.", "Return true if the object is a class.", "Close the socket."]
    assert without_near_duplicates(texts) == [0, 2]


@given(TEXTS, st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_prefix_filter_finds_what_comparing_all_pairs_finds(texts, threshold):
    sets = [shingles(text) for text in texts]
    expected: list[int] = []
    for row, one in enumerate(sets):
        if all(jaccard(one, sets[other]) < threshold for other in expected):
            expected.append(row)
    assert without_near_duplicates(texts, threshold) == expected
