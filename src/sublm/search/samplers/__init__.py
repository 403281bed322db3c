"""Samplers, one file each; adding one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from sublm.search.samplers.autotinybert import AutoTinyBERT
from sublm.search.samplers.base import Observation, Problem, Sampler, check_sampler
from sublm.search.samplers.ehvi import EHVI
from sublm.search.samplers.exhaustive import Exhaustive
from sublm.search.samplers.grid import Grid
from sublm.search.samplers.local_search import LocalSearch
from sublm.search.samplers.lsbo import LSBO
from sublm.search.samplers.moasha import MOASHA
from sublm.search.samplers.morea import MOREA
from sublm.search.samplers.nsga2 import NSGA2
from sublm.search.samplers.pareto_ea import ParetoEA
from sublm.search.samplers.random_search import RandomSearch
from sublm.search.samplers.rsbo import RSBO
from sublm.search.samplers.tpe import TPE

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "autotinybert": AutoTinyBERT,
    "ehvi": EHVI,
    "exhaustive": Exhaustive,
    "grid": Grid,
    "local_search": LocalSearch,
    "lsbo": LSBO,
    "moasha": MOASHA,
    "morea": MOREA,
    "nsga2": NSGA2,
    "pareto_ea": ParetoEA,
    "random": RandomSearch,
    "rsbo": RSBO,
    "tpe": TPE,
}
"""Samplers by name; each is made without arguments, or with its own settings."""

__all__ = [
    "EHVI",
    "LSBO",
    "MOASHA",
    "MOREA",
    "NSGA2",
    "RSBO",
    "SAMPLERS",
    "TPE",
    "AutoTinyBERT",
    "Exhaustive",
    "Grid",
    "LocalSearch",
    "Observation",
    "ParetoEA",
    "Problem",
    "RandomSearch",
    "Sampler",
    "check_sampler",
]
