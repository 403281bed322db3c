"""Every form of a compressed model: score, difference from torch, latency and size, side by side.

    python benchmarks/exports.py --model RUN/models/m46 [--model RUN/teacher] --data DATA/stsb [--out FILE]

About two minutes of a core for a model of six layers on STS-B. The forms are scored on the validation split and timed
on its lengths, all of them taking turns. Static int8 has its ranges from training rows. OpenVINO's forms are left out
where it is not installed. The result is printed, and written with --out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sublm
from sublm.costs import Conditions, Job, measure_jobs, representative_lengths
from sublm.costs.conditions import RUNTIMES, is_installed
from sublm.export import FORMS, form_of, predict_onnx, write_forms
from sublm.export.exporting import size_of
from sublm.machine import describe_machine
from sublm.stages.exports import CALIBRATION_ROWS, CALIBRATION_TOKENS, differences
from sublm.tasks import encode_task, evaluation_batches, load_task, load_tokenizer, predict, score


def compare(folder: Path, task: str, data: Path, *, threads: int, rounds: int, rows: int | None) -> dict[str, Any]:
    """One model in every form."""
    model, tokenizer = sublm.load(folder), load_tokenizer(folder)
    encoded = encode_task(load_task(task, data=str(data)), tokenizer, 128)
    pad, train, validation = encoded.pad_token_id, encoded.splits["train"], encoded.splits["validation"]
    validation = validation.select(range(min(rows or len(validation), len(validation))))
    drawn = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_ROWS]
    texts = list(evaluation_batches(train.select(drawn), tokens=CALIBRATION_TOKENS, pad_token_id=pad))
    lengths = representative_lengths(validation.lengths.tolist(), samples=8)
    pairs = [(runtime, precision) for runtime in RUNTIMES if is_installed(runtime) for precision in RUNTIMES[runtime]]
    with tempfile.TemporaryDirectory() as out:
        forms = tuple(form for form in FORMS.values() if is_installed(form.runtime))
        files = write_forms(model, out, forms, tokenizer=tokenizer, calibration=texts)
        expected, entries, jobs = predict(model, validation), {}, {}
        for runtime, precision in pairs:
            form, name = form_of(runtime, precision), f"{runtime} {precision}"
            if form is None:
                copy = model if precision == "fp32" else sublm.load(folder).to(torch.bfloat16)
                found, size = predict(copy, validation), sum(p.numel() * p.element_size() for p in copy.parameters())
            else:
                batches = evaluation_batches(validation, pad_token_id=pad)
                found, size = predict_onnx(files[form.name], batches, precision=precision), size_of(files[form.name])
            entries[name] = {
                "runtime": runtime,
                "precision": precision,
                "scores": {key: round(value, 5) for key, value in score(found, validation, encoded.task).items()},
                "difference": {key: round(value, 6) for key, value in differences(found, expected).items()},
                "bytes": size,
            }
            jobs[name] = Job(
                model if form is None else files[form.name], Conditions(runtime, precision, threads, lengths)
            )
        for name, latency in measure_jobs(jobs, rounds=rounds, budget_s=120.0).items():
            found_ms = {key: round(getattr(latency, key), 3) for key in ("minimum", "median", "spread", "interrupted")}
            entries[name]["latency_ms"] = found_ms
    return {"model": folder.name, "rows": len(validation), "lengths": list(lengths), "forms": list(entries.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--rows", type=int, help="Score on so many rows only.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = {"threads": arguments.threads, "rounds": arguments.rounds, "rows": arguments.rows}
    result = {
        "task": arguments.task,
        "machine": describe_machine(),
        **options,
        "models": [compare(folder, arguments.task, arguments.data, **options) for folder in arguments.model],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
