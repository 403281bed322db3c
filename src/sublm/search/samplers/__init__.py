"""Samplers, one file each; adding one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from sublm.search.samplers.base import Observation, Problem, Sampler
from sublm.search.samplers.local_search import LocalSearch
from sublm.search.samplers.moasha import MOASHA
from sublm.search.samplers.nsga2 import NSGA2
from sublm.search.samplers.random_search import RandomSearch

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "local_search": LocalSearch,
    "moasha": MOASHA,
    "nsga2": NSGA2,
    "random": RandomSearch,
}

__all__ = ["MOASHA", "NSGA2", "SAMPLERS", "LocalSearch", "Observation", "Problem", "RandomSearch", "Sampler"]
