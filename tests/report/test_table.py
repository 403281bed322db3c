import pytest
from rich.console import Console

from sublm.report import front_table
from sublm.report.text import NARROW
from tests.report.sample import sample_front


def text_of(front):
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(front_table(front))
    return capture.get().replace(NARROW, " ")


@pytest.fixture
def front():
    return sample_front(evaluations=0)


def test_the_table_has_the_original_the_models_and_the_baselines(front):
    lines = text_of(front).splitlines()
    chosen = next(line for line in lines if "›" in line)
    assert chosen.split() == ["›", "m50", "0.873", "100.9", "%", "17.6", "M", "156", "M", "5.69", "ms", "1.79×"]
    order = [
        next(i for i, line in enumerate(lines) if name in line) for name in ("original", "m80", "m10", "original int8")
    ]
    assert order == sorted(order)


def test_columns_that_nobody_fills_are_left_out(front):
    for entry in (*front["points"], front["teacher"]):
        entry.pop("latency_ms")
    front["baselines"] = []
    text = text_of(front)
    assert "latency" not in text
    assert "training" not in text
    assert "MACs" in text


def test_names_are_not_read_as_markup(front):
    front["points"][0]["name"] = "[bold]m80[/bold]"
    assert "[bold]m80[/bold]" in text_of(front)
