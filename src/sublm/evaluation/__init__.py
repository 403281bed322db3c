"""Evaluating many sub-networks of one super-network on one split, with the work they share done once."""

from sublm.evaluation.evaluator import SubnetEvaluator, is_raceable
from sublm.evaluation.parts import Parts, Source
from sublm.evaluation.precision import PrecisionCheck, compare_precisions
from sublm.evaluation.store import Known, PredictionStore

__all__ = [
    "Known",
    "Parts",
    "PrecisionCheck",
    "PredictionStore",
    "Source",
    "SubnetEvaluator",
    "compare_precisions",
    "is_raceable",
]
