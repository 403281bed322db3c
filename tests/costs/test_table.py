"""Conditions, their combinations, the table of latencies and what brings a model into a runtime's form."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMultipleChoice,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from sublm import cli
from sublm.costs import Conditions, Job, Latency, grid, latency_table, measure_jobs, measure_latency
from sublm.costs import table as table_module
from sublm.costs.stored import stored_precision
from sublm.errors import LatencyError, MissingPackageError
from sublm.export import Deployment, export_onnx, save

CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 32,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**CONFIG)).eval()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return save(model, tmp_path_factory.mktemp("models") / "tiny")


class Quick(torch.nn.Module):
    """A model that does nothing."""

    def forward(self, **inputs):
        return None


def remembering(asked):
    def measure(jobs, **options):
        asked.update(jobs)
        made = {}
        for number, (name, job) in enumerate(jobs.items(), 1):
            fields = job.conditions.to_dict() | {"length": job.conditions.length}
            made[name] = Latency(number, number, number, 0.0, options["rounds"], **fields)
        return made

    return measure


def test_every_combination_that_exists_is_made_and_the_rest_is_named():
    found, left_out = grid(["torch", "onnx"], ["fp32", "int8"], [1, 2], [8, 16, 8], [1])
    pairs = {(c.runtime, c.precision) for c in found}
    assert pairs == {("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")}
    assert len(found) == len(set(found)) == 3 * 2 * 2
    assert left_out == ["torch has no int8; it has fp32, bf16."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["tensorrt"],), "runtime must be one of torch, onnx, openvino; got 'tensorrt'"),
        ((["torch"], ["fp4"]), "precision must be one of fp32, bf16, fp16, int8, int8-static; got 'fp4'"),
        ((["onnx"], ["bf16"]), "Nothing is left to measure: onnx has no bf16"),
        ((["torch"], ["fp32"], [0]), "threads must be at least 1"),
        ((["torch"], ["fp32"], [1], [8], [0]), "batch must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    with pytest.raises(LatencyError, match=message):
        grid(*arguments)


def test_conditions_are_plain_both_ways():
    for length in (5, (3, 9)):
        conditions = Conditions("openvino", "bf16", 2, length, 4)
        assert Conditions.from_dict(json.loads(json.dumps(conditions.to_dict()))) == conditions
    of_numpy = Conditions(threads=np.int64(1), length=np.int32(5), batch=np.int64(4))
    assert json.loads(json.dumps(of_numpy.to_dict())) == Conditions(length=5, batch=4).to_dict()


def test_all_jobs_take_turns_each_with_its_own_threads():
    seen = []

    def run(name):
        return lambda inputs: seen.append((name, torch.get_num_threads(), tuple(inputs["input_ids"].shape)))

    before = torch.get_num_threads()
    jobs = {
        "one": Job(run("one"), Conditions(threads=1, length=4)),
        "two": Job(run("two"), Conditions(threads=2, length=7, batch=3)),
    }
    found = measure_jobs(jobs, rounds=4, warmup=0)
    assert torch.get_num_threads() == before
    assert set(seen) == {("one", 1, (1, 4)), ("two", 2, (3, 7))}
    names = [name for name, _, _ in seen][::2]
    assert all({names[i], names[i + 1]} == {"one", "two"} for i in range(0, 8, 2))
    assert (found["two"].threads, found["two"].length, found["two"].batch) == (2, 7, 3)


def test_the_minimum_is_taken_per_length(monkeypatch):
    # pass by pass, in nanoseconds: the short text is disturbed in one round, the long one in the other
    clock = iter(np.cumsum([0, 9, 0, 5, 0, 2, 0, 9]) * 1_000_000)
    clocks = {"now": 0}

    def tick():
        clocks["now"] = int(next(clock))
        return clocks["now"]

    monkeypatch.setattr("sublm.costs.latency.time.perf_counter_ns", tick)
    monkeypatch.setattr("sublm.costs.latency.time.process_time_ns", lambda: clocks["now"])
    found = measure_latency({"a": lambda inputs: None}, length=[3, 8], rounds=2, warmup=0)["a"]
    assert found.minimum == pytest.approx((2 + 5) / 2)
    assert found.median == pytest.approx(((9 + 5) / 2 + (2 + 9) / 2) / 2)


@pytest.mark.parametrize(("threads", "expected", "share"), [(1, (3 + 4) / 2, 0.75), (2, (6 + 4) / 2, 0.0)])
def test_passes_that_others_interrupted_do_not_count(threads, expected, share, monkeypatch):
    """The short text is interrupted in both rounds, the long one in the second; with more threads nobody can tell."""
    passes = [(6, 3), (4, 4), (9, 5), (5, 3)]
    walls, works = [0], [0]
    for wall, work in passes:
        walls += [walls[-1] + wall, walls[-1] + wall]
        works += [works[-1] + work, works[-1] + work]
    wall_clock, work_clock = iter(np.array(walls) * 1_000_000), iter(np.array(works) * 1_000_000)
    monkeypatch.setattr("sublm.costs.latency.time.perf_counter_ns", lambda: int(next(wall_clock)))
    monkeypatch.setattr("sublm.costs.latency.time.process_time_ns", lambda: int(next(work_clock)))
    found = measure_latency({"a": Quick()}, length=[3, 8], rounds=2, warmup=0, threads=threads)["a"]
    assert found.minimum == pytest.approx(expected)
    assert found.interrupted == share


def test_what_a_function_waits_for_is_part_of_its_latency(monkeypatch):
    """It asks another process, and has the processor for a hundredth of the time."""
    walls, works = itertools.count(0, 5_000_000), itertools.count(0, 50_000)
    monkeypatch.setattr("sublm.costs.latency.time.perf_counter_ns", lambda: next(walls))
    monkeypatch.setattr("sublm.costs.latency.time.process_time_ns", lambda: next(works))
    found = measure_latency({"remote": lambda inputs: None, "here": Quick()}, rounds=3, warmup=0)
    assert (found["remote"].minimum, found["remote"].interrupted) == (5.0, 0.0)
    assert (found["here"].minimum, found["here"].interrupted) == (0.05, 1.0)


def test_the_table_names_the_model_the_conditions_and_the_machine(model, folder):
    asked = {}
    found = latency_table(
        {"here": model, "there": folder}, lengths=[8, 16], batches=[1, 4], rounds=7, measure=remembering(asked)
    )
    assert json.loads(json.dumps(found)) == found
    assert len(found["measurements"]) == len(asked) == 2 * 2 * 2
    assert {row["model"] for row in found["measurements"]} == {"here", "there"}
    assert {(row["length"], row["batch"]) for row in found["measurements"]} == {(8, 1), (8, 4), (16, 1), (16, 4)}
    assert all(row["rounds"] == 7 and {"minimum", "median", "spread"} <= row.keys() for row in found["measurements"])
    assert found["machine"]["torch"]
    forms = {id(job.model) for job in asked.values()}
    assert len(forms) == 2  # one model each, whatever the number of conditions


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(model, monkeypatch):
    monkeypatch.setattr(table_module, "is_installed", lambda runtime: runtime == "torch")
    with pytest.raises(MissingPackageError, match=r"openvino.*sublm\[openvino\].*leave it out of --runtime"):
        latency_table({"a": model}, runtimes=["torch", "openvino"])


def test_files_beside_a_model_are_used_and_others_written_elsewhere(model, folder, tmp_path):
    pytest.importorskip("onnxruntime")
    with_file = save(model, tmp_path / "model")
    export_onnx(model, with_file / "model.onnx")
    there = Deployment(with_file, tmp_path / "scratch")
    assert there.form("onnx", "fp32") == with_file / "model.onnx"
    assert there.form("openvino", "bf16") == with_file / "model.onnx"
    quantised = there.form("onnx", "int8")
    assert quantised.parent == tmp_path / "scratch"
    assert b"MatMulInteger" in quantised.read_bytes()
    elsewhere = Deployment(folder, tmp_path / "other")
    assert elsewhere.form("onnx", "fp32").parent == tmp_path / "other"
    assert elsewhere.form("onnx", "fp32") == elsewhere.form("onnx", "fp32")
    assert sorted(path.suffix for path in Path(folder).iterdir()) == [".json", ".safetensors"]
    assert Deployment(with_file / "model.onnx", tmp_path / "third").form("onnx", "fp32") == with_file / "model.onnx"


@pytest.mark.parametrize(("runtime", "precision"), [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "bf16")])
def test_a_runtime_measures_what_it_is_given(runtime, precision, model, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxruntime" if runtime == "onnx" else "openvino")
    form = Deployment(model, tmp_path).form(runtime, precision)
    found = measure_latency({"a": form}, runtime=runtime, precision=precision, length=[4, 9], rounds=3, batch=2)["a"]
    assert (found.runtime, found.precision, found.batch, found.length) == (runtime, precision, 2, (4, 9))
    assert found.minimum > 0


def test_openvino_gives_what_torch_gives_and_reads_choices(tmp_path):
    pytest.importorskip("openvino")
    from contextlib import ExitStack

    from sublm.costs.runtimes import make_ready

    torch.manual_seed(0)
    choice = BertForMultipleChoice(BertConfig(**CONFIG)).eval()
    path = export_onnx(choice, tmp_path / "choice.onnx")
    ready = make_ready("a", path, Conditions("openvino", "fp32", 1, 6, 2), [6], 0, ExitStack(), {})
    (feed,) = ready.inputs
    assert feed["input_ids"].shape == (2, 1, 6)
    (answer,) = ready.run(feed).to_tuple()
    with torch.no_grad():
        wanted = choice(**{name: torch.from_numpy(array) for name, array in feed.items()}).logits
    assert answer == pytest.approx(wanted.numpy(), abs=1e-4)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(LatencyError, match="OpenVINO cannot load"):
        measure_latency({"a": tmp_path / "broken.onnx"}, runtime="openvino")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The same model in every precision that an ONNX file can have."""
    pytest.importorskip("onnxruntime")
    made = Deployment(model, tmp_path_factory.mktemp("files"))
    found = {precision: made.form("onnx", precision) for precision in ("fp32", "fp16", "int8", "int8-static")}
    # the name says nothing
    return {name: path.rename(path.with_name(f"{number}.onnx")) for number, (name, path) in enumerate(found.items())}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8-static"])
