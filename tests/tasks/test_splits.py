import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sublm.tasks.duplicates import row_key
from sublm.tasks.splits import draw, split_off
from sublm.tasks.task import Examples


def examples_of(numbers, classes=2):
    return Examples({"text": [f"text {n}" for n in numbers]}, np.array([n % classes for n in numbers], dtype=np.int64))


ROWS = st.lists(st.integers(0, 30), min_size=2, max_size=60)


@given(ROWS, st.floats(0.05, 0.9), st.integers(0, 5), st.booleans())
def test_every_row_is_on_one_side_and_no_text_on_both(numbers, share, seed, stratified):
    examples = examples_of(numbers)
    rest, held = split_off(examples, share, seed, stratified=stratified)
    assert sorted([*rest, *held]) == list(range(len(examples)))
    keys = [row_key(texts) for texts in examples.rows()]
    assert not {keys[row] for row in rest} & {keys[row] for row in held}


def test_share_and_classes_are_kept():
    examples = Examples({"text": [f"text {n}" for n in range(1000)]}, np.array([0] * 900 + [1] * 100))
    rest, held = split_off(examples, 0.15, 0, stratified=True)
    assert len(held) == 150
    assert examples.labels[held].sum() == 15
    assert len(rest) == 850


def test_rare_class_is_on_both_sides_if_it_has_two_texts_and_in_the_rest_if_one():
    examples = Examples({"text": [f"text {n}" for n in range(43)]}, np.array([0] * 40 + [1, 1, 2]))
    rest, held = split_off(examples, 0.1, 0, stratified=True)
    assert set(examples.labels[rest]) == {0, 1, 2}
    assert set(examples.labels[held]) == {0, 1}


def test_seed_decides():
    examples = examples_of(range(100))
    same = [split_off(examples, 0.2, 3, stratified=True)[1].tolist() for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != split_off(examples, 0.2, 4, stratified=True)[1].tolist()


@given(ROWS, st.integers(1, 70), st.integers(0, 5), st.booleans())
def test_draw_gives_exactly_so_many_rows(numbers, count, seed, stratified):
    examples = examples_of(numbers, classes=5)
    rows = draw(examples, count, seed, stratified=stratified)
    assert len(rows) == len(set(rows.tolist())) == min(count, len(examples))
    if stratified and count >= 5:
        assert set(examples.labels[rows]) == set(examples.labels)


def test_stratified_draw_keeps_shares():
    examples = Examples({"text": ["x"] * 1000}, np.array([0] * 700 + [1] * 300))
    assert examples.labels[draw(examples, 100, 0, stratified=True)].sum() == 30
