"""The shape that optimal sub-architecture extraction finds on real text, how far it can be trusted, and how fast it is.

    python benchmarks/optimal_extraction.py --data DATA --model MODEL

24 shapes from 2 to 6 layers and 96 to 384 wide are trained for some steps of masked language modelling on `DATA/books`
with the tokenizer of the model, three times each. `choices` has the choice for several ways of weighing the same
trainings; of the first, the default, there is the whole table by W. `oracle` is the W of the best of all over that of
the best which a stride of 1, 2, 4 or 8 finds; `latency` measures the chosen encoder beside the model's own. Killed, the
same command goes on. The result is printed and written to `results/optimal_extraction.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from sublm.costs.table import latency_table
from sublm.export import load
from sublm.pretraining import build_corpus
from sublm.progress import make_progress
from sublm.stages.extraction import ExtractionSettings, extract
from sublm.tasks import load_tokenizer

RESULT = Path(__file__).parent / "results" / "optimal_extraction.json"
LENGTH = 64
GRID = {"grid_layers": [2, 4, 6], "grid_heads": [6], "grid_hidden": [96, 192, 288, 384], "grid_neurons": [384, 1536]}
TOY = {"grid_layers": [1, 2], "grid_heads": [2], "grid_hidden": [16, 32], "grid_neurons": [32]}
SHOWN = ("chosen", "front", "stability", "oracle", "error", "costs", "maximum")


def make_corpus(data: Path, model: str, folder: Path, *, toy: bool) -> Path:
    """Packs the books once."""
    source = data / "books" / ("validation.parquet" if toy else "train.parquet")
    progress = make_progress(quiet=False)
    build_corpus([str(source)], load_tokenizer(model), folder, length=LENGTH, workers=1, progress=progress)
    return folder


def latencies(model: str, chosen: Path, lengths: list[int], rounds: int) -> list[dict[str, Any]]:
    """The chosen encoder and the model's own, in turns, on torch and ONNX Runtime."""
    encoders = {"model": AutoModel.from_pretrained(model).eval(), "chosen": load(chosen).base_model.eval()}
    table = latency_table(encoders, runtimes=["torch", "onnx"], lengths=lengths, rounds=rounds)
    kept = ("model", "runtime", "length", "minimum", "median", "spread", "rounds", "interrupted")
    rows = [{name: row[name] for name in kept} for row in table["measurements"]]
    base = {(row["runtime"], row["length"]): row["minimum"] for row in rows if row["model"] == "model"}
    return [row | {"speed_up": base[row["runtime"], row["length"]] / row["minimum"]} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--checks", type=int, default=5, help="how often the loss is taken in a training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--rounds", type=int, default=40, help="of latency measurements")
    parser.add_argument("--toy", action="store_true", help="four tiny shapes, less text: does the script work?")
    parser.add_argument("--work", type=Path, default=Path("runs/optimal_extraction"))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    corpus = make_corpus(given.data, given.model, given.work / "corpus", toy=given.toy)
    default = ExtractionSettings(
        out=given.work / "run",
        corpus=corpus,
        model=given.model,
        length=LENGTH,
        train_steps=given.steps,
        checks=given.checks,
        learning_rate=given.learning_rate,
        batch_size=[given.batch_size],
        seeds=given.seeds,
        compare_maximum=["bert-base", "bert-large"],
        rounds=given.rounds,
        **(TOY if given.toy else GRID),
    )
    ways = {
        "default": default,
        "embeddings not counted": replace(default, count_embeddings=False),
        "error extrapolated to 20 times the steps": replace(default, error_at=20 * given.steps),
        "latency instead of MACs": replace(default, cost="latency"),
    }
    progress = make_progress(quiet=False)
    found = {name: extract(settings, progress, overwrite=True) for name, settings in reversed(ways.items())}
    whole = found["default"]
    names = ("grid", "data", "table", "diverged", "machine")
    result = {
        "settings": {**default.configuration(), "corpus": "books", "model": Path(given.model).name},
        "start": whole["start"].replace(given.model, "the model"),
        **{name: whole[name] for name in names},
        "choices": {name: {key: found[name][key] for key in SHOWN} for name in ways},
        "latency": latencies(given.model, default.out / "architecture", [16, LENGTH, 128], given.rounds),
        "training_seconds": whole["seconds"],
        "processor_seconds_of_this_session": round(time.process_time() - started, 1),
    }
    text = json.dumps(result, indent=2)
    given.out.parent.mkdir(exist_ok=True, parents=True)
    given.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
