import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sublm import cli
from sublm.errors import DataError, RunError
from sublm.pretraining import Corpus, build_corpus
from sublm.pretraining.shards import read_counts

from . import samples

PROGRAM = [sys.executable, "-m", "tests.pretraining.samples"]
ROOT = Path(__file__).parents[2]


def start(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], cwd=ROOT, env=environment)


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()} | {
        "corpus.json": (folder / "corpus.json").read_bytes()
    }


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return samples.write_text(tmp_path_factory.mktemp("text") / "text.txt", 300_000)


def build(text, out, **arguments):
    return build_corpus([text], samples.bert(), out, **{"length": 32, "shard_mib": 0.05, **arguments})


def test_a_corpus_says_what_is_in_it_and_where_it_is_from(tmp_path):
    (tmp_path / "a.txt").write_text("ba de fi\ngo\n\n\nku\n\nla me " + "no " * 60 + "\n")
    (tmp_path / "b.jsonl").write_text('{"text": "pi ru"}\n{"text": " "}\n')
    corpus = build_corpus([tmp_path / "a.txt", tmp_path / "b.jsonl"], samples.bert(), tmp_path / "out", length=32)
    counts = corpus.meta["counts"]
    assert (counts["documents"], counts["sentences"]) == (4, 5)
    assert (counts["empty"], counts["one_token"], counts["split"]) == (1, 1, 1)
    assert (counts["rows"], counts["tokens"]) == (5, 4 + 62 + 2)
    assert [source["name"] for source in corpus.meta["sources"]] == ["a.txt", "b.jsonl"]
    assert [len(row) for row in corpus.rows(np.arange(5))] == [6, 32, 32, 4, 4]
    reopened = Corpus.open(tmp_path / "out")
    assert reopened.fingerprint == corpus.fingerprint
    reopened.check_tokenizer(samples.bert())
    with pytest.raises(DataError, match="made with another tokenizer"):
        reopened.check_tokenizer(samples.roberta())


