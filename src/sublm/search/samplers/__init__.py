"""Samplers, one file each; adding one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from sublm.search.samplers.base import Observation, Problem, Sampler
from sublm.search.samplers.ehvi import EHVI
from sublm.search.samplers.local_search import LocalSearch
from sublm.search.samplers.lsbo import LSBO
from sublm.search.samplers.nsga2 import NSGA2
from sublm.search.samplers.random_search import RandomSearch
from sublm.search.samplers.rsbo import RSBO
from sublm.search.samplers.tpe import TPE

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "ehvi": EHVI,
    "local_search": LocalSearch,
    "lsbo": LSBO,
    "nsga2": NSGA2,
    "random": RandomSearch,
    "rsbo": RSBO,
    "tpe": TPE,
}

__all__ = [
    "EHVI",
    "LSBO",
    "NSGA2",
    "RSBO",
    "SAMPLERS",
    "TPE",
    "LocalSearch",
    "Observation",
    "Problem",
    "RandomSearch",
    "Sampler",
]
