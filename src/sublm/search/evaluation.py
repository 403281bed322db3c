"""One evaluated sub-network, and the line of JSON it is kept as."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sublm.errors import RunError, SubnetError
from sublm.spaces.space import SearchSpace
from sublm.spaces.subnet import Subnet


@dataclass(frozen=True)
class Evaluation:
    """What became of one sub-network.

    Attributes:
        number: Position in the search, from 0.
        subnet: The sub-network.
        values: Values of the space's variables that give it.
        score: The score, higher is better; NaN if the evaluation failed or gave none.
        metrics: Everything the evaluation returned.
        costs: Every cost by name.
        seconds: Time the evaluation took.
        origin: Where it came from: "seed", or the sampler's name.
        error: Why the evaluation failed; empty if it did not.
    """

    number: int
    subnet: Subnet
    values: Mapping[str, Any]
    score: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    origin: str = ""
    error: str = ""

    @property
    def dropped(self) -> bool:
        """Whether it was given up before it had seen all rows: its score is an estimate; see `sublm.search.racing`."""
        return bool(self.metrics.get("dropped", 0.0) > 0)

    def objectives(self, names: tuple[str, ...]) -> tuple[float, ...]:
        """The wanted objectives, all to be minimised; infinities count as NaN."""
        raw = [-self.score if name == "score" else self.costs[name] for name in names]
        return tuple(value if math.isfinite(value) else math.nan for value in raw)

    def to_line(self, space: SearchSpace) -> str:
        """One line of strict JSON; what is not finite becomes null."""
        data = {
            "number": self.number,
            "key": self.subnet.key,
            "values": space.pack(self.values),
            "score": _finite(self.score),
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "costs": {name: _finite(value) for name, value in self.costs.items()},
            "seconds": self.seconds,
            "origin": self.origin,
            "error": self.error,
        }
        return json.dumps(data, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str, space: SearchSpace) -> Evaluation:
        """Reads what `to_line` wrote.

        Raises:
            RunError: If it is not such a line, or belongs to another space.
        """
        try:
            data = json.loads(line)
            values = space.unpack(data["values"])
            subnet = space.decode(values)
            if subnet.key != data["key"]:
                raise RunError("the sub-network's key does not fit its values; the space has changed")
            return cls(
                number=int(data["number"]),
                subnet=subnet,
                values=values,
                score=_number(data["score"]),
                metrics={name: _number(value) for name, value in data["metrics"].items()},
                costs={name: _number(value) for name, value in data["costs"].items()},
                seconds=float(data["seconds"]),
                origin=str(data["origin"]),
                error=str(data["error"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, SubnetError) as error:
            raise RunError(f"not an evaluation of this space: {error}") from None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
