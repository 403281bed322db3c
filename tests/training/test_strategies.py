from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.architectures.shape import Shape
from sublm.errors import TrainingError
from sublm.spaces.subnet import Subnet
from sublm.training import (
    STRATEGIES,
    Draw,
    fixed,
    guided,
    kd,
    one_shot,
    random_linear,
    random_subnets,
    sandwich,
    standard,
)
from sublm.training.strategies import ramp

SHAPE = Shape(layers=2, hidden=8, heads=2, head_size=4, neurons=16)
LARGEST = Subnet.full(SHAPE)
SMALLEST = Subnet.uniform(SHAPE, layers=1, heads=1, neurons=1)


class Space:
    largest, smallest = LARGEST, SMALLEST

    def sample(self, rng: random.Random) -> Subnet:
        return Subnet.uniform(SHAPE, neurons=rng.randint(2, 15))


def drawn(strategy, step=0, steps=100, seed=0):
    return list(strategy.draws(step, steps, random.Random(seed)))


def test_standard_trains_the_largest_on_labels() -> None:
    assert drawn(standard(Space()), step=50) == [Draw(LARGEST, "labels")]


def test_random_trains_as_many_as_asked_and_never_needs_the_largest() -> None:
    draws = drawn(random_subnets(Space(), random_nets=3))
    assert len(draws) == 3
    assert len({d.subnet for d in draws}) > 1
    assert all(d.teach == "labels" and d.subnet not in (LARGEST, SMALLEST) for d in draws)


def test_sandwich_trains_both_ends_and_two_between_on_labels() -> None:
    draws = drawn(sandwich(Space()))
    assert [d.subnet for d in draws[:2]] == [LARGEST, SMALLEST]
    assert len(draws) == 4
    assert {d.teach for d in draws} == {"labels"}


def test_one_shot_lets_all_others_learn_in_place_from_the_first() -> None:
    draws = drawn(one_shot(Space()))
    assert draws[0] == Draw(LARGEST, "labels")
    assert draws[1] == Draw(SMALLEST, "inplace")
    assert [d.teach for d in draws[2:]] == ["inplace", "inplace"]


@pytest.mark.parametrize(("make", "late"), [(random_linear, ["labels"]), (kd, ["none", "inplace", "inplace"])])
def test_a_ramp_begins_with_the_largest_and_ends_with_random_ones(make, late) -> None:
    strategy = make(Space())
    for seed in range(20):
        assert drawn(strategy, step=0, seed=seed) == [Draw(LARGEST, "labels")]
        assert [d.teach for d in drawn(strategy, step=99, seed=seed)] == late
    middle = sum(drawn(strategy, step=50, seed=seed) != [Draw(LARGEST, "labels")] for seed in range(400))
    assert 150 < middle < 250


def test_in_kd_the_largest_only_looks_on() -> None:
    assert drawn(kd(Space()), step=99)[0] == Draw(LARGEST, "none")


@given(steps=st.integers(2, 1000), data=st.data())
def test_the_ramp_is_linear_from_zero_to_one(steps, data) -> None:
    step = data.draw(st.integers(0, steps - 2))
    assert ramp(0, steps) == 0
    assert ramp(steps - 1, steps) == 1
    assert ramp(step + 1, steps) - ramp(step, steps) == pytest.approx(1 / (steps - 1))


def test_the_ramp_of_a_single_step_trains_the_largest() -> None:
    assert ramp(0, 1) == 0


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_draws_depend_on_the_generator_alone(name) -> None:
    one, other = STRATEGIES[name](Space()), STRATEGIES[name](Space())
    first = [drawn(one, step=step, seed=step) for step in range(100)]
    assert [drawn(other, step=step, seed=step) for step in reversed(range(100))] == first[::-1]


def test_another_sampler_is_used() -> None:
    only = Subnet.uniform(SHAPE, neurons=7)
    assert drawn(random_subnets(Space(), sampler=lambda rng: only)) == [Draw(only, "labels")]


def test_an_outside_teacher_teaches_all_of_sandwich_and_the_largest_of_one_shot() -> None:
    assert {d.teach for d in drawn(sandwich(Space(), random_nets=1, teach="teacher"))} == {"teacher"}
    assert [d.teach for d in drawn(one_shot(Space(), random_nets=1, teach="teacher"))] == [
        "teacher",
        "inplace",
        "inplace",
    ]


def test_guided_leaves_the_largest_alone_if_there_is_a_teacher() -> None:
    draws = drawn(guided(Space()))
    assert draws[0] == Draw(SMALLEST, "teacher")
    assert len(draws) == 3
    assert all(d.teach == "teacher" and d.subnet != LARGEST for d in draws)
    assert drawn(guided(Space(), teach="labels")) == drawn(one_shot(Space()))


def test_fixed_trains_one_subnet_or_the_plain_model() -> None:
    assert drawn(fixed()) == [Draw(None, "labels")]
    assert drawn(fixed(SMALLEST, teach="teacher"), step=7) == [Draw(SMALLEST, "teacher")]


def test_aliases_are_the_same_strategies() -> None:
    assert STRATEGIES["full"] is STRATEGIES["one_shot"]
    assert STRATEGIES["linear_random"] is STRATEGIES["random_linear"]


def test_descriptions_tell_strategies_apart() -> None:
    descriptions = [
        STRATEGIES[name](Space()).describe() for name in ("standard", "random", "random_linear", "sandwich", "kd")
    ]
    descriptions += [one_shot(Space()).describe(), one_shot(Space(), random_nets=3).describe(), fixed().describe()]
    assert len({str(sorted(d.items())) for d in descriptions}) == len(descriptions)


@pytest.mark.parametrize(("arguments", "words"), [({"random_nets": 0}, "random_nets"), ({"teach": "inplace"}, "teach")])
def test_nonsense_is_refused(arguments, words) -> None:
    with pytest.raises(TrainingError, match=words):
        one_shot(Space(), **arguments)
    with pytest.raises(TrainingError, match="teach"):
        fixed(teach="inplace")
