import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import RunError
from sublm.files import canonical, file_fingerprint, fingerprint, read_json, write_json, write_text

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@dataclass(frozen=True)
class Options:
    epochs: int
    folder: Path


@given(st.dictionaries(st.text(), trees), st.randoms())
def test_fingerprint_ignores_the_order_of_keys(data, random):
    items = list(data.items())
    random.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(data)


@given(trees, trees)
def test_fingerprints_agree_exactly_when_the_canonical_texts_do(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (canonical(one) == canonical(other))


@given(trees)
def test_a_fingerprint_survives_json(data):
    assert fingerprint(json.loads(canonical(data))) == fingerprint(data)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (Path("a") / "b", "a/b"),
        ((1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        (Options(3, Path("x")), {"epochs": 3, "folder": "x"}),
        (np.float64(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
    ],
)
def test_values_are_made_plain(value, same):
    assert fingerprint({"v": value}) == fingerprint({"v": same})


@pytest.mark.parametrize("value", [object(), {1: 2}, print])
def test_what_has_no_plain_form_is_refused(value):
    with pytest.raises(TypeError):
        fingerprint(value)


def test_the_fingerprint_is_the_same_in_another_process():
    data = {"ä": [1, 2.5, None, True], "a": {"z": "text", "b": {3, 1, 2}}}
    code = (
        "from sublm.files import fingerprint\n"
        "print(fingerprint({'a': {'b': {2, 3, 1}, 'z': 'text'}, 'ä': [1, 2.5, None, True]}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == fingerprint(data)


def test_file_fingerprint_follows_bytes_and_names_but_not_the_place(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / "weights").write_bytes(b"\x00\x01")
        (tmp_path / place / ".cache").write_text(place)
    first = file_fingerprint(tmp_path / "one")
    assert first == file_fingerprint(tmp_path / "two")
    (tmp_path / "two" / "sub" / "weights").write_bytes(b"\x00\x02")
    assert first != file_fingerprint(tmp_path / "two")
    (tmp_path / "one" / "sub" / "weights").rename(tmp_path / "one" / "sub" / "other")
    assert first != file_fingerprint(tmp_path / "one")


def test_file_fingerprint_of_nothing_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no file or folder"):
        file_fingerprint(tmp_path / "gone")


@given(trees)
def test_json_is_read_back_as_written(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "round" / "trip.json"
    write_json(path, {"data": data})
    assert read_json(path) == {"data": data}


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write_json(tmp_path / "x.json", {"score": math.nan, "limits": [math.inf, 1.0]})
    assert read_json(tmp_path / "x.json") == {"score": None, "limits": [None, 1.0]}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "run.json"
    write_json(path, {"version": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"version": 2})
    assert read_json(path) == {"version": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_writer_never_leaves_a_part(tmp_path):
    path = tmp_path / "big.json"
    code = (
        "import sys; from sublm.files import write_json\n"
        "for i in range(10**9):\n"
        "    write_json(sys.argv[1], {'number': i, 'filling': [i] * 20000})\n"
        "    print(i, flush=True)\n"
    )
    for round_ in range(3):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            seen = 0
            while seen <= round_:
                seen = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)  # at an arbitrary point of one of the next writes
        data = read_json(path)
        assert data["number"] >= seen
        assert data["filling"] == [data["number"]] * 20000


def test_reading_what_is_missing_or_broken_says_so(tmp_path):
    with pytest.raises(RunError, match="is missing"):
        read_json(tmp_path / "x.json")
    write_text(tmp_path / "x.json", "{")
    with pytest.raises(RunError, match="is not JSON"):
        read_json(tmp_path / "x.json")
