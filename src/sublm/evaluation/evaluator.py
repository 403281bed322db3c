"""What a search calls: from a sub-network to its scores, given up early where that is safe."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from sublm.evaluation.parts import Source
from sublm.evaluation.store import Known, PredictionStore
from sublm.search.racing import MOST_CONTROLS, Racing, Verdict, dropped_score, judge
from sublm.spaces.subnet import Subnet
from sublm.tasks.groups import Groups
from sublm.tasks.influence import influence
from sublm.tasks.metrics import METRICS, compute_metrics, predictions_of
from sublm.tasks.task import Task

KINDS = ("classification", "embedding", "multiple_choice", "regression")
"""Kinds of tasks with one label and one prediction per row."""

ROWS_PER_CONTROL = 16
"""Rows seen for each known sub-network that is used in a test."""


def is_raceable(task: Task) -> bool:
    """Whether the task's sub-networks can be compared row by row; not if the primary metric is one of groups of rows.

    Rows of a group may be much alike. A draw of rows does not mind: which are drawn decides, not how they came about.
    """
    return task.kind in KINDS and task.metric in METRICS


class SubnetEvaluator:
    """Scores sub-networks on one split; a sub-network is judged part by part if it is raced.

    It gives what `sublm.tasks.evaluate` does, and besides "score" (the primary metric), "rows" (on how many it was
    judged) and "dropped" (1 if it was given up, else 0). A dropped one has no other metrics, and its score is an
    estimate; see `sublm.search.racing`.
    A sub-network whose logits are not finite has no score, whatever the other rows say, and sees no more of them.

    What was evaluated in full is kept, in the folder if there is one: an evaluator opened there again, in another
    process too, decides as this one would have.
    """

    def __init__(
        self,
        source: Source,
        labels: np.ndarray,
        task: Task,
        *,
        costs: Mapping[str, Callable[[Subnet], float]],
        groups: Groups | None = None,
        racing: Racing | None = None,
        exempt: Collection[Subnet] = (),
        folder: Path | None = None,
    ) -> None:
        """Reads what was evaluated before.

        Args:
            source: Where predictions come from; its parts are the rungs.
            labels: [N].
            task: Says which metrics.
            costs: The costs that are objectives: who costs no more in all of them may stand for a candidate.
            groups: Which rows are scored together, for the metrics that need it.
            racing: How candidates are raced; None evaluates all in full.
            exempt: Sub-networks that are evaluated in full in any case.
            folder: Where logits of sub-networks evaluated in full are kept; in memory only by default.
        """
        self.source = source
        self.labels = np.asarray(labels)
        self.task = task
        self.groups = groups
        self.racing = racing
        self._costs = dict(costs)
        self._exempt = frozenset(exempt)
        self._store = PredictionStore(folder, self._known)
        self._store.refresh()

    @property
    def total(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def __call__(self, subnet: Subnet) -> dict[str, float]:
        """The scores of a sub-network."""
        known = self._store.get(subnet)
        if known is not None:
            return self._scored(known)
        raced = self.racing is not None and subnet not in self._exempt
        if raced:
            self._store.refresh()
        costs = self._costs_of(subnet)
        logits: np.ndarray | None = None
        seen: list[np.ndarray] = []
        for part, rows in enumerate(self.source.rows):
            found = self.source.logits(subnet, part)
            if logits is None:
                logits = np.empty((self.total, *found.shape[1:]), dtype=np.float32)
            logits[rows] = found
            seen.append(rows)
            count = sum(map(len, seen))
            if not np.isfinite(found).all():
                nothing = dict.fromkeys(("score", *self.task.metrics), float("nan"))
                return {**nothing, "rows": float(count), "dropped": 0.0}
            if raced and count < self.total:
                other = self._store.best(costs, but=subnet)
                if other is not None:
                    others = self._store.nearest(costs, min(MOST_CONTROLS, count // ROWS_PER_CONTROL), but=subnet)
                    verdict = self._compare(logits, np.concatenate(seen), other, others)
                    if verdict.dropped:
                        score = dropped_score(verdict.difference, other.score)
                        return {"score": score, "rows": float(count), "dropped": 1.0}
        assert logits is not None
        self._store.add(subnet, logits)
        return self._scored(logits)

    def full(self, subnet: Subnet) -> dict[str, float]:
        """The scores on all rows, whatever racing would say; leaves no trace."""
        known = self._store.get(subnet)
        if known is None:
            parts = [self.source.logits(subnet, part) for part in range(len(self.source.rows))]
            known = np.empty((self.total, *parts[0].shape[1:]), dtype=np.float32)
            for rows, found in zip(self.source.rows, parts, strict=True):
                known[rows] = found
        return self._scored(known)

    def _compare(self, logits: np.ndarray, rows: np.ndarray, other: Known, controls: list[Known]) -> Verdict:
        """Tests a candidate against a sub-network evaluated in full, on the rows it has seen."""
        assert self.racing is not None
        labels, metric = self.labels[rows], self.task.metric
        own, its = predictions_of(logits[rows], self.task), other.predictions[rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a collapsed sub-network predicts one value; there is no verdict then
            difference = METRICS[metric].score(own, labels) - METRICS[metric].score(its, labels)
            values = influence(metric, own, labels) - influence(metric, its, labels)
        known = [control.values[rows] for control in controls if control.values is not None]
        return judge(
            difference,
            values,
            controls=np.stack(known, axis=1) if known and len(values) == len(rows) else None,
            rows=len(rows),
            total=self.total,
            rungs=len(self.source.rows),
            racing=self.racing,
        )

    def _scored(self, logits: np.ndarray) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = compute_metrics(logits, self.labels, self.task, self.groups)
        return {"score": scores[self.task.metric], **scores, "rows": float(self.total), "dropped": 0.0}

    def _known(self, subnet: Subnet, logits: np.ndarray) -> Known:
        score, predictions = self._scored(logits)["score"], predictions_of(logits, self.task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = influence(self.task.metric, predictions, self.labels).astype(np.float32)
        usable = len(values) == self.total and bool(np.isfinite(values).all())
        return Known(subnet.key, self._costs_of(subnet), score, predictions, values if usable else None)

    def _costs_of(self, subnet: Subnet) -> dict[str, float]:
        return {name: float(cost(subnet)) for name, cost in self._costs.items()}
