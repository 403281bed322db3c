"""Search spaces: which sub-networks there are, how to draw them, and how to move between them."""

from sublm.spaces.large import large
from sublm.spaces.layer import layer
from sublm.spaces.medium import medium
from sublm.spaces.nested import nested, nested_subnets
from sublm.spaces.small import small
from sublm.spaces.space import SearchSpace
from sublm.spaces.stratified import StratifiedSampler
from sublm.spaces.subnet import Subnet
from sublm.spaces.uniform import uniform
from sublm.spaces.variables import Choice, Integer, Subset, Variable

__all__ = [
    "Choice",
    "Integer",
    "SearchSpace",
    "StratifiedSampler",
    "Subnet",
    "Subset",
    "Variable",
    "large",
    "layer",
    "medium",
    "nested",
    "nested_subnets",
    "small",
    "uniform",
]
