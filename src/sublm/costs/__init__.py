"""Costs of sub-networks: parameters, MACs, memory, latency measurement, latency prediction."""

from sublm.costs.closed_form import CostModel, cost_model
from sublm.costs.conditions import RUNTIMES, Conditions, grid
from sublm.costs.counts import Counts
from sublm.costs.family import FamilyCosts, shaped_config
from sublm.costs.latency import Job, Latency, measure_jobs, measure_latency
from sublm.costs.lengths import representative_lengths
from sublm.costs.macs import macs
from sublm.costs.memory import memory
from sublm.costs.parameters import parameters
from sublm.costs.prediction import LatencyPredictor, fit_latency, fit_times, model_of
from sublm.costs.reference import shape_costs
from sublm.costs.table import latency_table

__all__ = [
    "RUNTIMES",
    "Conditions",
    "CostModel",
    "Counts",
    "FamilyCosts",
    "Job",
    "Latency",
    "LatencyPredictor",
    "cost_model",
    "fit_latency",
    "fit_times",
    "grid",
    "latency_table",
    "macs",
    "measure_jobs",
    "measure_latency",
    "memory",
    "model_of",
    "parameters",
    "representative_lengths",
    "shape_costs",
    "shaped_config",
]
