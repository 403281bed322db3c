"""Where the time goes, from measurements that are made up."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sublm
from sublm.commands._summary import ExplainSummary
from sublm.costs import Conditions, Latency
from sublm.costs.breakdown import PARTS, POLICIES, break_down, halves_off, measure_breakdown, padded_batches
from sublm.errors import LatencyError, RunError
from sublm.spaces import Subnet
from sublm.stages.explain import explain, findings
from tests.test_summary import shown

TIME = st.floats(0.01, 100)


@given(TIME, TIME, TIME, TIME, TIME)
def test_parts_add_up_to_the_whole(whole, no_attention, no_ffn, neither, one):
    names = ("whole", "no attention", "no ffn", "neither", "one token")
    parts = break_down(dict(zip(names, (whole, no_attention, no_ffn, neither, one), strict=True)))
    assert tuple(parts) == PARTS
    assert sum(parts.values()) == pytest.approx(whole)
    assert parts["attention"] + parts["ffn"] == pytest.approx(whole - neither, abs=1e-9)
    assert parts["embeddings"] >= 0
    assert parts["overhead"] > 0


def test_parts_of_an_additive_model_are_those_it_has():
    times = {"whole": 10.0, "no attention": 6.0, "no ffn": 5.0, "neither": 1.0, "one token": 0.75}
    assert break_down(times) == {"attention": 4.0, "ffn": 5.0, "embeddings": 0.25, "overhead": 0.75}


def test_what_only_both_halves_cost_is_shared_between_them():
    """Weights of both do not fit the cache: without either half the model is 6 ms quicker, without both 8."""
    times = {"whole": 10.0, "no attention": 4.0, "no ffn": 4.0, "neither": 2.0, "one token": 1.0}
    parts = break_down(times)
    assert (parts["attention"], parts["ffn"]) == (4.0, 4.0)


def test_halves_are_switched_off_in_all_layers():
    off = halves_off(Subnet((2, (0, 3)), (5, 0), 8, 2))
    assert off["no attention"].heads == (0, 0)
    assert off["no attention"].neurons == (5, 0)
    assert off["no ffn"].heads == (2, (0, 3))
    assert off["neither"].layers == ()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9))
def test_no_policy_loses_a_text_and_sorting_never_pads_more_than_the_maximum(lengths, batch):
    computed = {}
    for policy in POLICIES:
        batches = padded_batches(lengths, policy, batch=batch, maximum=50)
        assert sum(rows for rows, _ in batches) == len(lengths)
        computed[policy] = sum(rows * width for rows, width in batches)
    assert computed["one by one"] == sum(lengths)
    assert sum(lengths) <= computed["sorted by length"] <= computed["padded to the maximum"]
    assert computed["padded to the longest of the batch"] <= computed["padded to the maximum"]


def test_batches_of_a_policy():
    lengths = [9, 2, 8, 3]
    assert padded_batches(lengths, "padded to the longest of the batch", batch=2, maximum=16) == [(2, 9), (2, 8)]
    assert padded_batches(lengths, "sorted by length", batch=2, maximum=16) == [(2, 3), (2, 9)]
    assert padded_batches(lengths, "padded to the maximum", batch=3, maximum=16) == [(3, 16), (1, 16)]


def by_the_token(jobs, **options):
    """A millisecond per call, one per token of a half."""
    made = {}
    for name, job in jobs.items():
        length = job.conditions.length
        tokens = length if isinstance(length, int) else sum(length) / len(length)
        halves = {"whole": 2, "no attention": 1, "no ffn": 1, "neither": 0}[job.model]
        value = 1 + job.conditions.batch * tokens * (halves + 0.1)
        made[name] = Latency(value, value, value, 0.0, 3, "torch", "fp32", 1, length, job.conditions.batch)
    return made


def test_breakdown_of_a_known_model():
    forms = {name: {what: what for what in halves_off(Subnet((1,), (1,), 8, 2))} for name in ("original", "small")}
    found = measure_breakdown(forms, Conditions(length=(10, 30)), [10, 30], batch=2, maximum=40, measure=by_the_token)
    parts = found["models"]["small"]["parts"]
    assert parts["attention"]["ms"] == pytest.approx(20)
    assert parts["ffn"]["share"] == pytest.approx(20 / 43)
    assert parts["overhead"]["ms"] == pytest.approx(1.1)  # of one token
    assert found["padding"]["one by one"]["ms_per_text"]["small"] == pytest.approx(1 + 20 * 2.1)
    assert found["padding"]["padded to the maximum"]["computed"] == 2.0
    assert found["padding"]["padded to the maximum"]["ms_per_text"]["small"] == pytest.approx(0.5 + 40 * 2.1)


def by_the_weights(jobs, **options):
    """Half a millisecond per call, one per thousand weights of the layers."""
    made = {}
    for name, job in jobs.items():
        value = 0.5 + sum(p.numel() for n, p in job.model.named_parameters() if ".layer." in n) / 1000
        made[name] = Latency(value, value, value, 0.0, 3, "torch", "fp32", 1, 4, 1)
    return made


def test_a_finished_run_is_explained(settings, tmp_path):
    task = shutil.copytree(settings["task"], tmp_path / "task")
    settings |= {"task": str(task), "models": 1, "recover_epochs": 0, "evaluations": 6}
    front = sublm.compress(**settings, out=tmp_path / "run")
    measured = []

    def measure(jobs, **options):
        measured.extend(jobs)
        return by_the_weights(jobs, **options)

    found = explain(tmp_path / "run", measure=measure)
    assert json.loads(json.dumps(found)) == found
    assert found["model"] == front["chosen"]
    assert found["models"]["original"]["parameters"] == front["teacher"]["parameters"]
    assert found["maximum"] == 32  # the model reads no more
    for entry in found["models"].values():
        assert sum(part["share"] for part in entry["parts"].values()) == pytest.approx(1)
    assert f"{front['chosen']}: no ffn" in measured
    text = "\n".join(shown(ExplainSummary(found)))
    assert "fixed cost of a call" in text
    assert "sorted by length" in text
    assert "Embeddings are" in text
    assert found["estimated"] is None
    with pytest.raises(RunError, match=rf"no model 'm1000'.*{front['chosen']}"):
        explain(tmp_path / "run", model="m1000", measure=measure)

    shutil.rmtree(task)
    found = explain(tmp_path / "run", measure=measure)
    assert "data is not at hand" in found["estimated"]
    assert found["estimated"] == json.loads((tmp_path / "run" / "explain.json").read_text())["findings"][-1]
    assert found["maximum"] == 32  # as before, not the longest of the few lengths
    assert "padding costs is estimated" in " ".join(shown(ExplainSummary(found)))


@pytest.mark.parametrize("numbers", [{"batch": 0}, {"batch": -3}, {"rounds": 0}])
def test_numbers_that_are_too_small_are_refused_before_anything_is_read(numbers, tmp_path):
    (name,) = numbers
    with pytest.raises(LatencyError, match=f"{name} must be at least 1; got"):
        explain(tmp_path, **numbers)


def test_a_batch_holds_a_text():
    with pytest.raises(LatencyError, match="batch must be at least 1; got 0"):
        padded_batches([3, 4], "sorted by length", batch=0, maximum=8)


def test_a_folder_without_a_front_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no front\.json"):
        explain(tmp_path)


def entry(attention, ffn, overhead, macs):
    parts = {"attention": attention, "ffn": ffn, "embeddings": 0.0, "overhead": overhead}
    ms = sum(parts.values())
    named = {part: {"ms": value, "share": value / ms} for part, value in parts.items()}
    return {"latency_ms": ms, "parts": named, "macs": macs, "parameters": 100, "embedding_parameters": 60}


def explained(original, small):
    padding = {policy: {"computed": 4.0, "ms_per_text": {"m10": 2.0}} for policy in POLICIES}
    padding["padded to the maximum"]["ms_per_text"]["m10"] = 6.0
    return {
        "model": "m10",
        "models": {"original": original, "m10": small},
        "padding": padding,
        "maximum": 128,
        "conditions": {"runtime": "torch"},
    }


def test_the_fixed_cost_is_blamed_only_where_it_accounts_for_the_gap():
    said = findings(explained(entry(40, 50, 0.5, 1000), entry(8, 16, 0.5, 100)))
    assert "does not follow" in said[0]
    assert not any("pruning does not touch" in line for line in said)
    assert any("went from 90.00 to 24.00 ms, where 10.00x less is 9.00 ms" in line for line in said)


def test_the_findings_say_why_time_does_not_follow_the_macs():
    said = findings(explained(entry(4, 5, 1, 1000), entry(0.5, 0.5, 1, 100)))
    assert "5.00x as fast" in said[0]
    assert "10.00x fewer" in said[0]
    assert "does not follow" in said[0]
    assert any("1.00 ms of its 2.00 ms (50%)" in line for line in said)
    assert any("ONNX Runtime has less of it" in line for line in said)
    assert any("60% of its parameters" in line for line in said)
    assert any("3.0x the time" in line for line in said)
