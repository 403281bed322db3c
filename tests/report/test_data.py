import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import RunError
from sublm.report.data import front_figure_data, limit_of, read_front
from tests.report.sample import sample_front


@pytest.fixture
def front():
    return sample_front()


def test_models_stand_cheapest_first_with_both_scores(front):
    data = front_figure_data(front)
    assert [mark.name for mark in data.models] == ["m10", "m16", "m25", "m33", "m50", "m66", "m80"]
    m50 = data.models[4]
    assert (m50.before, m50.score) == (0.858, 0.873)
    assert m50.costs["latency"] == front["points"][2]["latency_ms"]["minimum"]
    assert data.chosen == "m50"


def test_costs_are_in_units_that_suit_them(front):
    axes = {axis.key: axis for axis in front_figure_data(front).axes}
    assert list(axes) == ["latency", "macs", "parameters"]
    assert [axis.title for axis in axes.values()] == ["Latency (ms)", "MACs (M)", "Parameters (M)"]
    assert axes["parameters"].original == pytest.approx(front["teacher"]["parameters"] / 1e6)
    assert axes["latency"].limit == 6
    assert axes["macs"].limit is None


def test_a_cost_that_one_model_lacks_is_no_axis(front):
    del front["points"][3]["latency_ms"]
    assert [axis.key for axis in front_figure_data(front).axes] == ["macs", "parameters"]


def test_the_original_is_reference_lines_and_not_a_baseline(front):
    front["baselines"].append({"name": "original", "kind": "original", "score": 0.8653, "macs": 1, "parameters": 1})
    data = front_figure_data(front)
    assert {mark.kind for mark in data.baselines} == {"prune-and-distil", "layer-dropping", "original int8"}
    assert data.original.score == front["teacher"]["score"]


def test_collapsed_evaluations_are_counted_and_do_not_flatten_the_picture(front):
    before = front_figure_data(front)
    front["evaluations"] += [{"number": 100 + i, "score": score, "macs": 1} for i, score in enumerate((-0.2, math.nan))]
    after = front_figure_data(front)
    assert after.score_range == before.score_range
    assert after.below == before.below + 2
    low, high = after.score_range
    assert all(low < mark.score < high for mark in (*after.models, *after.baselines, after.original))


def test_scores_that_are_no_number_are_left_out(front):
    front["points"][0]["score"] = math.nan
    front["teacher"]["score"] = None
    data = front_figure_data(front)
    assert next(mark for mark in data.models if mark.name == "m80").score is None
    assert data.original.score is None
    assert all(map(math.isfinite, data.score_range))


def test_an_empty_front_has_no_axes(front):
    front |= {"points": [], "chosen": None, "evaluations": [], "baselines": []}
    data = front_figure_data(front)
    assert data.axes == data.models == ()
    assert data.score_range[0] < front["teacher"]["score"] < data.score_range[1]


@pytest.mark.parametrize(
    ("targets", "cost", "limit"),
    [
        (["latency<=8ms"], "latency", 8.0),
        (["latency <= 0.5 s"], "latency", 500.0),
        (["macs<=50%", "macs<=1G"], "macs", 1e9),
        (["macs<=25%"], "macs", 1e9),
        (["parameters<=10M", "latency<=1ms"], "parameters", 1e7),
        (["score>=0.8", "nonsense", "macs<=1.2.3"], "macs", None),
    ],
)
def test_targets_become_limits(targets, cost, limit):
    assert limit_of(targets, cost, original=4e9) == limit


@given(st.lists(st.text(max_size=20)))
def test_no_text_is_too_strange_for_a_target(targets):
    limit = limit_of(targets, "macs", 1.0)
    assert limit is None or isinstance(limit, float)


def test_a_percentage_of_an_unknown_original_is_no_limit():
    assert limit_of(["latency<=50%"], "latency", None) is None


def test_a_front_is_read_from_its_file(front, tmp_path):
    path = tmp_path / "front.json"
    path.write_text(json.dumps(front), encoding="utf-8")
    assert read_front(path) == read_front(front) == front


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "is not JSON"),
        ("[]", "schema None"),
        ('{"schema": 2}', "schema 2, this version of SubLM reads 1"),
        ('{"schema": 1, "model": ""}', "lacks points, task, teacher"),
    ],
)
def test_files_that_are_no_front_are_refused(content, message, tmp_path):
    path = tmp_path / "front.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=message):
        read_front(path)


def test_a_chosen_model_that_is_not_there_is_refused(front):
    front["chosen"] = "m51"
    with pytest.raises(RunError, match=r"'m51', which is none of its models: m80, m66"):
        read_front(front)
