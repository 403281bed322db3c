"""A small search problem, also run as a program by the tests that need another process.

    python problem.py SAMPLER FOLDER EVALUATIONS [pause-at [WORKERS]]

`pause-at` makes the evaluation of that number print `paused` and wait for ever, so that it can be killed there. With
workers it is the evaluation begun after so many others, and it speaks on standard error, as all that workers say does.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from sublm.architectures.shape import Shape
from sublm.search import Constraint, search
from sublm.spaces import medium, nested, nested_subnets, small, uniform
from sublm.spaces.subnet import count

SHAPE = Shape(layers=4, hidden=32, heads=4, head_size=8, neurons=128)
SPACE = medium(SHAPE, step=16)


IMPORTANCE = SimpleNamespace(
    heads=[[4, 3, 2, 1 + layer] for layer in range(4)],
    neurons=[[(128 - i) / 100 + layer for i in range(128)] for layer in range(4)],
)


def macs(subnet):
    return float(sum(1000 * count(u) for u in subnet.heads) + sum(64 * count(u) for u in subnet.neurons))


def depth(subnet):
    return float(len(subnet.layers))


COSTS = {"macs": macs, "depth": depth}

SPACES = {
    # Two layers: samplers that look through a space take part too.
    "medium": medium(Shape(layers=2, hidden=32, heads=4, head_size=8, neurons=128), step=16),
    "nested": nested(SHAPE, IMPORTANCE, macs, step=16),
    "small": small(SHAPE, step=16),
    "uniform": uniform(SHAPE, step=16, hidden=[16, 24], stock=False),
}


def score(subnet):
    """Rises with every width, differently per layer, and a little unevenly; now and then NaN or an error."""
    lot = random.Random(subnet.key).random()
    if lot < 0.05:
        raise ValueError("this one does not work")
    if lot < 0.1:
        return {"score": math.nan, "other": 1.0}
    value = 1.0
    for layer, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True)):
        value -= 0.05 * (layer + 1) * math.exp(-count(heads)) + 0.2 / (layer + 1) * math.exp(-count(neurons) / 20)
    return {"score": value + 0.002 * lot, "other": lot}


def budget(space=SPACE):
    """At most 60 % of the largest."""
    return (Constraint("macs", 0.6 * macs(space.largest)),)


CONSTRAINTS = budget()


class Counted:
    """Scores, and does something when it is called for the n-th time in whatever process; it can be sent to workers."""

    def __init__(self, folder, events):
        self.folder, self.events = Path(folder), events

    def __call__(self, subnet):
        number = 0
        while True:
            try:
                os.close(os.open(self.folder / f"call-{number}", os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                number += 1
        with open(self.folder / "evaluated", "a") as file:
            file.write(f"{subnet.key}\n")
        event = self.events.get(number)
        if event == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "pause":
            print("paused", file=sys.stderr, flush=True)
            signal.pause()
        return score(subnet)


def run(sampler, folder=None, evaluations=40, seed=3, evaluate=score, space=SPACE, **settings):
    seeds = nested_subnets(SHAPE, IMPORTANCE, macs, [0.3 * macs(SPACE.largest)], step=16)
    return search(
        space,
        evaluate,
        COSTS,
        sampler=sampler,
        evaluations=evaluations,
        seed=seed,
        folder=folder,
        **{"constraints": budget(space), "seeds": [s for s in seeds if space.contains(s)]} | settings,
    )


def trace(result):
    """All of a result that must not depend on when and where it was made (NaN equals NaN here)."""
    return [
        (e.number, e.subnet.key, repr(e.score), repr(sorted(e.metrics.items())), dict(e.costs), e.origin, e.error)
        for e in result.evaluations
    ] + [[e.number for e in result.front]]


if __name__ == "__main__":
    pause_at = int(sys.argv[4]) if len(sys.argv) > 4 else None
    done = 0

    def evaluate(subnet):
        global done
        if done == pause_at:
            print("paused", flush=True)
            sys.stdin.read()
        done += 1
        return score(subnet)

    folder = None if sys.argv[2] == "-" else Path(sys.argv[2])
    if len(sys.argv) > 5:
        workers, calls = int(sys.argv[5]), folder.with_name("calls")
        calls.mkdir()
        run(sys.argv[1], folder, int(sys.argv[3]), evaluate=Counted(calls, {pause_at: "pause"}), workers=workers)
    print(repr(trace(run(sys.argv[1], folder, int(sys.argv[3]), evaluate=evaluate))))