def test_what_a_file_holds_is_read_from_it(files, precision):
    assert stored_precision(files[precision]) == precision


def test_what_is_no_onnx_file_is_not_known(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    assert stored_precision(tmp_path / "model.onnx") == "file"


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-static"])
def test_a_file_is_measured_as_it_is_and_never_quantised_again(files, precision):
    asked = {}
    name = str(files[precision])
    found = latency_table({name: name}, runtimes=["onnx", "onnx-int8"], measure=remembering(asked))
    assert [row["precision"] for row in found["measurements"]] == [precision]
    assert [job.model for job in asked.values()] == [files[precision]]
    assert f"{name} is in {precision}: it is measured as it is, not in fp32." in found["left_out"]


def test_a_file_in_fp32_is_brought_into_the_precisions_that_can_be_made_of_it(files):
    asked = {}
    name = str(files["fp32"])
    found = latency_table(
        {name: name}, runtimes=["torch", "onnx"], precisions=["fp32", "fp16", "int8"], measure=remembering(asked)
    )
    assert [row["precision"] for row in found["measurements"]] == ["fp32", "int8"]
    assert any("fp16 is written from the model" in said for said in found["left_out"])
    assert any("ONNX file, which torch does not run" in said for said in found["left_out"])


def test_openvino_is_given_no_file_that_it_runs_badly(files, monkeypatch):
    monkeypatch.setattr(table_module, "is_installed", lambda runtime: True)
    names = [str(files["int8"]), str(files["int8-static"])]
    found = latency_table({n: n for n in names}, runtimes=["openvino"], measure=remembering({}))
    assert [(row["model"], row["precision"]) for row in found["measurements"]] == [(names[1], "int8-static")]
    assert any(said.startswith(f"{names[0]} is in int8, which openvino has not") for said in found["left_out"])


def test_a_file_of_nothing_known_is_measured_as_such(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no model")
    found = latency_table({"a": path}, runtimes=["onnx"], measure=remembering({}))
    assert [row["precision"] for row in found["measurements"]] == ["file"]


def test_what_is_no_model_is_refused_with_what_would_be(folder, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "rows.csv").write_text("a,b")
    refused = {
        tmp_path / "model.onnx": r"Nothing is left to measure: .*model\.onnx is an ONNX file.*pass --runtime onnx",
        tmp_path / "rows.csv": r"rows\.csv is no model: give the folder of one, or an \.onnx file\.$",
        folder / "config.json": rf"config\.json is no model: .* Its folder is {folder}\.",
    }
    for path, message in refused.items():
        with pytest.raises(LatencyError, match=message):
            latency_table({str(path): path}, measure=remembering({}))


def test_texts_that_a_model_cannot_read_are_refused_before_anything_is_measured(model, folder, tmp_path):
    padded = RobertaConfig(**CONFIG | {"max_position_embeddings": 34}, pad_token_id=1)
    roberta = save(RobertaForSequenceClassification(padded), tmp_path / "roberta")
    for given in (model, folder, roberta):
        with pytest.raises(LatencyError, match=r"a reads at most 32 tokens; got length 33\. Pass --length 32 or less"):
            latency_table({"a": given}, lengths=[8, 33], measure=remembering({}))
        assert latency_table({"a": given}, lengths=[32], measure=remembering({}))["measurements"]


def test_a_place_that_cannot_be_written_is_told_before_the_measurement(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(table_module, "measure_jobs", None)  # is not reached
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "table.json"):
        assert cli.main(["latency", str(folder), "--length", "8", "--quiet", "--out", str(out)]) == 2
        assert f"--out: {out}" in capsys.readouterr().err


def test_the_table_is_printed_though_its_file_cannot_be_written(folder, tmp_path, capsys, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sublm.files.write_json", full)
    command = f"latency {folder} --length 8 --rounds 1 --quiet --out {tmp_path / 'table.json'}"
    assert cli.main(command.split()) == 1
    said = capsys.readouterr().err
    assert "speed-up" in said
    assert "No space left on device" in said


def test_a_wide_table_is_whole_where_no_terminal_shows_it(folder, tmp_path, capsys):
    long = tmp_path / ("a" * 120)
    shutil.copytree(folder, long / "model")
    command = f"latency {folder} {long / 'model'} --length 8 4 --batch 1 2 --rounds 1"
    assert cli.main(command.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("a" * 120 in line and line.rstrip().endswith("x") for line in lines) == 4
    assert "…" not in "".join(lines)


def test_the_command_takes_lists_and_writes_the_table(folder, tmp_path, capsys):
    out = tmp_path / "table.json"
    command = f"latency {folder} --length 4 8 --batch 1 2 --precision fp32 bf16 --rounds 3 --quiet --json --out {out}"
    assert cli.main(command.split()) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert len(printed["measurements"]) == 8
    assert cli.main(f"latency {folder} --runtime tensorrt --quiet".split()) == 1
    assert "torch, onnx, openvino" in capsys.readouterr().err
