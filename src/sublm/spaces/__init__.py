"""Search spaces: which sub-networks there are, how to draw them, and how to move between them."""

from __future__ import annotations

from collections.abc import Callable

from sublm.spaces import homogeneous
from sublm.spaces.development import obeys_rule, rule_candidates
from sublm.spaces.from_importance import even_targets, from_importance
from sublm.spaces.large import large
from sublm.spaces.layer import layer
from sublm.spaces.medium import medium
from sublm.spaces.nested import nested, nested_subnets
from sublm.spaces.nncf import Published, read_nncf, write_nncf
from sublm.spaces.small import small
from sublm.spaces.space import SearchSpace
from sublm.spaces.stock import Stock
from sublm.spaces.stratified import StratifiedSampler
from sublm.spaces.subnet import Subnet
from sublm.spaces.uniform import uniform
from sublm.spaces.variables import Choice, Integer, Subset, Variable

SPACES: dict[str, Callable[..., SearchSpace]] = {
    "homogeneous": homogeneous.mlm,
    "homogeneous-kd": homogeneous.kd,
    "large": large,
    "layer": layer,
    "medium": medium,
    "small": small,
    "uniform": uniform,
}
"""Spaces by name; each takes a super-network (or its shape) and `step=`."""

__all__ = [
    "SPACES",
    "Choice",
    "Integer",
    "Published",
    "SearchSpace",
    "Stock",
    "StratifiedSampler",
    "Subnet",
    "Subset",
    "Variable",
    "even_targets",
    "from_importance",
    "homogeneous",
    "large",
    "layer",
    "medium",
    "nested",
    "nested_subnets",
    "obeys_rule",
    "read_nncf",
    "rule_candidates",
    "small",
    "uniform",
    "write_nncf",
]
