"""Super-networks: elastic layers, activation, reordering, extraction."""

from sublm.supernet.extract import is_stock
from sublm.supernet.supernet import SuperNet

__all__ = ["SuperNet", "is_stock"]
