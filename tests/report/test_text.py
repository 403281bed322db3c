import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.report.text import (
    NARROW,
    change_text,
    count_text,
    duration_text,
    milliseconds_text,
    ratio,
    score_text,
    share_text,
    three_digits,
    times_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (22_713_985, "22.7 M"),
        (999, "999"),
        (999_700, "1.00 M"),
        (999_400, "999 k"),
        (1.1e10, "11.0 G"),
        (0, "0"),
        (None, "–"),
    ],
)
def test_counts_have_three_digits_and_a_prefix(value, text):
    assert count_text(value).replace(NARROW, " ") == text


@given(st.floats(1, 1e14))
def test_a_count_can_be_read_back_to_half_a_percent(value):
    number, _, prefix = count_text(value).partition(NARROW)
    read = float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert read == pytest.approx(value, rel=0.005, abs=0.5)


@pytest.mark.parametrize(("value", "text"), [(1.785, "1.78"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")])
def test_three_digits(value, text):
    assert three_digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(6.24, "6.2 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (3725, "1 h 02 min"), (None, "–")],
)
def test_durations(seconds, text):
    assert duration_text(seconds).replace(NARROW, " ") == text


def test_scores_that_are_no_number_say_so_and_spoil_nothing():
    assert score_text(math.nan) == "not a number"
    assert score_text(None) == change_text(math.nan, 0.5) == change_text(0.5, None) == "–"
    assert ratio(math.nan, 1.0) is ratio(1.0, 0.0) is ratio(None, 1.0) is None
    assert share_text(None) == times_text(None) == milliseconds_text(math.nan) == "–"


def test_changes_carry_their_sign():
    assert change_text(0.8731, 0.8653) == "+0.008"
    assert change_text(0.85, 0.86) == "−0.010"
    assert change_text(0.85, 0.85004) == "±0.000"
