"""Random sub-networks drawn evenly over the cost axis.

Drawing every variable on its own starves most sizes: in the `medium` space of BERT-base 98 % of the draws have between
52 and 75 % of the parameters (Klein et al.). Here the cost is drawn first, and a random setting is then moved towards
the space's lowest or largest one until it costs that much.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from sublm.errors import TargetError
from sublm.spaces.space import SearchSpace, Values
from sublm.spaces.subnet import Subnet


class StratifiedSampler:
    """Draws sub-networks whose costs are spread evenly.

    The cost axis is cut into `bins` equal strata. A draw chooses a stratum, then a random sub-network in it. Strata
    that no sub-network falls into are found out once, at the start, and left out. Draws depend on the given `rng`
    alone, so training and search can be resumed.

    Costs should grow with what is kept; where they do not, draws stay within the bounds but are spread less evenly.
    """

    def __init__(
        self,
        space: SearchSpace,
        cost: Callable[[Subnet], float],
        *,
        bins: int = 20,
        low: float | None = None,
        high: float | None = None,
        accept: Callable[[Subnet], bool] | None = None,
        tries: int = 24,
    ) -> None:
        """Finds the strata.

        Args:
            space: Where to draw from.
            cost: Cost of a sub-network; called two or three times per draw, so it should be quick.
            bins: Number of strata.
            low: No draw costs less; the space's smallest by default.
            high: No draw costs more; the space's largest by default.
            accept: Further condition on a draw.
            tries: Attempts per draw before a sub-network found at the start is taken instead.

        Raises:
            TargetError: If nothing lies within the bounds.
        """
        self.space = space
        self._cost = cost
        self._accept = accept
        self._tries = tries
        least, most = cost(space.smallest), cost(space.largest)
        self.low = min(least, most) if low is None else float(low)
        self.high = max(least, most) if high is None else float(high)
        if self.low > self.high:
            raise TargetError(
                f"Costs from {self.low:g} to {self.high:g} were asked for; the space {space.name!r} has "
                f"{least:g} to {most:g}: give low <= high within them."
            )
        bottom = {name: variable.lowest for name, variable in space.variables.items()}
        top = {name: variable.highest for name, variable in space.variables.items()}
        self._bottom, self._top = (bottom, self._cost_of(bottom)), (top, self._cost_of(top))
        self._strata: list[tuple[float, float, Values]] = []
        width = (self.high - self.low) / bins
        for stratum in range(bins if width > 0 else 1):
            # Strata are half open, so that no cost belongs to two; the last one holds the upper bound.
            last = stratum == bins - 1 or width == 0
            floor = self.low + stratum * width
            ceiling = math.nextafter(self.high, math.inf) if last else self.low + (stratum + 1) * width
            found = self._within(floor, ceiling, random.Random(stratum))
            if found is not None:
                self._strata.append((floor, ceiling, found))
        if not self._strata:
            raise TargetError(
                f"No sub-network of {space.name!r} was found with a cost from {self.low:g} to {self.high:g}; "
                f"the space has {least:g} to {most:g}: widen low and high."
            )

    @property
    def strata(self) -> int:
        """Number of strata that hold a sub-network."""
        return len(self._strata)

    def sample_values(self, rng: random.Random, stratum: int | None = None) -> Values:
        """The values of a random sub-network.

        Args:
            rng: Source of randomness.
            stratum: Draw from this one, counted from the cheapest; a random one by default.
        """
        floor, ceiling, known = self._strata[rng.randrange(self.strata) if stratum is None else stratum]
        return self._within(floor, ceiling, rng) or dict(known)

    def sample(self, rng: random.Random) -> Subnet:
        """A random sub-network."""
        return self.space.decode(self.sample_values(rng))

    def spread(self, number: int, rng: random.Random) -> list[Values]:
        """So many draws, spread evenly over the strata from the cheapest to the dearest."""
        step = self.strata / max(1, number)
        return [self.sample_values(rng, int(step * (i + 0.5))) for i in range(number)]

    def _within(self, floor: float, ceiling: float, rng: random.Random) -> Values | None:
        """A random setting whose cost is at least `floor` and below `ceiling`."""
        for _ in range(self._tries):
            drawn = self.space.sample_values(rng)
            cost = self._cost_of(drawn)
            values = drawn if floor <= cost < ceiling else self._move(drawn, cost, floor, ceiling, rng)
            if values is not None and (self._accept is None or self._accept(self.space.decode(values))):
                return values
        return None

    def _move(self, values: Values, cost: float, floor: float, ceiling: float, rng: random.Random) -> Values | None:
        """Moves a setting down or up until it costs what is wanted."""
        end, end_cost = self._bottom if cost >= ceiling else self._top
        aim = rng.uniform(floor, ceiling)
        if end_cost == cost or (aim - cost) / (end_cost - cost) < 0:
            return None
        way = self.space.path(values, end, rng)
        near, far = 0.0, 1.0
        # Costs are close to linear along the way, so the first guess mostly lands; then the interval is halved.
        at = min(1.0, (aim - cost) / (end_cost - cost))
        for _ in range(12):
            candidate = way(at)
            found = self._cost_of(candidate)
            if floor <= found < ceiling:
                return candidate
            if (found >= ceiling) == (cost >= ceiling):
                near = at
            else:
                far = at
            if near == 1.0:
                return None
            at = (near + far) / 2
        return None

    def _cost_of(self, values: Mapping[str, Any]) -> float:
        return self._cost(self.space.decode(values))
