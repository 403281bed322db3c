"""Costs of sub-networks: parameters, MACs, latency measurement, latency prediction."""

from sublm.costs.closed_form import CostModel, cost_model
from sublm.costs.latency import Latency, measure_latency
from sublm.costs.lengths import representative_lengths
from sublm.costs.macs import macs
from sublm.costs.parameters import parameters
from sublm.costs.prediction import LatencyPredictor, fit_latency
from sublm.costs.reference import shape_costs

__all__ = [
    "CostModel",
    "Latency",
    "LatencyPredictor",
    "cost_model",
    "fit_latency",
    "macs",
    "measure_latency",
    "parameters",
    "representative_lengths",
    "shape_costs",
]
