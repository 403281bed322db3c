import subprocess
import sys

import numpy as np
import pytest

from sublm.errors import DataError
from sublm.tasks.duplicates import jaccard, row_key, shingles
from sublm.tasks.load import load_task
from sublm.tasks.stdlib_docs import AREAS, LARGEST, LEAST_WORDS, WORDS, clean, read_stdlib_docs


@pytest.fixture(scope="module")
def data():
    return load_task("stdlib-docs")


def test_several_thousand_texts_in_balanced_areas(data):
    labels = np.concatenate([data.full_train.labels, data.validation.labels])
    counts = np.bincount(labels)
    assert len(labels) > 3000
    assert len(counts) >= 8
    assert counts.max() <= LARGEST
    assert counts.max() < 0.2 * len(labels)
    assert counts.min() > 100
    assert set(data.task.labels) <= set(AREAS)


def test_texts_are_clean(data):
    texts = data.full_train.texts["text"]
    assert all(LEAST_WORDS <= len(text.split()) <= WORDS for text in texts)
    assert len({row_key([text]) for text in texts}) == len(texts)


def test_no_text_or_near_duplicate_stands_in_two_splits(data):
    index = {}
    sets = []
    for split, examples in data.splits.items():
        for text in examples.texts["text"]:
            sets.append((split, shingles(text)))
            for shingle in sets[-1][1]:
                index.setdefault(shingle, []).append(len(sets) - 1)
    for split, one in sets:
        for other in {row for shingle in one for row in index[shingle]}:
            if sets[other][0] != split:
                assert jaccard(one, sets[other][1]) < 0.5


def test_every_area_is_in_every_split_at_its_share(data):
    total = np.bincount(data.full_train.labels) + np.bincount(data.validation.labels)
    np.testing.assert_allclose(np.bincount(data.validation.labels) / total, 0.2, atol=0.01)
    np.testing.assert_allclose(np.bincount(data.search.labels) / np.bincount(data.full_train.labels), 0.15, atol=0.02)


def test_another_process_reads_the_same_and_imports_none_of_it(data):
    code = (
        "import sys; from sublm.tasks import load_task; print(load_task('stdlib-docs').fingerprint);"
        "print([name for name in ('tkinter', 'turtle', 'idlelib', 'mailbox') if name in sys.modules])"
    )
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [data.fingerprint, "[]"], done.stderr


def test_origin_names_the_python_version(data):
    assert data.origin == "Python " + ".".join(map(str, sys.version_info[:3]))


def small_library(folder):
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    for module in ("socket", "tkinter/widget", "tkinter/test/test_widget", "unknown"):
        path = folder / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        docs = [" ".join(f"{word}{n}{module[0]}" for word in words) for n in range(10)]
        functions = "".join(f'async def f{n}():\n    """{doc}."""\n' for n, doc in enumerate(docs))
        path.write_text(f'raise SystemExit\n{functions}class A:\n    """Too short."""\n')
    (folder / "_broken.py").write_text("def")
    return folder


def test_areas_come_from_the_table_and_tests_are_skipped(tmp_path):
    task, train, validation, _ = read_stdlib_docs(root=small_library(tmp_path))
    assert task.labels == ("graphical interfaces", "networking")
    assert len(train) == 16
    assert len(validation) == 4


def test_a_python_without_sources_is_an_error(tmp_path):
    with pytest.raises(DataError, match="has none"):
        read_stdlib_docs(root=tmp_path)


def test_clean():
    text = "Add numbers.\n\n    >>> add(1, 2)\n    3\n\nReturn   their sum.\n\n>>> add(1)\n1"
    assert clean(text) == "Add numbers. Return their sum."
    assert len(clean("word " * 100).split()) == WORDS


def test_no_module_has_two_areas():
    modules = [module for names in AREAS.values() for module in names.split()]
    assert len(modules) == len(set(modules))
