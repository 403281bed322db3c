"""Racing: which rows a candidate is judged on first, and when it may be given up.

All candidates are judged on the same rows, first on a few of them, then on about twice as many, and so on (the rungs).
A candidate is dropped at a rung when a paired test says that its score on *all* rows would be no higher than that of a
sub-network evaluated in full that costs no more. The racing of models against each other on common rows goes back to
Maron and Moore (1994); here each is raced against the front instead of the other candidates.

**What is risked.** A candidate whose full score is higher (by more than the margin) than that of the sub-network it is
tested against is dropped with a probability of at most `level`, over the draw of the rows. Each of the K rungs before
the last is tested at `level / K` (Bonferroni). The test is Student's t on influence values, with the correction
for rows drawn without replacement from a finite set; enough rows must weigh in it (`MIN_DIFFERING`)
for that to be a fair approximation.

**Control variates.** Sub-networks share their weights and much of their mistakes. What those of similar cost, evaluated
in full, did on the rows not seen tells what the candidate will do there: the difference is estimated by regression on
their influence values, whose mean over all rows is known (the regression estimator; Cochran, 1977, chapter 7). The
slopes are estimated too, which adds to the error the more, the further the rows seen are off in the controls: with f
the share of the n rows seen, m the controls' mean on them and X the controls less m, the variance of the difference is
that of the residuals, times (1 - f) / n + m' (X' X)^-1 m.

**What a dropped candidate is worth.** Its score is that of the sub-network it lost to, plus the difference estimated on
the rows seen, and in any case below it: so it is dominated by a sub-network that is there, and is never on a front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublm.errors import RunError
from sublm.search.evaluation import Evaluation

LEAST_ROWS = 64
"""Rows of the smallest rung: with fewer, the test is too rough."""
MOST_RUNGS = 6
MIN_DIFFERING = 10
"""So many rows must weigh in a test; where models differ on few rows only, their difference is not nearly normal."""
MOST_CONTROLS = 16
"""Known sub-networks that help to estimate a candidate's score on the rows not seen."""


