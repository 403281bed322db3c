"""Measured latency of models, the candidates taking turns."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sublm.costs.conditions import Conditions
from sublm.costs.lengths import representative_lengths
from sublm.costs.runtimes import Candidate, Ready, make_ready
from sublm.errors import LatencyError

Passes = list[tuple[float, float]]
"""Of every input, the milliseconds that went by and those that the processor worked."""

_MIN_ROUNDS = 3  # below that neither a median nor a spread means anything
_UNINTERRUPTED = 0.97  # a pass that had the core for less of its time than this was interrupted


@dataclass(frozen=True)
class Latency:
    """The latency of one forward pass, in milliseconds, over the rounds of a measurement.

    Attributes:
        minimum: The least disturbed pass, of several lengths the mean of each one's: what to compare by on a busy
            machine, where no whole round goes undisturbed. Where other processes interrupted every single pass, it is
            the least processor time that one took (of models and files, in one thread on the CPU only). Functions are
            timed by the clock alone: what they wait for is part of their latency.
        median: The middle round.
        mean: The mean round.
        spread: The interquartile range.
        rounds: Number of rounds.
        runtime: "torch", "onnx" or "openvino".
        precision: "fp32", "bf16" or "int8"; "file" where a file decides and nobody said what it holds.
        threads: Threads of one forward pass.
        length: Tokens, or the lengths over which each round takes the mean.
        batch: Sequences in one forward pass.
        device: Device of the model, such as "cpu".
        interrupted: Share of the passes during which other processes had the core (of models and files, in one thread
            on the CPU only; else 0).
    """

    minimum: float
    median: float
    mean: float
    spread: float
    rounds: int
    runtime: str
    precision: str
    threads: int
    length: int | tuple[int, ...]
    batch: int
    device: str = "cpu"
    interrupted: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = asdict(self)
        return data | {"length": list(self.length) if isinstance(self.length, tuple) else self.length}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """Reads what `to_dict` wrote."""
        length = data["length"]
        return cls(**{**data, "length": tuple(length) if isinstance(length, list) else length})


@dataclass(frozen=True)
class Job:
    """Something to measure: a candidate under conditions.

    Attributes:
        model: What to run.
        conditions: How.
    """

    model: Candidate
    conditions: Conditions


def measure_latency(
    models: Mapping[str, Candidate],
    *,
    runtime: str = "torch",
    precision: str | None = None,
    threads: int = 1,
    length: int | Sequence[int] = 128,
    batch: int = 1,
    rounds: int = 30,
    warmup: int = 3,
    budget_s: float | None = None,
    samples: int = 16,
    seed: int = 0,
) -> dict[str, Latency]:
    """Measures models against each other, one forward pass of each in every round, in a shuffled order.

    Args:
        models: Name -> what to run. With "torch": a model (put in evaluation mode meanwhile), or a function of a
            batch `{"input_ids": [batch, length], "attention_mask": [batch, length]}`, timed by the clock alone. With
            "onnx" and "openvino": the path of an `.onnx` file, or such a function. In multiple choice, a batch holds
            one choice of each example.
        runtime: "torch", "onnx" (ONNX Runtime; `pip install sublm[onnx]`) or "openvino" (`sublm[openvino]`), the last
            two on the CPU.
        precision: "fp32" by default. "bf16" measures a copy of a torch model in that type, as it would be deployed.
            For a file it says what the file holds ("file" by default: not known); OpenVINO also takes "bf16".
        threads: Threads that one forward pass may use; torch's own number is restored afterwards.
        length: Tokens of a sequence, or the lengths of a task's own texts: a round is then the mean over `samples`
            representative ones (`representative_lengths`).
        batch: Sequences in one forward pass, all of the same length.
        rounds: Rounds that count.
        warmup: Rounds before them that do not.
        budget_s: Seconds after which no further round starts, once three are made.
        samples: How many lengths to take of several.
        seed: Of the order and the tokens.

    Returns:
        Name -> latency, in the order given.

    Raises:
        LatencyError: If an argument cannot be used, or a model cannot be run; it is named.
        MissingPackageError: If the runtime is not installed.
    """
    stated = int(length) if isinstance(length, (int, np.integer)) else representative_lengths(length, samples)
    chosen = precision or ("fp32" if runtime == "torch" else "file")
    conditions = Conditions(runtime, chosen, threads, stated, batch)
    jobs = {name: Job(model, conditions) for name, model in models.items()}
    return measure_jobs(jobs, rounds=rounds, warmup=warmup, budget_s=budget_s, seed=seed)


def measure_jobs(
    jobs: Mapping[str, Job],
    *,
    rounds: int = 30,
    warmup: int = 3,
    budget_s: float | None = None,
    seed: int = 0,
) -> dict[str, Latency]:
    """Measures models under several conditions in one session, one turn of each job in every round.

    The order is shuffled: a slow spell of the machine hits all jobs alike, and no job always follows the same other
    one. Before it is timed, a job runs once, so that others have not emptied the caches for it.

    Args:
        jobs: Name -> what to measure.
        rounds: Rounds that count.
        warmup: Rounds before them that do not.
        budget_s: Seconds after which no further round starts, once three are made.
        seed: Of the order and the tokens.

    Returns:
        Name -> latency, in the order given.

    Raises:
        LatencyError: If an argument cannot be used, or a job cannot be run; it is named.
        MissingPackageError: If a runtime is not installed.
    """
    for name, value, least in (("rounds", rounds, 1), ("warmup", warmup, 0)):
        if value < least:
            raise LatencyError(f"{name} must be at least {least}; got {value}.")
    order_rng = random.Random(seed)
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.enter_context(torch.inference_mode())
        copies: dict[int, nn.Module] = {}
        runs: dict[str, Ready] = {}
        for name, job in jobs.items():
            length = job.conditions.length
            lengths = representative_lengths([length] if isinstance(length, int) else length, 10**6)
            runs[name] = make_ready(name, job.model, job.conditions, lengths, seed, stack, copies)
        recorded: dict[str, list[Passes]] = {name: [] for name in runs}
        order = list(runs)
        started = time.perf_counter()
        for number in range(-warmup, rounds):
            if number == 0:
                started = time.perf_counter()
            if budget_s is not None and number >= _MIN_ROUNDS and time.perf_counter() - started > budget_s:
                break
            order_rng.shuffle(order)
            for name in order:
                elapsed = _one_turn(name, runs[name])
                if number >= 0:
                    recorded[name].append(elapsed)
    return {name: _summary(times, jobs[name].conditions, runs[name]) for name, times in recorded.items()}


def _one_turn(name: str, ready: Ready) -> Passes:
    """Milliseconds of a forward pass over each input, by the clock and of the processor.

    An untimed pass comes first: it brings the weights back into the caches, where they are when a model runs alone.
    Without it, small models measure up to 10 % slower than they run when deployed, as candidates evict each other.
    """
    if torch.get_num_threads() != ready.threads:
        torch.set_num_threads(ready.threads)
    try:
        ready.run(ready.inputs[0])
        elapsed = []
        for inputs in ready.inputs:
            busy, started = time.process_time_ns(), time.perf_counter_ns()
            ready.run(inputs)
            ended = time.perf_counter_ns()
            elapsed.append(((ended - started) / 1e6, (time.process_time_ns() - busy) / 1e6))
        return elapsed
    except Exception as error:
        raise LatencyError(
            f"{name} could not be measured: {type(error).__name__}: {error}. "
            "Mend it or leave it out; a latency is never guessed."
        ) from error


def _summary(times: list[Passes], conditions: Conditions, ready: Ready) -> Latency:
    passes, busy = np.moveaxis(np.array(times), 2, 0)  # [rounds, lengths] each
    rounds = passes.mean(axis=1)
    # else processor time says nothing about latency
    alone = conditions.threads == 1 and ready.device == "cpu" and ready.in_process
    interrupted = busy < _UNINTERRUPTED * passes if alone else np.zeros_like(passes, dtype=bool)
    least = np.where(interrupted.all(axis=0), busy.min(axis=0), np.where(interrupted, np.inf, passes).min(axis=0))
    low, median, high = (float(q) for q in np.percentile(rounds, (25, 50, 75)))
    return Latency(
        minimum=float(least.mean()),
        median=median,
        mean=float(rounds.mean()),
        spread=high - low,
        rounds=len(times),
        runtime=conditions.runtime,
        precision=conditions.precision,
        threads=conditions.threads,
        length=conditions.length,
        batch=conditions.batch,
        device=ready.device,
        interrupted=float(interrupted.mean()),
    )
