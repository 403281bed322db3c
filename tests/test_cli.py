import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import yaml

from sublm import cli, commands
from sublm.commands._arguments import describe
from sublm.commands._help import command_help
from sublm.errors import DataError
from sublm.importance import IMPORTANCE
from sublm.recipes import load_recipe, recipe_commands, recipe_names
from sublm.search.samplers import SAMPLERS
from sublm.settings import Settings
from sublm.spaces import SPACES
from sublm.tasks import TASKS
from sublm.tasks.load import PUBLISHED
from sublm.training import STRATEGIES

calls: list[dict] = []

OF_COMPRESS = [name for name in recipe_names() if "compress" in recipe_commands(name)]


def bake(
    cake: str,
    *,
    layers: int = 2,
    sugar: float | None = None,
    fruit: list[str] | None = None,
    oven: Literal["gas", "wood"] = "gas",
    tin: Path | None = None,
    glaze: bool = True,
    recipe: str | None = None,
    epochs: float = 9.0,
    quiet: bool = False,
    json: bool = False,
):
    """Bake a cake.

    It is eaten later.

    Args:
        cake: Which cake.
        layers: How many.
        sugar: Grams.
        fruit: Kinds.
        oven: What heats.
        tin: What holds it.
        glaze: Whether it shines.
        recipe: Where to start.
        epochs: Ages.
        quiet: Hush.
        json: For machines.

    Examples:
        sublm bake apple --layers 3
    """
    calls.append(dict(locals()))
    print("a library's chatter")
    if cake == "burnt":
        raise DataError("The cake is [burnt]; lower the heat.")
    if cake == "unnamed":
        raise DataError('Name the oven with oven="gas", sugar=0.5 or fruit=. No icing=, please.')
    if cake == "dropped":
        raise KeyboardInterrupt
    if cake == "full":
        raise OSError(28, "No space left on device", "cake.bin")
    return {"cake": cake, "score": float("nan") if cake == "odd" else 0.5}


@pytest.fixture(autouse=True)
def _bakery(monkeypatch):
    calls.clear()
    monkeypatch.setitem(commands.COMMANDS, "Kitchen", {"bake": bake})


def run(*arguments):
    code = cli.main(["bake", *arguments])
    return code, (calls[-1] if calls else None)


def test_values_are_read_by_type():
    code, given = run(
        "apple", "--layers", "3", "--sugar", "1e2", "--fruit", "pear", "fig", "--fruit", "plum", "--tin", "a/b"
    )
    assert code == 0
    assert given["cake"] == "apple"
    assert given["layers"] == 3
    assert given["sugar"] == 100.0
    assert given["fruit"] == ["pear", "fig", "plum"]
    assert given["tin"] == Path("a/b")
    assert (given["oven"], given["glaze"], given["epochs"]) == ("gas", True, 9.0)


def test_an_error_names_arguments_as_they_are_typed(capsys):
    assert run("unnamed")[0] == 1
    said = capsys.readouterr().err
    assert "error: Name the oven with --oven gas, --sugar 0.5 or --fruit. No icing=, please.\n" in said


@pytest.mark.parametrize(("word", "glaze"), [("--glaze", True), ("--no-glaze", False)])
def test_switches(word, glaze):
    assert run("apple", word)[1]["glaze"] is glaze


@pytest.mark.parametrize("text", ["123", "true", "null", "1e5", "{a: 1}", "latency<=8ms", "a b"])
def test_text_stays_the_text_typed(text):
    assert run(text)[1]["cake"] == text
    assert run("apple", "--fruit", text)[1]["fruit"] == [text]


def test_a_file_gives_values_and_what_is_typed_wins_wherever_it_stands(tmp_path):
    file = tmp_path / "cake.yaml"
    file.write_text("cake: apple\nlayers: 4\nfruit: [pear]\nglaze: false\noven: wood\ntin: x/y\n")
    given = run("--layers", "5", "--config", str(file), "--fruit", "fig")[1]
    assert (given["cake"], given["layers"], given["fruit"]) == ("apple", 5, ["fig"])
    assert (given["glaze"], given["oven"], given["tin"]) == (False, "wood", Path("x/y"))
    assert run("cherry", "--config", str(file))[1]["cake"] == "cherry"


