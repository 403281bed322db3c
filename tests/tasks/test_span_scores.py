"""EM and F1 against a second computation, written from the definition in another way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.tasks.span_scores import (
    answer_scores,
    best_threshold,
    normalise_answer,
    references_of,
    score_predictions,
    span_metrics,
)

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def words_by_hand(text):
    """Character by character: lower, drop punctuation, split, drop articles at word boundaries."""
    kept = "".join(character for character in text.lower() if character not in PUNCTUATION)
    words, word = [], ""
    for character in [*kept, " "]:
        if character.isalnum() or character == "_":
            word += character
            continue
        words += ["" if word in ("a", "an", "the") else word, character]
        word = ""
    return "".join(piece or " " for piece in words).split()


def scores_by_hand(prediction, answers, no_answer):
    guess = words_by_hand(prediction)
    accepted = [words_by_hand(answer) for answer in answers]
    if no_answer:
        accepted = [words for words in accepted if words] or [[]]
    best_f1 = best_em = 0.0
    for words in accepted:
        best_em = max(best_em, float(words == guess))
        if no_answer and (not words or not guess):
            best_f1 = max(best_f1, float(words == guess))
            continue
        left, common = list(words), 0
        for word in guess:
            if word in left:
                left.remove(word)
                common += 1
        if common:
            best_f1 = max(best_f1, 2 * common / (len(words) + len(guess)))
    return best_f1, best_em


@pytest.mark.parametrize(
    ("prediction", "answers", "no_answer", "f1", "em"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], False, 1.0, 1.0),
        ("a  tower\tin Paris", ["tower"], False, 0.5, 0.0),
        ("tower tower", ["tower"], False, 2 / 3, 0.0),
        ("U.S.A.", ["USA"], False, 1.0, 1.0),
        ("U.S. army", ["US Army", "army"], False, 1.0, 1.0),
        ("theatre", ["the atre"], False, 0.0, 0.0),
        ("well-known", ["wellknown"], False, 1.0, 1.0),
        ("the", ["the"], False, 0.0, 1.0),  # SQuAD 1.1: no word is left to share
        ("the", ["the"], True, 1.0, 1.0),  # 2.0: that reference does not count, and nothing was said
        ("", [], True, 1.0, 1.0),
        ("x", [], True, 0.0, 0.0),
        ("", ["x"], True, 0.0, 0.0),
        ("", ["x"], False, 0.0, 0.0),
        ("caf\u00e9", ["cafe"], False, 0.0, 0.0),
        ("\u2018quoted\u2019", ["quoted"], False, 0.0, 0.0),  # only ASCII punctuation is dropped
        ("\u5317\u4eac", ["\u5317\u4eac"], False, 1.0, 1.0),
        ("one two", ["two three", "one two four"], False, 0.8, 0.0),
    ],
)
def test_hand_made_cases(prediction, answers, no_answer, f1, em):
    found = answer_scores(prediction, references_of(answers, no_answer=no_answer), no_answer=no_answer)
    assert found == pytest.approx((f1, em))
    assert scores_by_hand(prediction, answers, no_answer) == pytest.approx((f1, em))


WORDS = [
    "the",
    "a",
    "an",
    "The",
    "A.",
    "cat",
    "Cat!",
    "dog-end",
    "dog;",
    "b",
    "'a'",
    "a-b",
    "(the)",
    "\u4eac",
    "_",
    "an_",
]
TEXTS = st.lists(st.sampled_from([*WORDS, "e\u0301"]), max_size=5).map(" ".join)


@given(TEXTS, st.lists(TEXTS, max_size=3), st.booleans())
def test_a_second_computation_agrees(prediction, answers, no_answer):
    found = answer_scores(prediction, references_of(answers, no_answer=no_answer), no_answer=no_answer)
    assert found == pytest.approx(scores_by_hand(prediction, answers, no_answer))


def test_normalised_once_is_normalised():
    assert normalise_answer("  The  U.S.' An-thology, a ") == "us anthology"


def test_means_over_all_and_over_parts():
    answers = {"1": ["red cat"], "2": [], "3": ["dog"], "4": []}
    found = score_predictions({"1": "red dog", "2": "", "4": "x"}, answers, no_answer=True)
    assert found == pytest.approx(
        {
            "f1": (0.5 + 1 + 0 + 0) / 4,
            "em": 0.25,
            "has_answer_f1": 0.25,
            "has_answer_em": 0.0,
            "no_answer_f1": 0.5,
            "no_answer_em": 0.5,
        }
    )
    answered = {name: texts for name, texts in answers.items() if texts}
    assert score_predictions({"3": "Dog."}, answered) == {"f1": 0.5, "em": 0.5}


def test_a_part_without_questions_has_no_score():
    found = span_metrics(["x"], [references_of(["x"], no_answer=True)], no_answer=True)
    assert math.isnan(found["no_answer_f1"])
    assert found["has_answer_f1"] == 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 2.0])),
        min_size=1,
        max_size=12,
    )
)
def test_no_other_threshold_is_better(questions):
    f1 = np.array([score if answerable else 0.0 for score, answerable, _ in questions])
    answerable = np.array([known for _, known, _ in questions])
    odds = np.array([value for *_, value in questions])

    def mean(threshold):
        return np.where(odds > threshold, ~answerable, f1).mean()

    best = best_threshold(f1, answerable, odds)
    tried = [best, -1e9, 1e9, *odds, *(odds + 1e-3), *(odds - 1e-3)]
    assert mean(best) == pytest.approx(max(mean(threshold) for threshold in tried))
    assert math.isfinite(best)
