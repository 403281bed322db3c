"""Constraints on costs, and the targets a user writes: `latency<=8ms`, `speedup>=4x`, `macs<=0.25`, `memory<=60MB`."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sublm.errors import TargetError
from sublm.spaces.space import SearchSpace
from sublm.spaces.subnet import Subnet

Costs = Mapping[str, Callable[[Subnet], float]]

EXAMPLES = "'latency<=8ms', 'speedup>=4x', 'parameters<=0.5', 'macs<=25%', 'macs<=500M' or 'memory<=60MB'"

_COUNTS = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_SIZES = {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_TIMES = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_UNITS = {"latency": (1.0, "ms"), "memory": (1e6, "MB")}
"""Those without which a limit is refused: how many of the cost's own they are, and how they are written."""

_NAMES = {"params": "parameters", "size": "parameters", "latency_ms": "latency"}
_TARGET = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|<|>|==?|≤|≥)\s*([-+]?[0-9._]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ%]*)\s*")


@dataclass(frozen=True)
class Constraint:
    """A cost that must not exceed a limit.

    Attributes:
        cost: Name of the cost.
        limit: Largest allowed, in the cost's unit (latency: milliseconds, memory: bytes).
        share: Of the whole super-network's cost, if the limit was given so.
    """

    cost: str
    limit: float
    share: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit):
            raise TargetError(f"{self.cost}: a limit must be a number; got {self.limit}.")

    def __str__(self) -> str:
        return f"{self.cost}<={self.limit:g}"

    def limit_beside(self, whole: float) -> float:
        """The limit where the whole was measured to cost something else than was believed when the limit was set."""
        return self.limit if self.share is None else self.share * whole


def parse_target(text: str, largest: Mapping[str, float]) -> Constraint:
    """Reads one target.

    A limit without a unit is a share of the largest's cost up to 1 and a count above; `%` and `x` say it outright.

    Args:
        text: Such as 'macs<=0.25'.
        largest: Costs of the whole super-network by name; latency in milliseconds.

    Returns:
        The constraint, its limit in the cost's own unit.

    Raises:
        TargetError: If the text cannot be read, or names a cost there is none of.
    """
    match = _TARGET.fullmatch(text)
    if match is None:
        raise TargetError(f"The target {text!r} cannot be read; write it like {EXAMPLES}.")
    name, sign, digits, unit = match.groups()
    try:
        number = float(digits)
    except ValueError:
        raise TargetError(f"The target {text!r}: {digits!r} is not a number; write it like {EXAMPLES}.") from None
    name = _NAMES.get(name.lower(), name.lower())
    upward = name in ("speedup", "compression")
    if name == "flops":
        raise TargetError(f"The target {text!r}: costs are counted in MACs; write macs<={digits}{unit}.")
    if name == "score":
        raise TargetError(f"The target {text!r}: targets limit costs; the score is what the search raises.")
    if sign not in ((">=", ">", "≥") if upward else ("<=", "<", "≤")):
        wanted = ">=" if upward else "<="
        raise TargetError(f"The target {text!r} must use {wanted}: write {name}{wanted}{digits}{unit}.")
    cost = _cost(name)
    if cost not in largest:
        raise TargetError(f"The target {text!r} needs the cost {cost!r}; there are {', '.join(sorted(largest))}.")
    if number <= 0:
        raise TargetError(f"The target {text!r}: the limit must be above zero.")
    whole = float(largest[cost])
    if upward:
        if unit not in ("", "x", "X"):
            raise TargetError(f"The target {text!r}: {name} is a factor; write {name}>={digits}x.")
        return Constraint(cost, whole / number, 1 / number)
    share = _share(cost, number, unit)
    if share is not None:
        return Constraint(cost, share * whole, share)
    return Constraint(cost, _limit(text, cost, number, unit))


def target_cost(text: str) -> str:
    """The cost that a target limits: `latency` for "speedup>=4x"; empty if the target cannot be read."""
    match = _TARGET.fullmatch(text)
    return _cost(match[1]) if match else ""


