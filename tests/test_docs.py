import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from sublm import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"\b(network|GPU)\b")
"""In a command's comment: why the tests do not run it."""
LINES = [
    (page.name, command.strip(), comment)
    for page in PAGES
    for block in BLOCK.findall(page.read_text(encoding="utf-8"))
    for line in block.splitlines()
    for command, _, comment in [line.partition("#")]
    if line.startswith("sublm ")
]
COMMANDS = [(page, command) for page, command, _ in LINES]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_in_the_documentation_is_understood(page, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text("model: m\ntask: t.csv\n")
    assert cli.main([*shlex.split(line)[1:], "--print-config"]) == 0, capsys.readouterr().err


def test_every_make_target_in_the_documentation_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z]+)\b", page.read_text(encoding="utf-8"))}
    sentences = {"it", "nothing"}
    assert named - sentences <= targets
    assert {"quickstart", "test"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.fixture(scope="module")
def run_readme():
    spec = importlib.util.spec_from_file_location("run_readme", ROOT / "scripts" / "run_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_marks_what_ci_runs(run_readme):
    blocks = run_readme.marked_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == ["sh", "python"]
    assert blocks[0][1].startswith("make quickstart")
    assert "make test" not in blocks[0][1]  # it would call itself


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("<!-- ci -->\n```sh\ntrue\n```\n\n```sh\nfalse\n```\n", 0),
        ("<!-- ci -->\n```sh\nfalse | true\n```\n", 1),
        ("<!-- ci -->\n```python\nraise SystemExit(3)\n```\n", 1),
        ("```sh\ntrue\n```\n", 1),
    ],
)
def test_the_readme_runner_fails_when_a_command_does(run_readme, page, code, tmp_path):
    (tmp_path / "page.md").write_text(page)
    assert run_readme.main(tmp_path / "page.md") == code