@dataclass(frozen=True)
class Racing:
    """How candidates are raced.

    Attributes:
        level: Probability, at most, that a candidate is dropped that is better than what it is tested against by more
            than the margin.
        margin: What is not better by more than this is dropped too; a tenth of a point is worth no evaluation.
        least_rows: Rows of the smallest rung, at least.
        most_rungs: Rungs, the last (all rows) included, at most.
    """

    level: float = 0.05
    margin: float = 0.001
    least_rows: int = LEAST_ROWS
    most_rungs: int = MOST_RUNGS

    def __post_init__(self) -> None:
        if not 0 < self.level < 0.5:
            raise RunError(f"racing_level is a probability above 0 and below 0.5, such as 0.05; got {self.level}.")
        if not 0 <= self.margin < 1:
            raise RunError(f"racing_margin is a difference of scores, from 0 to below 1; got {self.margin}.")
        if self.least_rows < 2 or self.most_rungs < 1:
            raise RunError(f"Racing needs rungs of at least 2 rows; got {self}.")

    def rungs(self, rows: int) -> tuple[int, ...]:
        """Numbers of rows to judge on, rising to all of them: each about half of the next."""
        found = [rows]
        while len(found) < self.most_rungs and found[-1] // 2 >= self.least_rows:
            found.append(found[-1] // 2)
        return tuple(reversed(found))

    def parts(self, labels: np.ndarray, lengths: np.ndarray, seed: int) -> list[np.ndarray]:
        """The rows that each rung adds, drawn once: see `spread_order`."""
        order = spread_order(labels, lengths, seed)
        return [np.sort(part) for part in np.split(order, self.rungs(len(order))[:-1])]


@dataclass(frozen=True)
class Verdict:
    """What a test said.

    Attributes:
        dropped: Whether the candidate is given up.
        difference: Its score less the other's on the rows seen.
        error: Standard error of that difference as an estimate of the one on all rows.
    """

    dropped: bool
    difference: float
    error: float


def spread_order(labels: np.ndarray, lengths: np.ndarray, seed: int) -> np.ndarray:
    """An order of the rows in which every beginning is like the whole in its labels and lengths.

    Rows are sorted by label, then length. Of every two neighbours one, drawn at random, stays; the same is done with
    those that stay, and so on. What stays longest comes first. Every row has the same chance of every place, and each
    halving is a stratified draw with one row from each pair.

    Args:
        labels: [N]; of labels with more than one number per row only the lengths decide.
        lengths: [N].
        seed: Of the draw.

    Returns:
        [N] row numbers.
    """
    rng = np.random.default_rng(seed)
    keys = (lengths, labels) if np.ndim(labels) == 1 else (lengths,)
    left = np.lexsort(keys)
    added: list[np.ndarray] = []
    while len(left) > 1:
        first = rng.random((len(left) + 1) // 2) < 0.5
        keep = np.zeros(2 * len(first), dtype=bool)
        keep[0::2], keep[1::2] = first, ~first
        if len(left) % 2:
            keep = keep[:-1]  # the last row has no partner: it stays or goes by its own draw
        added.append(rng.permutation(left[~keep]))
        left = left[keep]
    return np.concatenate([left, *reversed(added)])


def judge(
    difference: float,
    values: np.ndarray,
    *,
    controls: np.ndarray | None = None,
    rows: int,
    total: int,
    rungs: int,
    racing: Racing,
) -> Verdict:
    """Whether a candidate's score on all rows is, by the rows seen, no higher than another's.

    Args:
        difference: The candidate's score less the other's, both on the rows seen.
        values: [rows seen] influence values of that difference (those of the candidate less those of the other).
        controls: [rows seen, controls] numbers known for all rows, of mean zero over them.
        rows: Number of rows seen.
        total: Number of all rows.
        rungs: Number of rungs, the last included.
        racing: Level and margin.

    Returns:
        The verdict; never dropped where the difference or its error is not a number.
    """
    from scipy.stats import t

    if rows >= total or not math.isfinite(difference) or not np.isfinite(values).all():
        return Verdict(False, difference, math.nan)
    rest, freedom = values - values.mean(), len(values) - 1
    weight = (1 - rows / total) / len(values)
    if controls is not None and controls.size:
        means = controls.mean(axis=0)
        left, sizes, right = np.linalg.svd(controls - means, full_matrices=False)
        told = sizes > 1e-6 * sizes[0]  # controls that say the same count once
        # The rows seen are off by `means` in the controls, and so by `pull @ rest` in what goes with them.
        pull = left[:, told] @ ((right[told] @ means) / sizes[told])
        difference -= float(pull @ rest)
        rest = rest - left[:, told] @ (left[:, told].T @ rest)
        weight += float(pull @ pull)
        freedom -= int(told.sum())
    squares = float(rest @ rest)
    if freedom < 2 or squares <= 0 or squares**2 / float((rest**4).sum()) < MIN_DIFFERING:
        return Verdict(False, difference, math.nan)
    error = math.sqrt(squares / freedom * weight)
    quantile = float(t.isf(racing.level / max(1, rungs - 1), freedom))
    return Verdict(difference + quantile * error < racing.margin, difference, error)


def dropped_score(difference: float, other: float) -> float:
    """What a dropped candidate is recorded with: the estimate of its full score, below that of the one it lost to."""
    return min(other + difference, float(np.nextafter(other, -math.inf)))


def summarise(evaluations: Sequence[Evaluation], total: int, level: float) -> dict[str, Any]:
    """What racing saved, in numbers.

    Args:
        evaluations: Those of the search.
        total: Rows of the search split.
        level: Level of the tests.

    Returns:
        "evaluations", "dropped", "level", and as shares of what full evaluations cost: "rows_share", "macs_share"
        (where MACs are known) and "seconds_share" (the time of a full one estimated from the share of the rows).
    """
    known = [e for e in evaluations if e.metrics.get("rows", 0) > 0]
    shares = [e.metrics["rows"] / total for e in known]
    found: dict[str, Any] = {
        "evaluations": len(known),
        "dropped": sum(e.dropped for e in known),
        "level": level,
        "rows_share": _ratio(sum(shares), len(known)),
    }
    if known and all("macs" in e.costs for e in known):
        spent = sum(share * e.costs["macs"] for share, e in zip(shares, known, strict=True))
        found |= {"macs_spent": spent * total, "macs_share": _ratio(spent, sum(e.costs["macs"] for e in known))}
    whole = sum(e.seconds / share for share, e in zip(shares, known, strict=True))
    found |= {"seconds": sum(e.seconds for e in known), "seconds_share": _ratio(sum(e.seconds for e in known), whole)}
    return found


def in_words(found: dict[str, Any]) -> str:
    """The summary as one sentence."""
    text = (
        f"Racing gave up {found['dropped']} of {found['evaluations']} sub-networks early: "
        f"{_percent(found.get('macs_share', found['rows_share']))} of the multiply-accumulates and "
        f"{_percent(found['seconds_share'])} of the time of full evaluations; "
        f"each test wrong with a probability of at most {found['level']:g}"
    )
    checked = found.get("checked")
    if checked:
        text += f". Of {checked} evaluated in full afterwards, {found['wrong']} were dropped wrongly"
        text += f" and {found['lost']} belong to the front (by {found['largest_loss']:.4f} at most)"
    return text + "."


def review(
    dropped: Sequence[tuple[Evaluation, float]],
    evaluations: Sequence[Evaluation],
    costs: Sequence[str],
    margin: float = 0.0,
) -> dict[str, Any]:
    """Compares dropped candidates' full scores, found out afterwards, with what they were dropped for.

    Args:
        dropped: Dropped evaluations, each with its score on all rows.
        evaluations: All evaluations.
        costs: The cost objectives.
        margin: That of the tests.

    Returns:
        "checked"; "wrong": those better, by more than the margin, than all that cost no more and were evaluated in
        full before them; "lost": those that nothing evaluated before or after beats; "largest_loss": how much the best
        of the lost is better by.
    """
    full = [e for e in evaluations if not e.dropped and math.isfinite(e.score)]
    wrong = lost = 0
    largest = 0.0
    for candidate, score in dropped:
        fitting = [e for e in full if all(e.costs[name] <= candidate.costs[name] for name in costs)]
        before = max((e.score for e in fitting if e.number < candidate.number), default=-math.inf)
        ever = max((e.score for e in fitting), default=-math.inf)
        wrong += score > before + margin
        if score > ever:
            lost += 1
            largest = max(largest, score - ever)
    return {"checked": len(dropped), "wrong": wrong, "lost": lost, "largest_loss": largest}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
