"""Search: the study, its samplers, constraints and Pareto arithmetic."""

from sublm.search.constraints import Constraint, check_constraints, parse_target, parse_targets, target_cost
from sublm.search.evaluation import Evaluation
from sublm.search.executors import check_cluster, open_executor
from sublm.search.fidelity import Fidelity, fidelity, kendall_tau, pairwise_accuracy
from sublm.search.finalists import Finalists, keep_promise, ratio_near
from sublm.search.samplers import SAMPLERS, Sampler
from sublm.search.search import SearchResult, search
from sublm.search.shared import check_storage
from sublm.search.study import Study, Trial

__all__ = [
    "SAMPLERS",
    "Constraint",
    "Evaluation",
    "Fidelity",
    "Finalists",
    "Sampler",
    "SearchResult",
    "Study",
    "Trial",
    "check_cluster",
    "check_constraints",
    "check_storage",
    "fidelity",
    "keep_promise",
    "kendall_tau",
    "open_executor",
    "pairwise_accuracy",
    "parse_target",
    "parse_targets",
    "ratio_near",
    "search",
    "target_cost",
]
