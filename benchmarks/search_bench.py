"""What the searches of `search_methods.py` share: the trained super-network, its rows, every prediction made so far."""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sublm.costs import cost_model
from sublm.evaluation import Parts, SubnetEvaluator
from sublm.files import file_fingerprint, fingerprint
from sublm.progress import make_progress
from sublm.run import Run
from sublm.search import Evaluation, search
from sublm.search.racing import Racing, spread_order
from sublm.settings import Settings
from sublm.spaces import SPACES, SearchSpace, Subnet
from sublm.stages.opening import open_workspace
from sublm.stages.search import SEED_SHARES
from sublm.stages.supernet import Prepared, family, prepare_supernet, train_supernet
from sublm.stages.teacher import make_teacher
from sublm.stages.workspace import Workspace
from sublm.supernet import SuperNet
from sublm.tasks import Encoded, Task


@dataclass
class Bench:
    """What all searches share.

    Attributes:
        supernet: Trained.
        task: The task.
        encoded: The search rows.
        held_out: Rows of the validation split, which no search sees.
        spaces: By name.
        seeds: Sub-networks evaluated early, by space.
        precision: Of the forward passes.
        pad: Token that fills shorter rows.
        folder: Where traces lie.
        database: Where predictions are kept.
    """

    supernet: SuperNet
    task: Task
    encoded: Encoded
    held_out: Encoded
    spaces: dict[str, SearchSpace]
    seeds: dict[str, list[Subnet]]
    precision: str
    pad: int
    folder: Path
    database: Path


class OutOfTimeError(BaseException):
    """The minutes are over. No Exception, which a search would take for a failed evaluation."""


class Kept:
    """Predictions by part, from the disk where they are known; sums up what they cost."""

    def __init__(self, bench: Bench, rows: Sequence[np.ndarray], deadline: float) -> None:
        self.rows = rows
        self.macs = self.seconds = self.inside = 0.0
        self._parts = Parts(bench.supernet, bench.encoded, rows, pad_token_id=bench.pad, precision=bench.precision)
        self._deadline = deadline
        self._model = cost_model(bench.supernet)
        self._lengths = [np.unique(bench.encoded.lengths[part], return_counts=True) for part in rows]
        self._connection = connect(bench.database)

    def logits(self, subnet: Subnet, part: int) -> np.ndarray:
        """See `sublm.evaluation.Source`."""
        began = time.process_time()
        lengths, counts = self._lengths[part]
        self.macs += sum(
            int(n) * self._model.macs(subnet, int(length)) for length, n in zip(lengths, counts, strict=True)
        )
        row = self._connection.execute(
            "SELECT seconds, logits FROM predictions WHERE key = ? AND part = ?", (subnet.key, part)
        ).fetchone()
        if row is None:
            if time.monotonic() > self._deadline:
                raise OutOfTimeError
            start = time.process_time()
            found = self._parts.logits(subnet, part)
            seconds = time.process_time() - start
            self._connection.execute(
                "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?)", (subnet.key, part, seconds, found.tobytes())
            )
            self._connection.commit()
        else:
            seconds, content = row
            found = np.frombuffer(content, dtype=np.float32).reshape(len(self.rows[part]), -1)
        self.seconds += seconds
        self.inside += time.process_time() - began
        return found


def connect(path: Path) -> sqlite3.Connection:
    """The table of predictions; several processes write to it."""
    connection = sqlite3.connect(path, timeout=120)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS predictions "
        "(key TEXT, part INTEGER, seconds REAL, logits BLOB, PRIMARY KEY (key, part))"
    )
    return connection


