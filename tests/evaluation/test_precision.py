import math

import pytest

from sublm.evaluation import compare_precisions


def test_equal_orders_keep_the_cheap_precision():
    check = compare_precisions([0.801, 0.702, 0.6], [0.8, 0.7, 0.6], 10_000)
    assert check.kept
    assert check.tau == 1
    assert check.largest == pytest.approx(0.002)
    assert "ranks sub-networks as fp32 does" in check.in_words("bf16")


@pytest.mark.parametrize("cheap", [[0.69, 0.7, 0.6], [0.85, 0.7, 0.6], [math.nan, 0.7, 0.6]])
def test_another_order_a_large_change_and_a_lost_score_do_not(cheap):
    check = compare_precisions(cheap, [0.705, 0.7, 0.6], 10_000)
    assert not check.kept
    assert "evaluates in fp32" in check.in_words("bf16")


def test_an_order_that_does_not_matter_is_not_kept():
    assert compare_precisions([0.7001, 0.7002], [0.7002, 0.7001], 10_000).kept
    assert compare_precisions([0.71, 0.70], [0.70, 0.71], 100).kept  # one row of a hundred
    assert compare_precisions([math.nan, 0.7], [math.nan, 0.7], 100).kept
    assert compare_precisions([], [], 1).tau == 1