def test_a_recipe_gives_values_under_those_of_the_file_and_those_typed(tmp_path, monkeypatch):
    monkeypatch.setattr("sublm.recipes.recipe_commands", lambda name: ("bake",))
    file = tmp_path / "cake.yaml"
    file.write_text("recipe: plm-nas\n")
    assert run("apple", "--recipe", "plm-nas")[1]["epochs"] == 5
    assert run("apple", "--config", str(file))[1]["epochs"] == 5
    file.write_text("epochs: 7\n")
    assert run("apple", "--recipe", "plm-nas", "--config", str(file))[1]["epochs"] == 7
    assert run("apple", "--epochs", "8", "--recipe", "plm-nas", "--config", str(file))[1]["epochs"] == 8


def test_a_printed_configuration_can_be_given_back(tmp_path, capsys):
    assert run("apple", "--layers", "3", "--fruit", "pear", "--tin", "a/b", "--print-config")[0] == 0
    assert not calls
    file = tmp_path / "cake.yaml"
    file.write_text(capsys.readouterr().out)
    given = run("--config", str(file))[1]
    assert (given["cake"], given["layers"], given["fruit"], given["tin"]) == ("apple", 3, ["pear"], Path("a/b"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "CAKE is missing. CAKE: Which cake."),
        (["apple", "pie"], "'pie' is one argument too many"),
        (["apple", "--layer", "3"], "no option --layer (did you mean --layers?)"),
        (["apple", "--layers", "many"], "--layers must be a whole number; found many"),
        (["apple", "--layers"], "--layers must be a whole number"),
        (["apple", "--layers", "2.5"], "--layers must be a whole number; found 2.5"),
        (["apple", "--oven", "wod"], "--oven must be one of gas, wood; found wod (did you mean wood?)"),
        (["apple", "--recipe", "plm"], "no recipe 'plm'; there are autotinybert"),
        (["apple", "--config", "gone.yaml"], "--config gone.yaml: No such file"),
    ],
)
def test_what_is_not_understood_is_said_in_one_message(arguments, message, capsys):
    assert run(*arguments)[0] == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "See `sublm bake --help`." in err
    assert out == ""
    assert not calls


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer: 3", "knows no 'layer' (did you mean layers?)"),
        ("layers: many", "layers must be a whole number; found many"),
        ("fruit: pear", "fruit must be a list, each entry text; found pear"),
        ("glaze: perhaps", "glaze must be true or false; found perhaps"),
        ("oven: coal", "oven must be one of gas, wood; found coal"),
        ("- apple", "must hold `name: value` lines; found list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_is_not_understood_is_named(tmp_path, text, message, capsys):
    file = tmp_path / "cake.yaml"
    file.write_text(text)
    assert run("apple", "--config", str(file))[0] == 2
    err = capsys.readouterr().err
    assert f"--config {file}" in err
    assert message in err


@pytest.mark.parametrize(
    ("cake", "code", "message"),
    [
        ("burnt", 1, "error: The cake is [burnt]; lower the heat.\n"),
        ("dropped", 130, "Run the same command again to resume.\n"),
        ("full", 1, "error: No space left on device: cake.bin\n"),
    ],
)
def test_failed_work_ends_in_one_message_and_a_code(cake, code, message, capsys):
    assert run(cake)[0] == code
    out, err = capsys.readouterr()
    assert err.endswith(message)
    assert "Traceback" not in err
    assert out == ""


def test_results_for_people_machines_and_nobody(capsys):
    run("apple")
    assert capsys.readouterr().out == "cake: apple\nscore: 0.5\n"
    run("odd", "--json")
    assert json.loads(capsys.readouterr().out) == {"cake": "odd", "score": None}
    run("apple", "--quiet")
    assert capsys.readouterr().out == ""


def test_an_unknown_command_is_told_the_nearest(capsys):
    assert cli.main(["compres"]) == 2
    assert "There is no command 'compres' (did you mean compress?)" in capsys.readouterr().err


def test_the_first_page_names_every_command_with_its_summary(capsys):
    assert cli.main(["--help"]) == 0
    page = capsys.readouterr().out
    unwrapped = " ".join(page.split())
    for group in commands.COMMANDS.values():
        for name, function in group.items():
            assert f"  {name} " in page
            assert function.__doc__.partition("\n")[0] in unwrapped


every_command = [(name, function) for group in commands.COMMANDS.values() for name, function in group.items()]


@pytest.mark.parametrize(("name", "function"), every_command)
def test_every_command_explains_all_it_takes(name, function, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = describe(name, function)
    page = command_help(command)
    assert command.summary.endswith(".")
    assert f"sublm {name}" in command.examples
    for parameter in command.parameters:
        assert parameter.help.endswith((".", "'.")), parameter.name
        name = "--[no-]" + parameter.option[2:] if parameter.default is True else parameter.option
        assert name in page
    assert max(map(len, page.splitlines())) <= 88


def test_compress_takes_every_setting_with_its_default():
    command = describe("compress", dict(every_command)["compress"])
    how = {"out", "recipe", "only_importance", "dry_run", "overwrite", "quiet", "json"}
    defaults = {parameter.name: parameter.default for parameter in command.parameters if parameter.name not in how}
    settings = {field.name: field.default for field in dataclasses.fields(Settings)}
    assert set(defaults) == set(settings)
    many = {parameter.name for parameter in command.parameters if parameter.many}
    required = {"model", "task"}
    for name in set(settings) - many - required:
        assert defaults[name] == settings[name], name


def test_the_help_names_every_method_there_is():
    command = describe("compress", dict(every_command)["compress"])
    registries = {"strategy": STRATEGIES, "sampler": SAMPLERS, "importance": IMPORTANCE, "recipe": OF_COMPRESS}
    registries["space"] = SPACES
    aliases = {"full", "linear_random"}
    for name, known in registries.items():
        words = command.parameter(name).help.replace(",", " ").replace(".", " ").split()
        assert set(known) - aliases <= set(words), name


def test_the_help_names_every_task_that_can_be_trained_for():
    said = describe("compress", dict(every_command)["compress"]).parameter("task").help
    named = re.search(r"\((.*?)\)", said, re.DOTALL)[1]
    diagnostic = {name for name, task in PUBLISHED.items() if task.trained_on}
    assert set(re.split(r",\s+", named)) == {*TASKS} - diagnostic


@pytest.mark.parametrize("name", OF_COMPRESS)
def test_every_recipe_is_understood_by_compress(name, monkeypatch, capsys):
    assert cli.main(["compress", "model", "--task", "rte", "--recipe", name, "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    recipe = load_recipe(name, "rte")
    Settings(model="m", task="t", **recipe)
    assert {key: printed[key] for key in recipe} == recipe


def test_a_recipe_of_another_command_is_refused(capsys):
    assert cli.main(["compress", "model", "--task", "rte", "--recipe", "autotinybert", "--dry-run"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "for `sublm pretrain` and `sublm pretrain-search`; for `sublm compress` there are eftnas-s1" in said


def test_plm_nas_is_the_published_protocol():
    recipe = load_recipe("plm-nas")
    expected = {"space": "small", "step": 1, "strategy": "one_shot", "random_nets": 2, "temperature": 10.0}
    expected |= {"epochs": 5, "learning_rate": 2e-5, "warmup": 0.0, "schedule": "linear", "evaluations": 100}
    assert {key: recipe[key] for key in expected} == expected


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["compress", "--help"], ["compress"]])
def test_what_needs_no_work_imports_none(arguments):
    code = (
        "import sys; from sublm.cli import main; main(sys.argv[1:])\n"
        "assert not {'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_sublm_is_the_command():
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-m", "sublm"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout.startswith("Usage: sublm COMMAND")
