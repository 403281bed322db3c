import pytest

from sublm.report.data import front_figure_data
from sublm.report.figure import plotly_figure, write_png
from tests.report.sample import sample_front


@pytest.fixture(scope="module")
def data():
    return front_figure_data(sample_front(evaluations=30))


@pytest.mark.parametrize("cost", ["latency", "macs", "parameters"])
def test_everything_shown_lies_inside_the_axes(data, cost):
    figure = plotly_figure(data, cost)
    low, high = figure.layout.xaxis.range
    for trace in figure.data:
        assert all(low <= x <= high for x in trace.x)
    front = next(trace for trace in figure.data if trace.name == "front")
    assert list(front.y) == [mark.score for mark in data.models]
    assert list(front.x) == sorted(front.x)


def test_evaluations_without_a_cost_are_not_drawn_against_it(data):
    counts = {
        cost: len(next(trace for trace in plotly_figure(data, cost).data if trace.meta == "evaluations").x)
        for cost in ("latency", "macs")
    }
    assert counts == {"latency": 0, "macs": 30}


def test_the_target_and_the_original_are_lines(data):
    lines = [shape.x0 for shape in plotly_figure(data, "latency").layout.shapes if shape.x0 == shape.x1]
    axis = data.axes[0]
    assert sorted(lines) == sorted([axis.limit, axis.original])
    assert len([s for s in plotly_figure(data, "macs").layout.shapes if s.x0 == s.x1]) == 1


def test_only_the_chosen_model_wears_a_ring(data):
    ring = next(trace for trace in plotly_figure(data, "macs").data if trace.name == "chosen")
    assert list(ring.y) == [0.873]


def test_an_unknown_cost_is_refused_with_those_there_are(data):
    with pytest.raises(ValueError, match=r"no cost 'energy'; it has: latency, macs, parameters"):
        plotly_figure(data, "energy")


def test_the_picture_has_a_panel_per_cost(data, tmp_path):
    from PIL import Image

    widths = []
    for axes in (data.axes, data.axes[:1]):
        path = tmp_path / "front.png"
        write_png(type(data)(**{**vars(data), "axes": axes}), path, dpi=50)
        with Image.open(path) as image:
            widths.append(image.width)
            assert len(image.convert("RGB").getcolors(100_000)) > 20
    assert widths[0] > 2 * widths[1]
