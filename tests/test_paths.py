"""Mistyped paths: told as such, and before torch is loaded."""

import subprocess
import sys

import pytest

from sublm.errors import DataError
from sublm.paths import check_data, check_folder

TYPED = """
import sys
from sublm import cli
code = cli.main(sys.argv[1:])
print(code, "torch" in sys.modules, "numpy" in sys.modules)
"""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["./no-such-model", "--task", "sst2"], "error: model: there is no folder './no-such-model'."),
        (["bert-base-uncased", "--task", "reviews.csv"], "error: there is no file or folder 'reviews.csv'."),
        (["bert-base-uncased", "--task", "sst2", "--data", "../gone"], "error: there is no file or folder '../gone'."),
    ],
)
def test_a_mistyped_path_is_told_before_the_libraries_are_loaded(typed, told, tmp_path):
    command = [sys.executable, "-c", TYPED, "compress", *typed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["1", "False", "False"]
    assert done.stderr.startswith(told)
    assert not list(tmp_path.iterdir())


def test_names_are_no_paths_and_what_is_there_is_none_the_worse(tmp_path):
    for name in (None, "none", "bert-base-uncased", "owner/model-v1.5", str(tmp_path)):
        check_folder("model", name)
    for name in (None, "sst2", "owner/reviews", "owner/reviews:config", tmp_path):
        check_data(name)


def test_a_name_nearly_the_same_beside_it_is_told(tmp_path):
    for number in range(40):
        (tmp_path / f"a{number}.csv").touch()
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(DataError, match=r"Did you mean 'reviews\.csv' beside it\?"):
        check_data(tmp_path / "revews.csv")