def test_the_number_of_processes_changes_nothing(text, tmp_path):
    build(text, tmp_path / "one", duplicates=2)
    build(text, tmp_path / "two", duplicates=2, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_run_again_it_ends_as_if_nothing_had_been(workers, tmp_path):
    path = samples.write_text(tmp_path / "text.txt", 500_000)
    build_corpus([path], samples.bert(), tmp_path / "whole", length=32, shard_mib=0.01)
    process = start(tmp_path / "out", 0.01, workers, path)
    shards = tmp_path / "out" / "shards"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and len(list(shards.glob("*.arrow"))) < 5:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was killed, not finished
    whole = contents(tmp_path / "whole")
    assert 5 <= len(list(shards.glob("*.arrow"))) < len(whole) - 1
    with pytest.raises(RunError, match="not complete; run the same"):
        Corpus.open(tmp_path / "out")
    (shards / "000009-0.arrow.1.part").write_bytes(b"half")
    kept = {path: path.stat().st_mtime_ns for path in shards.glob("*.arrow")}
    build_corpus([path], samples.bert(), tmp_path / "out", length=32, shard_mib=0.01)
    assert contents(tmp_path / "out") == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_run_again_it_makes_only_what_is_missing_or_damaged(text, tmp_path):
    build(text, tmp_path)
    before = contents(tmp_path)
    shards = sorted((tmp_path / "shards").glob("*.arrow"))
    times = {path: path.stat().st_mtime_ns for path in shards}
    shards[1].write_bytes(shards[1].read_bytes()[:200])
    shards[2].unlink()
    assert read_counts(shards[1]) is None
    with pytest.raises(RunError, match=r"000001-0.arrow is missing or damaged .*; run `sublm pretrain-data` again"):
        Corpus.open(tmp_path).rows(np.arange(len(Corpus.open(tmp_path))))
    build(text, tmp_path)
    assert contents(tmp_path) == before
    assert [path for path in shards if path.stat().st_mtime_ns == times[path]] == [shards[0], *shards[3:]]


def test_copies_hold_the_same_text_in_other_pieces(text, tmp_path):
    once, twice = build(text, tmp_path / "once"), build(text, tmp_path / "twice", duplicates=2)
    half = sum(shard["rows"] for shard in twice.meta["shards"][: len(once.meta["shards"])])
    assert half == len(once)
    first = [row.tolist() for row in twice.rows(np.arange(half))]
    assert first == [row.tolist() for row in once.rows(np.arange(half))]
    second = [row.tolist() for row in twice.rows(np.arange(half, len(twice)))]
    assert first != second
    assert twice.meta["counts"]["sentences"] == once.meta["counts"]["sentences"]


def test_a_corpus_of_other_arguments_is_not_touched(text, tmp_path):
    build(text, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(RunError, match=r"made with length=32 \(now 16\)"):
        build(text, tmp_path / "out", length=16)
    other = samples.write_text(tmp_path / "text.txt", 30_000, seed=1)
    with pytest.raises(RunError, match="made with other sources"):
        build(other, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    build(other, tmp_path / "out", overwrite=True)
    build(other, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 3}, "length=3 leaves no room"),
        ({"length": 1024}, "length=1024 is more than the 512 tokens"),
        ({"packing": "tight"}, "packing='tight' is unknown; choose one of sentences, stream, dense"),
        ({"duplicates": 0}, "duplicates=0 must be at least 1"),
        ({"shard_mib": 0}, "shard_mib=0 must be between"),
        ({"workers": -1}, "workers=-1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_leave_nothing(arguments, message, text, tmp_path):
    with pytest.raises(DataError, match=message):
        build(text, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_folders_and_texts_that_do_not_fit(text, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match=r"holds thesis.tex, which is no corpus"):
        build(text, tmp_path, overwrite=True)
    with pytest.raises(RunError, match="no corpus; make one with"):
        Corpus.open(tmp_path)
    (tmp_path / "blank.txt").write_text("\n\n \n")
    with pytest.raises(DataError, match="The texts gave no piece"):
        build(tmp_path / "blank.txt", tmp_path / "out")


def test_a_mistake_in_the_middle_of_the_text_is_named_by_every_number_of_processes(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "ba de fi"}\n' * 3000 + '{"text": \n' + '{"text": "go"}\n' * 10)
    for workers in (1, 2):
        with pytest.raises(DataError, match="line 3001 is not valid JSON"):
            build(path, tmp_path / f"out{workers}", shard_mib=0.01, workers=workers)


def test_the_command_builds_a_corpus(text, tmp_path, capsys):
    samples.bert().save_pretrained(tmp_path / "model")
    given = [str(text), "--tokenizer", str(tmp_path / "model"), "--out", str(tmp_path / "out")]
    assert cli.main(["pretrain-data", *given, "--length", "32", "--workers", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    corpus = Corpus.open(tmp_path / "out")
    assert said["pieces"] == len(corpus)
    assert said["tokens"] == corpus.meta["counts"]["tokens"]
    assert 2 < said["tokens_per_piece"] <= 30
    assert cli.main(["pretrain-data", *given, "--length", "16"]) == 1
    assert "--length 32 (now 16)" in capsys.readouterr().err


MEMORY = """
import re, sys
from pathlib import Path
from tests.pretraining import samples
from sublm.pretraining import Masking, PieceBatches, build_corpus

def peak(text, out):
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
    corpus = build_corpus([text], samples.bert(), out, length=128, shard_mib=0.25, workers=1)
    for batch in PieceBatches(corpus, batch_size=64, masking=Masking())(0):
        pass
    return re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)

small, large, out = sys.argv[1:]
peak(small, out + "/warm-up")
print(peak(small, out + "/small"), peak(large, out + "/large"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_text(tmp_path):
    small = samples.write_text(tmp_path / "small.txt", 500_000)
    large = samples.write_text(tmp_path / "large.txt", 3_500_000)
    arguments = [str(path) for path in (small, large, tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    # All tokens of the large text at once would take some 80 MiB while they are made.
    assert (after - before) / 1024 < 12
