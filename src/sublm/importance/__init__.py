"""Importance of heads, neurons, layers, hidden channels and head dimensions, one file per score."""

from sublm.importance.scores import Importance

__all__ = ["Importance"]
