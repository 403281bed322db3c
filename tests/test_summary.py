import io
from pathlib import Path

import pytest
from rich.console import Console

from sublm.commands._summary import FrontSummary, LatencySummary, PlanSummary, show_count
from sublm.commands._trim_summary import TrimSummary

LATENCY = {"minimum": 4.0, "median": 4.2, "spread": 0.1}
FRONT = {
    "task": {"name": "stsb", "metric": "spearman"},
    "teacher": {"score": 0.8, "macs": 1000, "parameters": 22_713_985, "latency_ms": LATENCY},
    "chosen": "m50",
    "why": "Best [spearman] that meets macs<=50%.",
    "points": [
        {"name": "m50", "score": 0.82, "macs": 500, "parameters": 12_000_000, "latency_ms": LATENCY},
        {"name": "m10", "score": None, "macs": 100, "parameters": 900_000, "latency_ms": None},
    ],
    "baselines": [{"name": "original int8", "kind": "original int8", "score": 0.79, "latency_ms": LATENCY}],
}


def shown(result):
    console = Console(file=io.StringIO(), width=120)
    console.print(result)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_the_front_is_a_table_beside_the_original_and_the_baselines():
    lines = shown(FrontSummary(FRONT, Path("runs/stsb")))
    assert lines[0] == "stsb spearman kept MACs parameters latency"
    assert "the original 0.8000 100.0% 100% 22.7M 4.00 ms" in lines
    assert "m50 <- chosen 0.8200 102.5% 50% 12M 4.00 ms" in lines
    assert "m10 10% 900k" in lines
    assert "original int8 0.7900 98.8% 4.00 ms" in lines
    assert "Best [spearman] that meets macs<=50%." in lines
    assert f"Chosen {Path('runs/stsb/models/m50')}" in lines
    assert "m50 keeps 102.5% of the original's spearman with 50% of its MACs, 1.00 times as fast." in lines


def test_a_model_much_better_than_its_original_is_doubted():
    front = {**FRONT, "teacher": FRONT["teacher"] | {"score": 0.6, "train_seconds": 9.0}}
    assert any("more --teacher-epochs" in line for line in shown(FrontSummary(front, Path("r"))))
    given = {**front, "teacher": front["teacher"] | {"train_seconds": 0.0}}
    assert not any("more --teacher-epochs" in line for line in shown(FrontSummary(given, Path("r"))))


def test_a_trimming_is_told_in_sentences():
    report = {
        "model": "smaller",
        "tokens": {"before": 24320, "after": 325},
        "share_of_embeddings": {"before": 0.648, "after": 0.0242},
        "bytes": {"before": 39_063_487, "after": 13_780_570},
        "corpus": {"texts": 1200, "changed": 0.0, "tokens": 1.0, "unknown_before": 0.25, "unknown_after": 0.25},
        "check": {"texts": 10, "changed": 0.5, "tokens": 1.013, "unknown_before": 0.0, "unknown_after": 0.0},
    }
    said = " ".join(shown(TrimSummary(report)))
    assert "325 of 24,320 tokens are kept: 39.1 MB become 13.8 MB" in said
    assert "0.0% of the corpus (1,200) get other tokens; 25.0% of the tokens are unknown to the tokenizer" in said
    assert "50.0% of the other texts (10) get other tokens, +1.3% in number." in said


def test_a_front_without_a_choice_names_none():
    lines = shown(FrontSummary({**FRONT, "chosen": None, "why": "No model has a score."}, Path("r")))
    assert not any(line.startswith("Chosen") for line in lines)
    assert "No model has a score." in lines


def test_the_plan_tells_stages_and_time():
    plan = {
        "model": "m",
        "task": "rte",
        "rows": {"train": 100, "search": 15},
        "space": {"name": "small", "size": 12},
        "parameters": 22_713_985,
        "macs": 1_360_000_000,
        "smallest_macs": 136_000_000,
        "stages": [{"name": "teacher", "work": "4 epochs", "seconds": 90.0}],
        "seconds": 90.0,
        "plain_fine_tunings": 1.0,
    }
    lines = shown(PlanSummary(plan))
    assert lines[0] == "m on rte (100 train, 15 search rows)"
    assert "sub-networks from 136M MACs (10%) to 1.36G" in lines[1]
    assert "teacher 4 epochs 1 min 30 s" in lines
    assert lines[-1].startswith("About 1 min 30 s in all, or 1.0 plain fine-tunings")


def measured(model, minimum, **conditions):
    usual = {"runtime": "torch", "precision": "fp32", "threads": 1, "length": 64, "batch": 1}
    return {"model": model, "minimum": minimum, "median": minimum + 0.2, "spread": 0.1, **usual, **conditions}


def latencies(*rows, left_out=()):
    machine = {"processor": "CPU", "cores": 4, "torch": "2.9", "onnxruntime": "1.22"}
    return LatencySummary({"measurements": list(rows), "left_out": list(left_out), "machine": machine})


def test_latencies_are_sorted_and_compared_with_the_slowest():
    lines = shown(latencies(measured("slow", 8.0), measured("quick", 4.0)))
    assert lines[-3:-1] == ["quick 4.00 ms 4.20 ms 0.10 ms 2.00x", "slow 8.00 ms 8.20 ms 0.10 ms 1.00x"]
    same = "length 64, batch 1, runtime torch, precision fp32, threads 1"
    assert lines[-1] == f"{same}; CPU, 4 cores; torch 2.9, onnxruntime 1.22"


def test_only_what_reads_the_same_texts_is_compared_and_what_differs_has_a_column():
    rows = [measured("a", 8.0, runtime=r, length=n) for r in ("torch", "onnx") for n in (32, 128)]
    rows[2]["minimum"], rows[3]["minimum"] = 2.0, 4.0
    lines = shown(latencies(*rows, left_out=["onnx has no bf16; it has fp32, int8."]))
    assert lines[2:6] == [
        "a 32 onnx 2.00 ms 8.20 ms 0.10 ms 4.00x",
        "a 32 torch 8.00 ms 8.20 ms 0.10 ms 1.00x",
        "a 128 onnx 4.00 ms 8.20 ms 0.10 ms 2.00x",
        "a 128 torch 8.00 ms 8.20 ms 0.10 ms 1.00x",
    ]
    assert lines[-1] == "onnx has no bf16; it has fp32, int8."


@pytest.mark.parametrize("width", [80, 60, 30])
def test_no_digit_is_lost_where_the_window_is_too_narrow(width):
    rows = [measured(f"runs/reviews/models/m{n}", 1424.31 + n, length=n, batch=n) for n in (16, 128)]
    console = Console(file=io.StringIO(), width=width)
    console.print(latencies(*rows), crop=False)
    text = console.file.getvalue()
    assert "…" not in text.partition("runtime torch")[0]
    assert all(f"{row['minimum']:.2f} ms" in text for row in rows)
    assert any("1.00x" in line for line in text.splitlines())


def test_a_busy_machine_is_told_of():
    lines = shown(latencies(measured("a", 8.0, interrupted=0.2), measured("b", 4.0, interrupted=0.9)))
    assert any("interrupted up to 90% of the passes" in line for line in lines)
    assert not any("interrupted" in line for line in shown(latencies(measured("a", 8.0, interrupted=0.2))))


@pytest.mark.parametrize(("number", "text"), [(999, "999"), (22_713_985, "22.7M"), (1.36e9, "1.36G"), (5000, "5k")])
def test_counts(number, text):
    assert show_count(number) == text
