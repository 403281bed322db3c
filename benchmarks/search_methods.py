"""Every search method on a trained super-network, with full evaluation and with racing: front found against cost.

    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --prepare   # trains, once
    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --minutes 50 --workers 3
    python benchmarks/search_methods.py --data DATA --model MODEL --work WORK --task stsb --summary   # table and plot

DATA holds one folder per task (`stsb/train.parquet`, ...), MODEL is a BERT-type model of 6 layers, 384 wide. One
super-network, trained on the space `medium`, serves both spaces. `--space nested` alone is another one, in a WORK of
its own.

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
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from search_bench import Bench, Kept, OutOfTimeError, add_options, connect, open_bench, run_search, rungs, settings_of
from search_results import REFERENCE, plot, summarise, table

from sublm.costs import cost_model
from sublm.errors import SubLMError
from sublm.files import write_json
from sublm.pipeline import execute
from sublm.progress import make_progress
from sublm.search import SAMPLERS, Evaluation
from sublm.search.racing import Racing

RESULTS = Path(__file__).parent / "results" / "search_methods"
MODES = ("full", "racing")


def run_one(
    bench: Bench, space: str, method: str, mode: str, seed: int, evaluations: int, deadline: float
) -> dict[str, Any]:
    """One search; its trace has for every evaluation the key, the score, the share of the MACs and the sums so far."""
    source = Kept(bench, rungs(bench), deadline)
    whole = cost_model(bench.supernet).macs(bench.supernet.largest)
    trace: list[list[Any]] = []
    began = time.process_time()

    def note(evaluation: Evaluation) -> None:
        overhead = time.process_time() - began - source.inside
        score = evaluation.score if evaluation.score == evaluation.score else None
        sums = [source.macs, round(source.seconds, 4), round(overhead, 4)]
        trace.append([evaluation.subnet.key, score, evaluation.costs["macs"] / whole, evaluation.dropped, *sums])

    found: dict[str, Any] = {"space": space, "method": method, "mode": mode, "seed": seed, "complete": True}
    try:
        racing = Racing() if mode == "racing" else None
        run_search(bench, source, space, method, seed, evaluations, note, racing)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--prepare", action="store_true", help="train the super-network and stop")
    parser.add_argument("--summary", action="store_true", help="only the table, the JSON and the plot")
    parser.add_argument("--methods", nargs="+", default=sorted(SAMPLERS), choices=sorted(SAMPLERS))
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[25, 50, 100, 200, 500])
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if "nested" in arguments.space and len(arguments.space) > 1:
        parser.error("nested has a super-network of its own; search it alone.")
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
    name = arguments.task + ("-nested" if arguments.space == ["nested"] else "")
    write_json(arguments.results / f"{name}.json", found)
    text = table(found)
    (arguments.results / f"{name}.txt").write_text(text, encoding="utf-8")
    print(text)
    plot(found, arguments.results / f"{name}.png")


if __name__ == "__main__":
    main()
