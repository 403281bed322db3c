"""What sub-networks said on every row, kept so that others can be compared with them row by row."""

from __future__ import annotations

import heapq
import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sublm.spaces.subnet import Subnet

SUFFIX = ".npz"


@dataclass(frozen=True)
class Known:
    """A sub-network that was evaluated on all rows.

    Attributes:
        key: The sub-network's.
        costs: Its costs, those that decide which it may stand for.
        score: Its score.
        predictions: [N], what it said.
        values: [N] influence values of its score, float32; None where they are not known row by row.
    """

    key: str
    costs: Mapping[str, float]
    score: float
    predictions: np.ndarray
    values: np.ndarray | None

    def covers(self, other: Mapping[str, float]) -> bool:
        """Whether it costs no more in anything."""
        return all(self.costs[name] <= cost for name, cost in other.items())

    def distance(self, other: Mapping[str, float]) -> float:
        """How far its costs are from others, as ratios; 0 where nothing is counted."""
        pairs = [(self.costs[name], cost) for name, cost in other.items()]
        return sum(abs(math.log(one / cost)) if one > 0 and cost > 0 else abs(one - cost) for one, cost in pairs)


class PredictionStore:
    """Logits of the sub-networks evaluated in full: one file each, in a folder that several processes may share.

    In memory, a sub-network takes eight bytes per row.
    """

    def __init__(self, folder: Path | None, read: Callable[[Subnet, np.ndarray], Known]) -> None:
        """Names the folder; nothing is read yet.

        Args:
            folder: Where the files lie; None keeps everything in memory.
            read: Makes of a sub-network and its logits what is compared.
        """
        self._folder = folder
        self._read = read
        self._files: set[str] = set()
        self._memory: dict[str, np.ndarray] = {}
        self._front: list[Known] = []
        self._all: dict[str, Known] = {}

    def refresh(self) -> None:
        """Reads what has been added since, by this process before a kill or by others; in the order of the names."""
        if self._folder is None or not self._folder.is_dir():
            return
        for name in sorted(path.name for path in self._folder.glob("*" + SUFFIX)):
            if name not in self._files:
                self._files.add(name)
                found = _load(self._folder / name)
                if found is not None:
                    self._keep(self._read(*found))

    def get(self, subnet: Subnet) -> np.ndarray | None:
        """The logits of a sub-network, if they are known."""
        if self._folder is None:
            return self._memory.get(subnet.key)
        found = _load(self._folder / _name(subnet))
        return found[1] if found is not None and found[0] == subnet else None

    def add(self, subnet: Subnet, logits: np.ndarray) -> None:
        """Keeps the logits of a sub-network; they are on the disk before this returns."""
        if self._folder is None:
            self._memory[subnet.key] = logits
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / _name(subnet)
            content = io.BytesIO()
            np.savez(content, subnet=np.array(subnet.to_json()), logits=logits)
            beside = path.with_name(f".{path.name}.{os.getpid()}.part")
            with beside.open("wb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            self._files.add(path.name)
        self._keep(self._read(subnet, logits))

    def best(self, costs: Mapping[str, float], but: Subnet) -> Known | None:
        """Of those that cost no more, the one with the highest score; of equals the last by name."""
        fitting = [known for known in self._front if known.key != but.key and known.covers(costs)]
        return max(fitting, key=lambda known: (known.score, known.key), default=None)

    def nearest(self, costs: Mapping[str, float], number: int, but: Subnet) -> list[Known]:
        """Those of the most similar costs (in ratio), at most so many, that have influence values."""
        usable = [known for known in self._all.values() if known.values is not None and known.key != but.key]
        return heapq.nsmallest(number, usable, key=lambda known: (known.distance(costs), known.key))

    def __iter__(self) -> Iterator[Known]:
        """Those that no other beats."""
        return iter(self._front)

    def _keep(self, new: Known) -> None:
        """Adds to the front; what stands there does not depend on the order in which sub-networks came."""
        self._all[new.key] = new
        if new.score != new.score or any(_beats(known, new) for known in self._front):
            return
        self._front = [known for known in self._front if not _beats(new, known)]
        self._front.append(new)


def _beats(one: Known, other: Known) -> bool:
    if one.score == other.score and one.costs == other.costs:
        return one.key < other.key
    return one.score >= other.score and one.covers(other.costs)


def _name(subnet: Subnet) -> str:
    return subnet.key + SUFFIX


def _load(path: Path) -> tuple[Subnet, np.ndarray] | None:
    """A file's content; None if it is missing or is not whole."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Subnet.from_json(str(file["subnet"])), file["logits"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
