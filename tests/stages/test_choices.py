import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import TargetError
from sublm.search import Constraint, Evaluation
from sublm.spaces import Subnet
from sublm.stages.models import Point, choose, choose_sizes, spread
from sublm.stages.results import decide


def evaluation(number, score, macs):
    return Evaluation(number, Subnet((number,), (1,), 8, 2), {}, score, {}, {"macs": macs})


def point(name, search, validation, macs, latency=None):
    return Point(
        name,
        Subnet((1,), (1,), 8, 2),
        Path(name),
        False,
        search,
        search,
        {},
        {"accuracy": validation},
        0.0,
        {"minimum": latency} if latency else None,
        costs={"macs": macs},
    )


def work(*target):
    return SimpleNamespace(metric="accuracy", settings=SimpleNamespace(target=target))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10**6)), min_size=1, max_size=30),
    st.integers(1, 12),
)
def test_chosen_models_are_distinct_members_of_the_front_with_its_ends(rows, number):
    front = [evaluation(i, score, macs) for i, (score, macs) in enumerate(sorted(rows, key=lambda row: row[1]))]
    chosen = choose(front, "macs", number)
    assert len(chosen) == min(number, len(front))
    assert len({e.subnet for e in chosen}) == len(chosen)
    assert all(e in front for e in chosen)
    assert [e.costs["macs"] for e in chosen] == sorted(e.costs["macs"] for e in chosen)
    best = max(e.score for e in front)
    assert max(e.score for e in chosen) == best


def test_a_nan_score_is_never_chosen():
    front = [evaluation(1, 0.5, 10), evaluation(2, math.nan, 20)]
    assert [e.number for e in choose(front, "macs", 2)] == [1]


def test_a_size_takes_the_best_that_comes_near_it_from_below():
    found = [evaluation(1, 0.9, 20), evaluation(2, 0.8, 47), evaluation(3, 0.7, 50), evaluation(4, 0.99, 60)]
    assert [e.number for e in choose_sizes(found, 100, (0.5,))] == [2]
    assert [e.number for e in choose_sizes(found, 100, (0.5, 0.3))] == [1, 2]
    with pytest.raises(TargetError, match=r"smallest has 20\.0%"):
        choose_sizes(found, 100, (0.1,))


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=20), st.integers(1, 12))
def test_targets_are_spread_from_the_cheapest_to_the_dearest(costs, number):
    targets = spread(costs, number)
    assert targets == sorted(targets)
    assert targets[-1] == pytest.approx(max(costs))
    assert number == 1 or min(costs) == max(costs) or targets[0] == pytest.approx(min(costs))


def test_the_decision_looks_at_the_search_split_only():
    small_lucky = point("small", search=0.80, validation=0.99, macs=10)
    large = point("large", search=0.89, validation=0.50, macs=90)
    chosen, why = decide(work(), [small_lucky, large], (), teacher_search=0.9)
    assert chosen is not None
    assert chosen.name == "large"
    assert "99%" in why or "best" in why


def test_the_smallest_that_keeps_the_score_is_taken():
    points = [point("a", 0.85, 0, 10), point("b", 0.899, 0, 50), point("c", 0.9, 0, 90)]
    assert decide(work(), points, (), teacher_search=0.9)[0].name == "b"


def test_a_promise_that_the_measurement_breaks_is_said():
    points = [point("a", 0.8, 0, 10, latency=5.0), point("b", 0.9, 0, 50, latency=9.0)]
    met = decide(work("latency<=8ms"), points, (Constraint("latency", 8.0),), None)
    assert met[0].name == "a"
    broken = decide(work("latency<=4ms"), points, (Constraint("latency", 4.0),), None)
    assert broken[0].name == "a"
    assert "None meets latency<=4ms when measured" in broken[1]


def test_without_any_score_nothing_is_chosen():
    assert decide(work(), [point("a", math.nan, 0, 10)], (), 0.9)[0] is None


def test_models_are_chosen_by_their_score_as_deployed():
    work = SimpleNamespace(metric="accuracy", settings=SimpleNamespace(target=()))

    def point(name, macs, torch_score, deployed):
        return Point(
            name,
            None,
            Path(name),
            True,
            0.0,
            torch_score,
            {},
            {},
            0.0,
            costs={"macs": macs},
            deployed_search_score=deployed,
        )

    points = [point("broken", 1, 0.9, 0.5), point("collapsed", 1, 0.9, math.nan), point("kept", 2, 0.9, 0.899)]
    assert decide(work, points, (), 0.9)[0].name == "kept"
    for found in points:
        found.deployed_search_score = None  # torch in fp32 is deployed
    assert decide(work, points, (), 0.9)[0].name == "broken"
