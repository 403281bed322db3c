"""The page in a real browser: `pytest -m browser`."""

import pytest

from sublm.report.page import page
from tests.report.browser import CHROMIUM, chromium
from tests.report.sample import (
    sample_classes,
    sample_comparison,
    sample_explained,
    sample_front,
    sample_rankings,
    sample_ranks,
    sample_tags,
)

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    front = sample_front(evaluations=20)
    front["settings"] = {"model": "bert-base-cased", "task": "stsb", "target": ["latency<=6ms"]}
    shown = {
        "numbers": (sample_comparison(), sample_explained()),
        "classes": (sample_classes(), None),
        "ranks": (sample_ranks(), None),
        "tags": (sample_tags(), None),
        "rankings": (sample_rankings(), None),
    }
    for name, (comparison, explained) in shown.items():
        text = page(front, comparison=comparison, explained=explained)
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return [folder / f"{name}.html" for name in shown]


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_says_no_errors_and_asks_for_nothing(tab, pages, width, dark):
    for path in pages:
        before = len(tab.requests)
        tab.open(path, width=width, dark=dark)
        assert tab.run("document.querySelectorAll('#plot svg').length") > 0
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.said == []
        assert [url for url in tab.requests[before:] if not url.startswith(("file:", "data:"))] == []
        assert tab.requests[before:].count(path.resolve().as_uri()) == 1


# Of WCAG 2: contrast of every text with what is behind it, at least 4.5 to 1.
CONTRAST = """(() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => rgb(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = getComputedStyle(document.body).backgroundColor, poor = [];
  for (const e of document.querySelectorAll("main p, main dd, main dt, main th, main td:not([style]), main code")) {
    const [a, b] = [light(getComputedStyle(e).color), light(paper)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(e.outerHTML.slice(0, 80));
  }
  return poor;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(tab, pages, dark):
    for path in pages:
        tab.open(path, width=1200, dark=dark)
        assert tab.run(CONTRAST) == []


def test_the_keyboard_reaches_everything_and_changes_the_picture(tab, pages):
    tab.open(pages[0], width=1200)
    reached = []
    for _ in range(40):
        tab.press("Tab", 9)
        reached.append(tab.run("(e => e.name || e.className || e.tagName)(document.activeElement)"))
        if reached[-1] == "cost" and reached.count("cost") == 1:  # the focus comes round
            title = "document.querySelector('#plot .xtitle').textContent"
            assert tab.run(title) == "Latency (ms)"
            tab.press("ArrowRight", 39)
            assert tab.run(title) == "MACs (M)"
    assert {"PRE", "SUMMARY", "cost", "scroll"} <= set(reached)
    assert tab.said == []


def test_a_closed_part_opens_by_a_key(tab, pages):
    tab.open(pages[0], width=1200)
    tab.run("[...document.querySelectorAll('summary')].at(-1).focus()")
    tab.press(" ", 32)
    assert tab.run("document.activeElement.parentElement.open") is True