def _cost(name: str) -> str:
    name = _NAMES.get(name.lower(), name.lower())
    return {"speedup": "latency", "compression": "parameters"}.get(name, name)


def _share(cost: str, number: float, unit: str) -> float | None:
    """The limit as a share of the whole, if that is what was written."""
    if unit == "%":
        return number / 100
    if unit in ("x", "X"):
        return number
    return number if not unit and number <= 1 and cost not in ("latency", "memory") else None


def _limit(text: str, cost: str, number: float, unit: str) -> float:
    """The limit in the cost's own unit."""
    units = {"latency": _TIMES, "memory": _SIZES}.get(cost, _COUNTS)
    if unit in units:
        return number * units[unit]
    if unit:
        raise TargetError(f"The target {text!r}: {unit!r} is no unit of {cost}; use {', '.join(units)}, % or x.")
    if cost in ("latency", "memory"):
        usual = "ms" if cost == "latency" else "MB"
        raise TargetError(
            f"The target {text!r} needs a unit: write {cost}<={number:g}{usual}, or {number:g}x for a share."
        )
    return number


def parse_targets(texts: Sequence[str], largest: Mapping[str, float]) -> tuple[Constraint, ...]:
    """Reads several targets; see `parse_target`."""
    return tuple(parse_target(text, largest) for text in texts)


def meets(subnet: Subnet, constraints: Sequence[Constraint], costs: Costs) -> bool:
    """Whether a sub-network keeps every constraint; a cost that is NaN keeps none."""
    return all(costs[constraint.cost](subnet) <= constraint.limit for constraint in constraints)


def check_constraints(space: SearchSpace, constraints: Sequence[Constraint], costs: Costs) -> Subnet:
    """Makes sure that something in the space meets the constraints.

    Costs that grow with what is kept are decided exactly, by the sub-network that keeps least; for others a sample is
    looked through.

    Returns:
        A sub-network that meets them: the largest if it does, else the smallest if it does.

    Raises:
        TargetError: If none is found; it names the nearest limit that can be met.
    """
    for constraint in constraints:
        if constraint.cost not in costs:
            raise TargetError(f"{constraint} limits a cost that is not computed; there are {', '.join(sorted(costs))}.")
    rng = random.Random(0)
    known = [space.largest, space.smallest, space.lowest]
    for subnet in known:
        if meets(subnet, constraints, costs):
            return subnet
    known += [space.sample(rng) for _ in range(100)]
    for subnet in known[3:]:
        if meets(subnet, constraints, costs):
            return subnet
    broken = []
    for constraint in constraints:
        reached = [costs[constraint.cost](subnet) for subnet in known]
        nearest = min((cost for cost in reached if cost == cost), default=math.inf)  # NaN is never reached
        if nearest > constraint.limit:
            broken.append(f"{_written(constraint)} (the nearest that is met: {_offer(constraint, nearest)})")
    if broken:
        raise TargetError(
            f"No sub-network of the space {space.name!r} meets {'; '.join(broken)}. "
            "Loosen the target, or choose a space that reaches further down."
        )
    wanted = " and ".join(_written(constraint) for constraint in constraints)
    raise TargetError(f"No sub-network of the space {space.name!r} meets {wanted} at once; loosen one of them.")


def _offer(constraint: Constraint, nearest: float) -> str:
    """What can be asked for instead, as it is typed."""
    scale, unit = _UNITS.get(constraint.cost, (1.0, ""))
    offer = f"{constraint.cost}<={_above(nearest / scale)}{unit}"
    if constraint.cost == "latency" and constraint.share:
        slower = float(_above(nearest * constraint.share / constraint.limit))
        return f"{offer}, or speedup>={math.floor(1000 / slower) / 1000:g}x"
    return offer


def _written(constraint: Constraint) -> str:
    """A constraint as it is typed, with its unit."""
    scale, unit = _UNITS.get(constraint.cost, (1.0, ""))
    return f"{constraint.cost}<={constraint.limit / scale:g}{unit}"


def _above(value: float) -> str:
    """A short number that is not below the value, so that the target it is put into is met."""
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    grain = 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{math.ceil(value / grain) * grain:.6g}"
