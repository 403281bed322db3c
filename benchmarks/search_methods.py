"""Every search method on a trained super-network, with full evaluation and with racing: front found against cost.

    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --prepare   # trains, once
    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --minutes 50 --workers 3
    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --summary   # table and plot

DATA holds one folder per task (`stsb/train.parquet`, ...), MODEL is a BERT-type model of 6 layers, 384 wide. One
super-network, trained on the space `medium`, serves both spaces.

What a sub-network says on a part of the search rows is computed once and kept in WORK for all methods, seeds and
modes. Each method is charged as if it ran alone: multiply-accumulates of the rows it asked for at their own lengths,
the processor seconds that those forward passes took when they were computed, and its own seconds of proposing and
testing. Run again, with more minutes or other methods, it goes on.

The hypervolume is taken on raw objectives, both to be lowered: loss = 1 - score, clipped to [0, 1], and the share of
the largest sub-network's multiply-accumulates; the reference point is (1, 1). Only sub-networks evaluated on all rows
count.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sublm.costs import cost_model
from sublm.errors import SubLMError
from sublm.evaluation import Parts, SubnetEvaluator
from sublm.files import file_fingerprint, fingerprint, write_json
from sublm.machine import describe_machine, library_versions
from sublm.pipeline import execute
from sublm.progress import make_progress
from sublm.run import Run
from sublm.search import SAMPLERS, search
from sublm.search.pareto import hypervolume
from sublm.search.racing import Racing, spread_order
from sublm.settings import Settings
from sublm.spaces import SPACES, SearchSpace, Subnet
from sublm.stages.opening import open_workspace
from sublm.stages.search import SEED_SHARES
from sublm.stages.supernet import Prepared, family, prepare_supernet, train_supernet
from sublm.stages.teacher import make_teacher
from sublm.stages.workspace import Workspace
from sublm.supernet import SuperNet
from sublm.tasks import Encoded, Task, compute_metrics

RESULTS = Path(__file__).parent / "results" / "search_methods"
MODES = ("full", "racing")
REFERENCE = ("nsga2", "full")
GOAL, BUDGET = 0.995, 0.1


@dataclass
class Bench:
    """What all searches share.

    Attributes:
        supernet: Trained.
        task: The task.
        encoded: The search rows.
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


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The run that trains the super-network."""
    return Settings(
        model=arguments.model,
        task=arguments.task,
        data=f"{arguments.data}/{arguments.task}",
        space="medium",
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
    supernet, encoded = prepared.supernet, work.encoded["search"]
    supernet.model.eval()
    if arguments.rows is not None and arguments.rows < len(encoded):
        order = spread_order(encoded.labels, encoded.lengths, 0)
        encoded = encoded.select(np.sort(order[: arguments.rows]))
    small = {"step": arguments.step, "min_layers": arguments.min_layers or supernet.shape.layers}
    if prepared.importance is not None:
        small["layer_order"] = prepared.importance.layer_order()
    spaces = {"small": SPACES["small"](supernet, **small), "medium": prepared.space}
    weights = file_fingerprint(folder / "supernet") + file_fingerprint(folder / "teacher")
    identity = fingerprint([weights, encoded.lengths.tolist(), encoded.labels.tolist(), work.precision])[:12]
    traces = folder / f"traces-{identity}"
    traces.mkdir(exist_ok=True)
    return Bench(
        supernet=supernet,
        task=work.data.task,
        encoded=encoded,
        spaces={name: spaces[name] for name in arguments.space},
        seeds={name: _seeds(work, prepared, spaces[name]) for name in arguments.space},
        precision=work.precision,
        pad=work.pad,
        folder=traces,
        database=folder / f"predictions-{identity}.sqlite",
    )


def _seeds(work: Workspace, prepared: Prepared, space: SearchSpace) -> list[Subnet]:
    """Those that a search of the main job begins with."""
    return family(work, Prepared(prepared.supernet, prepared.importance, space), SEED_SHARES)


def rungs(bench: Bench) -> list[np.ndarray]:
    """The rows by rung: the same for every search, so that predictions can be shared."""
    return Racing().parts(bench.encoded.labels, bench.encoded.lengths, 0)


def run_one(
    bench: Bench, space: str, method: str, mode: str, seed: int, evaluations: int, deadline: float
) -> dict[str, Any]:
    """One search; its trace has for every evaluation the key, the score, the share of the MACs and the sums so far."""
    source = Kept(bench, rungs(bench), deadline)
    model = cost_model(bench.supernet)
    whole = model.macs(bench.supernet.largest)
    evaluator = SubnetEvaluator(
        source,
        bench.encoded.labels,
        bench.task,
        costs={"macs": model.macs},
        racing=Racing() if mode == "racing" else None,
        exempt=bench.seeds[space],
    )
    trace: list[list[Any]] = []
    began = time.process_time()

    def note(evaluation: Any) -> None:
        overhead = time.process_time() - began - source.inside
        score = evaluation.score if evaluation.score == evaluation.score else None
        sums = [source.macs, round(source.seconds, 4), round(overhead, 4)]
        trace.append([evaluation.subnet.key, score, evaluation.costs["macs"] / whole, evaluation.dropped, *sums])

    found: dict[str, Any] = {"space": space, "method": method, "mode": mode, "seed": seed, "complete": True}
    try:
        search(
            bench.spaces[space],
            evaluator,
            {"macs": model.macs},
            sampler=method,
            evaluations=evaluations,
            seed=seed,
            seeds=bench.seeds[space],
            progress=note,
        )
    except OutOfTimeError:
        found["complete"] = False
    except (SubLMError, ValueError, ImportError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found | {"asked": evaluations, "trace": trace}


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, str, str, int]]:
    """All searches, the reference's first, then seed by seed, so that what is cut off is the last seeds."""
    modes = sorted(arguments.modes)
    reference = [(space, *REFERENCE, seed) for seed, space in product(range(arguments.seeds), arguments.space)]
    wanted = [
        (space, method, mode, seed)
        for seed, space, method, mode in product(range(arguments.seeds), arguments.space, arguments.methods, modes)
    ]
    first = [job for job in reference if job in wanted][: len(arguments.space)]
    yield from dict.fromkeys([*first, *wanted])