def add_options(parser: argparse.ArgumentParser) -> None:
    """What decides the super-network, the rows and the spaces."""
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the super-network and all predictions")
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--space", nargs="+", default=["small", "medium"], choices=["small", "medium", "nested"])
    parser.add_argument("--rows", type=int, help="rows used of a split, drawn once; all if not given")
    parser.add_argument("--limit", type=int, help="training rows used")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--teacher-epochs", type=int, default=4)
    parser.add_argument("--step", type=int, default=32, help="neurons are kept in multiples of this")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--min-layers", type=int, help="fewest layers in the space small; all if not given")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The run that trains the super-network: on `nested` if that is searched, else on `medium`, which holds `small`."""
    return Settings(
        model=arguments.model,
        task=arguments.task,
        data=f"{arguments.data}/{arguments.task}",
        space="nested" if arguments.space == ["nested"] else "medium",
        step=arguments.step,
        limit=arguments.limit,
        epochs=arguments.epochs,
        teacher_epochs=arguments.teacher_epochs,
        max_length=arguments.max_length,
    )


def open_bench(arguments: argparse.Namespace) -> Bench:
    """Loads the trained super-network and its search rows."""
    settings, folder = settings_of(arguments), arguments.work / arguments.task
    with Run(folder, settings.deciding(), seed=settings.seed) as run:
        if run.result("train") is None:
            raise SystemExit("Train first: --prepare.")
        work = open_workspace(settings, run, make_progress(quiet=True))
        teacher = make_teacher(work)
        prepared = prepare_supernet(work, teacher)
        train_supernet(work, teacher, prepared)
    supernet = prepared.supernet
    supernet.model.eval()
    encoded, held_out = (_drawn(work.encoded[split], arguments.rows) for split in ("search", "validation"))
    small = {"step": arguments.step, "min_layers": arguments.min_layers or supernet.shape.layers}
    if prepared.importance is not None:
        small["layer_order"] = prepared.importance.layer_order()
    spaces = {"small": SPACES["small"](supernet, **small), settings.space: prepared.space}
    weights = file_fingerprint(folder / "supernet") + file_fingerprint(folder / "teacher")
    identity = fingerprint([weights, encoded.lengths.tolist(), encoded.labels.tolist(), work.precision])[:12]
    traces = folder / f"traces-{identity}"
    traces.mkdir(exist_ok=True)
    return Bench(
        supernet=supernet,
        task=work.data.task,
        encoded=encoded,
        held_out=held_out,
        spaces={name: spaces[name] for name in arguments.space},
        seeds={name: _seeds(work, prepared, spaces[name]) for name in arguments.space},
        precision=work.precision,
        pad=work.pad,
        folder=traces,
        database=folder / f"predictions-{identity}.sqlite",
    )


def _drawn(encoded: Encoded, rows: int | None) -> Encoded:
    """So many rows, like the whole in labels and lengths."""
    if rows is None or rows >= len(encoded):
        return encoded
    return encoded.select(np.sort(spread_order(encoded.labels, encoded.lengths, 0)[:rows]))


def _seeds(work: Workspace, prepared: Prepared, space: SearchSpace) -> list[Subnet]:
    """Those that a search of the main job begins with."""
    return family(work, Prepared(prepared.supernet, prepared.importance, space), SEED_SHARES)


def run_search(
    bench: Bench,
    source: Kept,
    space: str,
    method: str,
    seed: int,
    evaluations: int,
    note: Callable[[Evaluation], None],
    racing: Racing | None = None,
) -> None:
    """One search, told evaluation by evaluation.

    Raises:
        OutOfTimeError: If a prediction is not known and the source's time is over.
    """
    costs = {"macs": cost_model(bench.supernet).macs}
    search(
        bench.spaces[space],
        SubnetEvaluator(
            source, bench.encoded.labels, bench.task, costs=costs, racing=racing, exempt=bench.seeds[space]
        ),
        costs,
        sampler=method,
        evaluations=evaluations,
        seed=seed,
        seeds=bench.seeds[space],
        progress=note,
    )


def rungs(bench: Bench) -> list[np.ndarray]:
    """The rows by rung: the same for every search, so that predictions can be shared."""
    return Racing().parts(bench.encoded.labels, bench.encoded.lengths, 0)
