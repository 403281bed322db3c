"""The record of a search that stops poor trials early: what came to which rung, and whether it went on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sublm.errors import RunError
from sublm.search.samplers.moasha import MOASHA

NAME = "rungs.jsonl"


@dataclass(frozen=True)
class Judgement:
    """One trial at one rung.

    Attributes:
        key: Key of its sub-network.
        epochs: The rung.
        objectives: All minimised, after that many epochs; NaN if there is no number.
        continues: Whether it went on.
    """

    key: str
    epochs: int
    objectives: tuple[float, ...]
    continues: bool

    def to_line(self) -> str:
        """One line of strict JSON."""
        objectives = [value if math.isfinite(value) else None for value in self.objectives]
        return json.dumps(
            {"key": self.key, "epochs": self.epochs, "objectives": objectives, "continues": self.continues}
        )

    @classmethod
    def from_line(cls, line: str) -> Judgement:
        """Reads what `to_line` wrote.

        Raises:
            ValueError: If it is not such a line.
        """
        data = json.loads(line)
        try:
            objectives = tuple(math.nan if value is None else float(value) for value in data["objectives"])
            return cls(str(data["key"]), int(data["epochs"]), objectives, bool(data["continues"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a judgement: {error}") from None


class Rungs:
    """Judges trials at rungs; each judgement is on the disk before anybody acts on it, and is never made twice."""

    def __init__(self, halving: MOASHA, folder: Path | None = None) -> None:
        """Reads the judgements made before.

        Args:
            halving: Decides who goes on.
            folder: Where the record is; in memory only by default. The caller holds the folder.

        Raises:
            RunError: If the record cannot be read.
        """
        self._halving = halving
        self._path = None if folder is None else folder / NAME
        self.judgements = [] if self._path is None else _read(self._path)

    def judge(self, key: str, epochs: int, objectives: Sequence[float], *, may_go_on: bool = True) -> bool:
        """Whether a trial goes on from a rung.

        Args:
            key: Key of its sub-network.
            epochs: The rung.
            objectives: After that many epochs, all minimised.
            may_go_on: False stops it, however good it is; later ones are compared with it all the same.
        """
        there = [judgement for judgement in self.judgements if judgement.epochs == epochs]
        known = next((judgement for judgement in there if judgement.key == key), None)
        if known is None:
            goes_on = may_go_on and self._halving.continues(objectives, [other.objectives for other in there])
            known = Judgement(key, epochs, tuple(objectives), goes_on)
            self._append(known)
        return known.continues and may_go_on

    def _append(self, judgement: Judgement) -> None:
        self.judgements.append(judgement)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(judgement.to_line() + "\n")
                file.flush()
                os.fsync(file.fileno())


def _read(path: Path) -> list[Judgement]:
    """All lines; a last one whose writing was cut off is taken away."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
    try:
        return [Judgement.from_line(line) for line in content[:whole].decode().splitlines()]
    except ValueError as error:
        raise RunError(f"{path} cannot be read ({error}); search in another folder.") from None
