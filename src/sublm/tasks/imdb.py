"""IMDB film reviews (Maas et al. 2011): positive or negative. The published test split is the reported one."""

from __future__ import annotations

from sublm.tasks.published import Published
from sublm.tasks.task import Task

IMDB = Published(
    Task("imdb", "classification", ("text",), "label", ("neg", "pos"), ("accuracy",)),
    hub="stanfordnlp/imdb",
    validation=("test", "validation"),
)