def work_through(bench: Bench, queue: Any, evaluations: int, deadline: float) -> None:
    """One process: takes searches until none is left or the time is over."""
    import torch

    torch.set_num_threads(1)
    while time.monotonic() < deadline:
        job = queue.get()
        if job is None:
            return
        found = run_one(bench, *job, evaluations, deadline)
        write_json(trace_path(bench, *job), found)
        last = found["trace"][-1] if found["trace"] else None
        said = found.get("error") or (f"{len(found['trace'])} evaluations, {last[5]:.0f} s" if last else "nothing")
        print(*job, said, "" if found["complete"] else "(cut off)", flush=True)


def trace_path(bench: Bench, space: str, method: str, mode: str, seed: int) -> Path:
    """Where a search's trace lies."""
    return bench.folder / f"{space}-{method}-{mode}-{seed}.json"


def is_done(path: Path, evaluations: int) -> bool:
    """Whether a search went as far as asked."""
    if not path.exists():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    return bool(found["complete"] and "error" not in found and found["asked"] >= evaluations)


def run_all(bench: Bench, arguments: argparse.Namespace) -> None:
    """All searches that are not done, in several processes, until the minutes are over."""
    evaluations = max(arguments.evaluations)
    left = [job for job in jobs(arguments) if not is_done(trace_path(bench, *job), evaluations)]
    deadline = time.monotonic() + 60 * arguments.minutes
    connect(bench.database).close()
    context = multiprocessing.get_context("fork")  # the super-network is loaded once
    queue: Any = context.Queue()
    for job in [*left, *[None] * arguments.workers]:
        queue.put(job)
    options = (bench, queue, evaluations, deadline)
    processes = [context.Process(target=work_through, args=options) for _ in range(arguments.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    queue.cancel_join_thread()


# What came out


def volumes(trace: list[list[Any]]) -> np.ndarray:
    """The hypervolume after every evaluation."""
    points = [
        (1 - min(max(score, 0.0), 1.0), share) if score is not None and not dropped else (np.nan, np.nan)
        for _, score, share, dropped, *_ in trace
    ]
    found, best = [], 0.0
    front: list[tuple[float, float]] = []
    for point in points:
        if point[0] == point[0] and not any(a <= point[0] and b <= point[1] for a, b in front):
            front = [*(p for p in front if not (point[0] <= p[0] and point[1] <= p[1])), point]
            best = hypervolume(front, (1.0, 1.0))
        found.append(best)
    return np.array(found)


def summarise(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything by space, method and mode: mean and spread over the seeds."""
    traces = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(bench.folder.glob("*.json"))]
    traces = [t for t in traces if t["space"] in arguments.space and t["trace"]]
    found: dict[str, Any] = {
        "task": bench.task.name,
        "metric": bench.task.metric,
        "rows": len(bench.encoded),
        "rungs": list(Racing().rungs(len(bench.encoded))),
        "precision": bench.precision,
        "hypervolume": {"objectives": ["1 - score", "share of the largest's MACs"], "reference": [1.0, 1.0]},
        "machine": describe_machine(),
        "versions": library_versions(),
        "spaces": {},
    }
    for space in arguments.space:
        here = [t for t in traces if t["space"] == space]
        reference = [t for t in here if (t["method"], t["mode"]) == REFERENCE]
        if not reference:
            continue
        reached = (
            min(len(t["trace"]) for t in reference if t["complete"])
            if any(t["complete"] for t in reference)
            else max(len(t["trace"]) for t in reference)
        )
        reference = [t for t in reference if len(t["trace"]) >= reached]
        level = statistics.mean(float(volumes(t["trace"])[reached - 1]) for t in reference)
        macs = statistics.mean(t["trace"][reached - 1][4] for t in reference)
        seconds = statistics.mean(sum(t["trace"][reached - 1][5:7]) for t in reference)
        entry: dict[str, Any] = {
            "settings": bench.spaces[space].size
            if bench.spaces[space].size < 1e15
            else f"{bench.spaces[space].size:.3g}",
            "reference": {
                "method": "nsga2, full evaluation",
                "evaluations": reached,
                "seeds": len(reference),
                "hypervolume": level,
                "macs": macs,
                "seconds": seconds,
            },
            "methods": {},
        }
        for method, mode in sorted({(t["method"], t["mode"]) for t in here}):
            own = [t for t in here if (t["method"], t["mode"]) == (method, mode)]
            entry["methods"][f"{method}, {mode}"] = _method(own, arguments.evaluations, level, macs, seconds)
            if mode == "racing":
                entry["methods"][f"{method}, {mode}"]["risk"] = _risk(bench, own)
        found["spaces"][space] = entry
    return found


def _method(
    traces: list[dict[str, Any]], milestones: list[int], level: float, macs: float, seconds: float
) -> dict[str, Any]:
    curves = [(t, volumes(t["trace"]) / level) for t in traces]
    found: dict[str, Any] = {"at": {}, "seeds": len(traces)}
    for count in milestones:
        rows = []
        for t, curve in curves:
            ended = t["complete"] and "error" not in t and t["asked"] >= count  # a small space ends before
            if len(curve) >= count or ended:
                last = min(count, len(curve)) - 1
                spent = t["trace"][last]
                rows.append((curve[last], spent[4] / macs, (spent[5] + spent[6]) / seconds, spent[6]))
        if rows:
            names = ("hypervolume", "macs", "seconds", "own_seconds")
            found["at"][str(count)] = {
                name: _spread(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
            }
    by_macs = [(curve, [row[4] / macs for row in t["trace"]]) for t, curve in curves]
    by_time = [(curve, [(row[5] + row[6]) / seconds for row in t["trace"]]) for t, curve in curves]
    found["at_a_tenth_of_the_macs"] = _spread([_at(curve, cost, BUDGET) for curve, cost in by_macs])
    found["at_a_tenth_of_the_seconds"] = _spread([_at(curve, cost, BUDGET) for curve, cost in by_time])
    needed = [_needed(curve, cost) for curve, cost in by_macs]
    reached = [value for value in needed if value is not None]
    found["macs_for_the_goal"] = {"reached_by": len(reached), **(_spread(reached) if reached else {})}
    found["dropped"] = _spread([sum(row[3] for row in t["trace"]) / len(t["trace"]) for t in traces])
    found["errors"] = sorted({t["error"] for t in traces if "error" in t})
    return found


def _at(curve: np.ndarray, cost: list[float], budget: float) -> float:
    inside = int(np.searchsorted(cost, budget, "right"))
    return float(curve[inside - 1]) if inside else 0.0


def _needed(curve: np.ndarray, cost: list[float]) -> float | None:
    reached = np.flatnonzero(curve >= GOAL)
    return cost[reached[0]] if len(reached) else None


def _risk(bench: Bench, traces: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the dropped candidates that another search evaluated in full, how many are better by more than the margin."""
    connection, rows = connect(bench.database), rungs(bench)
    checked = wrong = 0
    largest = 0.0
    for t in traces:
        for number, (key, _, share, dropped, *_) in enumerate(t["trace"]):
            if not dropped:
                continue
            parts = dict(connection.execute("SELECT part, logits FROM predictions WHERE key = ?", (key,)))
            if len(parts) < len(rows):
                continue
            logits = np.concatenate(
                [np.frombuffer(parts[i], dtype=np.float32).reshape(len(part), -1) for i, part in enumerate(rows)]
            )
            full = np.empty_like(logits)
            full[np.concatenate(rows)] = logits
            score = compute_metrics(full, bench.encoded.labels, bench.task)[bench.task.metric]
            before = [row[1] for row in t["trace"][:number] if not row[3] and row[2] <= share and row[1] is not None]
            checked += 1
            wrong += score > max(before) + Racing().margin
            largest = max(largest, score - max(before))
    connection.close()
    return {"checked": checked, "wrong": wrong, "margin": Racing().margin, "largest_excess": largest}


def _spread(values: Sequence[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 5), "deviation": round(deviation, 5)}


def show(found: dict[str, Any], milestones: list[int]) -> None:
    """The table: hypervolume in percent of the reference's, and in brackets the share of its MACs spent."""
    for space, entry in found["spaces"].items():
        reference = entry["reference"]
        print(
            f"\n{found['task']}, space {space}: hypervolume in % of {reference['evaluations']} full NSGA-II "
            f"evaluations ({reference['hypervolume']:.4f}), in brackets % of their MACs"
        )
        heads = [*(str(count) for count in milestones), "10 % MACs", "10 % time", "MACs for 99.5 %", "wrong drops"]
        print(f"{'method':<24}" + "".join(f"{head:>17}" for head in heads))
        for name, method in entry["methods"].items():
            cells = []
            for count in milestones:
                at = method["at"].get(str(count))
                cells.append(f"{100 * at['hypervolume']['mean']:.2f} ({100 * at['macs']['mean']:.1f})" if at else "-")
            cells += [
                f"{100 * method[key]['mean']:.2f}" for key in ("at_a_tenth_of_the_macs", "at_a_tenth_of_the_seconds")
            ]
            goal = method["macs_for_the_goal"]
            cells.append(
                f"{100 * goal['mean']:.1f} ({goal['reached_by']}/{method['seeds']})" if "mean" in goal else "-"
            )
            risk = method.get("risk")
            cells.append(f"{risk['wrong']}/{risk['checked']}" if risk else "")
            print(f"{name:<24}" + "".join(f"{cell:>17}" for cell in cells))


def plot(found: dict[str, Any], path: Path) -> None:
    """Hypervolume against MACs spent, a panel per space."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    spaces = list(found["spaces"])
    figure, panels = pyplot.subplots(1, len(spaces), figsize=(7 * len(spaces), 5), squeeze=False)
    names = sorted({name.rpartition(", ")[0] for entry in found["spaces"].values() for name in entry["methods"]})
    colours = {name: pyplot.get_cmap("tab20")(i % 20) for i, name in enumerate(names)}
    for panel, space in zip(panels[0], spaces, strict=True):
        entry = found["spaces"][space]
        for name, method in entry["methods"].items():
            sampler, _, mode = name.rpartition(", ")
            points = [(at["macs"]["mean"], at["hypervolume"]["mean"]) for at in method["at"].values()]
            if points:
                line = "-" if mode == "racing" else ":"
                marks = {"marker": "o", "markersize": 3, "linewidth": 1.3}
                panel.plot(*zip(*points, strict=True), line, color=colours[sampler], label=name, **marks)
        panel.axhline(GOAL, color="0.5", linewidth=0.8)
        panel.axvline(BUDGET, color="0.5", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_xlabel(f"forward MACs, share of {entry['reference']['evaluations']} full NSGA-II evaluations")
        panel.set_ylabel("hypervolume, share of theirs")
        panel.set_title(f"{found['task']}, {space} ({found['rows']} rows)")
        panel.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the super-network and all predictions")
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--prepare", action="store_true", help="train the super-network and stop")
    parser.add_argument("--summary", action="store_true", help="only the table, the JSON and the plot")
    parser.add_argument("--space", nargs="+", default=["small", "medium"], choices=["small", "medium"])
    parser.add_argument("--methods", nargs="+", default=sorted(SAMPLERS), choices=sorted(SAMPLERS))
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[25, 50, 100, 200, 500])
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rows", type=int, help="search rows used, drawn once; all if not given")
    parser.add_argument("--limit", type=int, help="training rows used")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--teacher-epochs", type=int, default=4)
    parser.add_argument("--step", type=int, default=32, help="neurons are kept in multiples of this")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--min-layers", type=int, help="fewest layers in the space small; all if not given")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    if arguments.prepare:
        execute(settings_of(arguments), arguments.work / arguments.task, make_progress(), until="train")
        return
    bench = open_bench(arguments)
    if not arguments.summary:
        run_all(bench, arguments)
    found = summarise(bench, arguments)
    arguments.results.mkdir(parents=True, exist_ok=True)
    write_json(arguments.results / f"{arguments.task}.json", found)
    show(found, arguments.evaluations)
    plot(found, arguments.results / f"{arguments.task}.png")


if __name__ == "__main__":
    main()
