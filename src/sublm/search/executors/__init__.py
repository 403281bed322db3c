"""Where work is done: in this process, in processes of this machine, or on a Ray cluster; all are an `Executor`."""

from sublm.search.executors.cluster import check_cluster
from sublm.search.executors.inline import InlineExecutor
from sublm.search.executors.open import open_executor
from sublm.search.executors.pool import Worker, WorkerPool

__all__ = ["InlineExecutor", "Worker", "WorkerPool", "check_cluster", "open_executor"]
