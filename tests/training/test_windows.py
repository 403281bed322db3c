"""Windows: every batch of an epoch once, in order, wherever a training begins."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import TrainingError
from sublm.training.windows import Windows


class Anywhere:
    """Batches that can begin anywhere; remembers what it made."""

    def __init__(self, number):
        self.number, self.made = number, []

    def __call__(self, epoch):
        return self.starting_at(epoch, 0)

    def starting_at(self, epoch, batch):
        for n in range(batch, self.number):
            self.made.append(n)
            yield {"index": torch.tensor([epoch, n])}


def numbers(windows, epoch, **options):
    return [[int(batch["index"][1]) for batch in window] for window in windows.of_epoch(epoch, **options)]


@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 40))
def test_what_is_skipped_is_the_beginning_of_the_same_windows(number, accumulation, skip):
    def replayed(epoch):
        return Anywhere(number)(epoch)

    windows = Windows(Anywhere(number), number, accumulation)
    whole = numbers(windows, 3)
    skip %= len(whole)
    assert len(windows) == len(whole)
    assert [n for window in whole for n in window] == list(range(number))
    assert all(len(window) == accumulation for window in whole[:-1])
    assert numbers(windows, 3, skip=skip) == whole[skip:]
    assert numbers(Windows(replayed, number, accumulation), 3, skip=skip) == whole[skip:]


def test_batches_that_can_begin_anywhere_are_not_made_to_be_skipped():
    batches = Anywhere(6)
    assert numbers(Windows(batches, 6, 2), 0, skip=2) == [[4, 5]]
    assert batches.made == [4, 5]


def test_too_few_batches_and_none_are_told():
    with pytest.raises(TrainingError, match=r"batches\(1\) gave 5 batches, but steps_per_epoch says 8"):
        numbers(Windows(Anywhere(5), 8, 2), 1)
    with pytest.raises(TrainingError, match="steps_per_epoch must be at least 1"):
        Windows(Anywhere(5), 0, 2)
