from __future__ import annotations

import pytest

from sublm.architectures.shape import Shape
from sublm.errors import TargetError
from sublm.search.constraints import Constraint, check_constraints, meets, parse_target, parse_targets, target_cost
from sublm.spaces import Subnet, small
from sublm.spaces.subnet import count

LARGEST = {"memory": 90e6, "latency": 40.0, "parameters": 22_000_000, "macs": 1_360_000_000}
SHAPE = Shape(layers=4, hidden=16, heads=4, head_size=4, neurons=64)


def macs(subnet):
    return float(sum(100 * count(u) for u in subnet.heads) + sum(10 * count(u) for u in subnet.neurons))


def depth(subnet):
    return float(len(subnet.layers))


@pytest.mark.parametrize(
    ("text", "cost", "limit"),
    [
        ("latency<=8ms", "latency", 8),
        ("latency <= 0.5 s", "latency", 500),
        ("latency<250us", "latency", 0.25),
        ("latency≤50%", "latency", 20),
        ("latency<=0.5x", "latency", 20),
        ("speedup>=4x", "latency", 10),
        ("speedup>=2.5", "latency", 16),
        ("compression>=2x", "parameters", 11e6),
        ("parameters<=0.5", "parameters", 11e6),
        ("params<=10M", "parameters", 10e6),
        ("parameters<=5_000_000", "parameters", 5e6),
        ("macs<=0.25", "macs", 340e6),
        ("macs<=25%", "macs", 340e6),
        ("macs<=500M", "macs", 5e8),
        ("MACs<=0.5G", "macs", 5e8),
        ("macs<=1", "macs", 1.36e9),
        ("macs<=2e8", "macs", 2e8),
        ("memory<=60MB", "memory", 60e6),
        ("memory<=40MiB", "memory", 40 * 2**20),
        ("memory<=0.5GB", "memory", 5e8),
        ("memory<=50%", "memory", 45e6),
        ("memory<=4500B", "memory", 4500),
        ("Latency<=8ms", "latency", 8),
        ("SpeedUp>=4x", "latency", 10),
    ],
)
def test_targets_are_read(text, cost, limit):
    constraint = parse_target(text, LARGEST)
    assert constraint.cost == target_cost(text) == cost
    assert constraint.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("fast", "write it like"),
        ("", "write it like"),
        ("latency<=", "write it like"),
        ("latency<=1.2.3ms", "not a number"),
        ("latency<=8", "latency<=8ms"),
        ("latency<=8M", "no unit of latency"),
        ("latency>=8ms", "latency<=8ms"),
        ("speedup<=4x", "speedup>=4x"),
        ("speedup>=4ms", "speedup>=4x"),
        ("speedup>=0", "above zero"),
        ("macs<=-5M", "above zero"),
        ("macs=5M", "macs<=5M"),
        ("macs<=5ms", "no unit of macs"),
        ("flops<=5M", "macs<=5M"),
        ("score>=0.8", "targets limit costs"),
        ("memory<=5", "memory<=5MB"),
        ("memory<=5M", "no unit of memory; use B, kB"),
        ("energy<=5M", "latency, macs, memory, parameters"),
    ],
)
def test_unreadable_targets_are_refused_with_what_to_write(text, answer):
    with pytest.raises(TargetError) as error:
        parse_target(text, LARGEST)
    assert answer in str(error.value)


def test_a_missing_latency_is_named():
    with pytest.raises(TargetError, match="needs the cost 'latency'"):
        parse_targets(["macs<=0.5", "speedup>=4x"], {"macs": 1.0})


def test_several_targets_are_read_together():
    found = parse_targets(["speedup>=4x", "memory<=60MB", "macs<=0.5"], LARGEST)
    assert [str(constraint) for constraint in found] == ["latency<=10", "memory<=6e+07", "macs<=6.8e+08"]


def test_meets_wants_every_constraint():
    full = Subnet.full(SHAPE)
    costs = {"macs": macs, "depth": depth}
    assert meets(full, [Constraint("macs", macs(full)), Constraint("depth", 4)], costs)
    assert not meets(full, [Constraint("macs", macs(full)), Constraint("depth", 3)], costs)
    assert not meets(full, [Constraint("macs", 1e9)], {"macs": lambda subnet: float("nan")})


def test_an_unreachable_target_names_the_nearest():
    space = small(SHAPE, step=8, min_layers=2, min_heads=2)
    least = macs(space.smallest)
    assert least == 2 * (200 + 80)
    with pytest.raises(TargetError, match=r"macs<=500 \(the nearest that is met: macs<=560\)"):
        check_constraints(space, [Constraint("macs", 500)], {"macs": macs})
    assert check_constraints(space, [Constraint("macs", 560)], {"macs": macs}) == space.smallest
    assert check_constraints(space, [], {"macs": macs}) == space.largest


def test_the_nearest_named_is_met_when_written_again():
    space = small(SHAPE, step=8, min_layers=1)
    costs = {"odd": lambda subnet: macs(subnet) / 7.0}
    with pytest.raises(TargetError) as error:
        check_constraints(space, [Constraint("odd", 1)], costs)
    nearest = float(str(error.value).split("odd<=")[-1].split(")")[0])
    assert check_constraints(space, [Constraint("odd", nearest)], costs) == space.smallest


@pytest.mark.parametrize(
    ("text", "cost", "whole"),
    [
        ("latency<=0.001ms", "latency", 3.7),
        ("speedup>=4000x", "latency", 3.7),
        ("memory<=1kB", "memory", 9e7),
        ("memory<=0.1%", "memory", 9e7),
        ("parameters<=10", "parameters", 9e7),
        ("macs<=0.001", "macs", 9e8),
    ],
)
def test_every_limit_that_is_offered_can_be_typed_and_is_met(text, cost, whole):
    space = small(SHAPE, step=8, min_layers=1)
    largest = {cost: whole}
    costs = {cost: lambda subnet: whole * macs(subnet) / macs(space.largest)}
    with pytest.raises(TargetError) as error:
        check_constraints(space, parse_targets([text], largest), costs)
    offers = str(error.value).split("met: ")[1].split(")")[0].split(", or ")
    assert len(offers) == (2 if text.startswith("speedup") else 1)
    for offer in offers:
        assert meets(space.smallest, parse_targets([offer], largest), costs), offer


def test_a_share_is_one_of_what_the_whole_is_measured_at():
    assert parse_target("speedup>=4x", LARGEST).limit_beside(80.0) == 20
    assert parse_target("latency<=50%", LARGEST).limit_beside(80.0) == 40
    assert parse_target("latency<=8ms", LARGEST).limit_beside(80.0) == 8


def test_constraints_that_exclude_each_other_are_refused():
    space = small(SHAPE, step=8, min_layers=1)
    costs = {"depth": depth, "missing": lambda subnet: 4 - depth(subnet)}
    with pytest.raises(TargetError, match="at once"):
        check_constraints(space, [Constraint("depth", 1), Constraint("missing", 1)], costs)


def test_a_limit_must_be_a_number():
    with pytest.raises(TargetError, match="must be a number"):
        Constraint("macs", float("nan"))
    with pytest.raises(TargetError, match="not computed"):
        check_constraints(small(SHAPE), [Constraint("power", 1)], {"macs": macs})
