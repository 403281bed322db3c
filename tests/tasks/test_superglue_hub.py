"""SuperGLUE and RACE from the hub, which is stubbed: the configurations, columns and label names that are published.

Test splits have the label -1 there, or no answers; AX-b and AX-g have no other split.
"""

from __future__ import annotations

from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from sublm.tasks.load import load_task
from sublm.tasks.load_split import load_splits
from sublm.tasks.race import RACE
from sublm.tasks.superglue import SUPERGLUE
from tests.tasks.published_layouts import (
    multirc_columns,
    multirc_objects,
    race_folder,
    record_columns,
    record_objects,
    wic_rows,
    write_splits,
    wsc_rows,
)

TEXT, NUMBER = Value("string"), Value("int32")
TRUTH = ClassLabel(names=["False", "True"])
RTE = ClassLabel(names=["entailment", "not_entailment"])
PLACES = {"paragraph": NUMBER, "question": NUMBER, "answer": NUMBER}
SPANS = List({"text": TEXT, "start": NUMBER, "end": NUMBER})
WORDS = {"start1": NUMBER, "start2": NUMBER, "end1": NUMBER, "end2": NUMBER}
PHRASES = {"span1_index": NUMBER, "span2_index": NUMBER, "span1_text": TEXT, "span2_text": TEXT}

COLUMNS: dict[str, tuple[str, dict[str, Any]]] = {
    "boolq": ("boolq", {"question": TEXT, "passage": TEXT, "idx": NUMBER, "label": TRUTH}),
    "cb": (
        "cb",
        {
            "premise": TEXT,
            "hypothesis": TEXT,
            "idx": NUMBER,
            "label": ClassLabel(names=["entailment", "contradiction", "neutral"]),
        },
    ),
    "copa": (
        "copa",
        {
            "premise": TEXT,
            "choice1": TEXT,
            "choice2": TEXT,
            "question": TEXT,
            "idx": NUMBER,
            "label": ClassLabel(names=["choice1", "choice2"]),
        },
    ),
    "multirc": ("multirc", {"paragraph": TEXT, "question": TEXT, "answer": TEXT, "idx": PLACES, "label": TRUTH}),
    "record": (
        "record",
        {
            "passage": TEXT,
            "query": TEXT,
            "entities": List(TEXT),
            "entity_spans": SPANS,
            "answers": List(TEXT),
            "idx": {"passage": NUMBER, "query": NUMBER},
        },
    ),
    "superglue_rte": ("rte", {"premise": TEXT, "hypothesis": TEXT, "idx": NUMBER, "label": RTE}),
    "wic": ("wic", {"word": TEXT, "sentence1": TEXT, "sentence2": TEXT, **WORDS, "idx": NUMBER, "label": TRUTH}),
    "wsc": ("wsc.fixed", {"text": TEXT, **PHRASES, "idx": NUMBER, "label": TRUTH}),
    "axb": ("axb", {"sentence1": TEXT, "sentence2": TEXT, "idx": NUMBER, "label": RTE}),
    "axg": ("axg", {"premise": TEXT, "hypothesis": TEXT, "idx": NUMBER, "label": RTE}),
}
"""A task's configuration and columns in `aps/super_glue`."""

RACE_COLUMNS = {"example_id": TEXT, "article": TEXT, "answer": TEXT, "question": TEXT, "options": List(TEXT)}


def official_rows(name: str) -> list[dict[str, Any]]:
    """Some rows as in the official archive."""
    if name in ("wic", "wsc"):
        return wic_rows() if name == "wic" else wsc_rows()
    if name in ("multirc", "record"):
        return multirc_objects() if name == "multirc" else record_objects()
    features = COLUMNS[name][1]
    rows = []
    for n in range(10):
        row = {column: f"{column} {n}" for column, kind in features.items() if kind == TEXT}
        label = features["label"].names[n % len(features["label"].names)]
        stored = {"False": False, "True": True, "choice1": 0, "choice2": 1}.get(label, label)
        rows.append(row | {"idx": n, "label": stored} | ({"question": "cause"} if name == "copa" else {}))
    return rows


def hub_columns(name: str) -> dict[str, list[Any]]:
    """The same as the hub's columns."""
    rows = official_rows(name)
    if name == "multirc":
        return multirc_columns(rows)
    if name == "record":
        columns = record_columns(rows)
        return {**columns, "entity_spans": [[] for _ in columns["idx"]]}
    if name == "wsc":
        rows = [{**row, **row["target"]} for row in rows]
    features, found = COLUMNS[name][1], {}
    for column, kind in features.items():
        cells = [row[column] for row in rows]
        known = {label: number for number, label in enumerate(kind.names)} if isinstance(kind, ClassLabel) else {}
        found[column] = [int(known.get(cell, cell)) if known else cell for cell in cells]
    return found


def split_of(columns: dict[str, list[Any]], features: dict[str, Any], *, secret: bool = False) -> Dataset:
    if secret and "label" in columns:
        columns = {**columns, "label": [-1] * len(columns["label"])}
    if secret and "answers" in columns:
        columns = {**columns, "answers": [[] for _ in columns["answers"]]}
    return Dataset.from_dict({name: columns[name] for name in features}, Features(features))


@pytest.fixture
def hub(monkeypatch):
    """What was asked for."""
    asked: list[tuple[str, str | None]] = []

    def load_dataset(repository: str, config: str | None) -> DatasetDict:
        asked.append((repository, config))
        if repository == "ehovy/race":
            return DatasetDict({name: race_split(name, str(config)) for name in ("test", "train", "validation")})
        name = next(task for task, (known, _) in COLUMNS.items() if known == config)
        columns, features = hub_columns(name), COLUMNS[name][1]
        if name in ("axb", "axg"):
            return DatasetDict({"test": split_of(columns, features)})
        known = {split: split_of(columns, features) for split in ("train", "validation")}
        return DatasetDict({**known, "test": split_of(columns, features, secret=True)})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def race_split(name: str, config: str) -> Dataset:
    """Two questions on each of four articles of each level, as `race_folder` has them."""
    place = {"validation": "dev"}.get(name, name)
    rows = []
    for level in ("high", "middle") if config == "all" else (config,):
        for n in range(4):
            for q in range(2):
                question = f"Who _ here {q}?" if q % 2 else f"Which one {q}?"
                options = [f"{letter} of {q}" for letter in "wxyz"]
                article, answer = f"The {level} {place} article {n}.", "ABCD"[(n + q) % 4]
                rows.append((f"{level}{n}.txt", article, answer, question, options))
    return Dataset.from_dict(dict(zip(RACE_COLUMNS, zip(*rows, strict=True), strict=True)), Features(RACE_COLUMNS))


def contents(examples: Any) -> tuple[Any, ...]:
    return examples.rows(), examples.labels.tolist(), {name: list(values) for name, values in examples.extras.items()}


def test_all_ten_are_covered():
    assert set(COLUMNS) == set(SUPERGLUE)
    assert {name: published.config for name, published in SUPERGLUE.items()} == {
        name: config for name, (config, _) in COLUMNS.items()
    }


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in ("axb", "axg")])
def test_the_hub_says_what_the_official_archive_says(name, hub, tmp_path):
    data = load_task(name)
    official = load_task(name, data=write_splits(tmp_path, official_rows(name)))
    assert hub == [("aps/super_glue", COLUMNS[name][0])]
    assert contents(data.validation) == contents(official.validation)
    assert contents(data.train) == contents(official.train)
    assert set(data.validation.labels.tolist()) == set(range(len(data.task.labels)))


@pytest.mark.parametrize("name", COLUMNS)
def test_the_test_split_of_the_hub_can_be_predicted(name, hub):
    (split,) = load_splits(name)
    assert hub == [("aps/super_glue", COLUMNS[name][0])]
    assert split.name == "test"
    assert split.labelled == (name in ("axb", "axg"))
    assert len(split.examples) == {"multirc": 30, "record": 30}.get(name, 10)
    if name == "axg":
        assert split.examples.extras["pair"] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(("name", "config"), [("race", "all"), ("race_high", "high"), ("race_middle", "middle")])
def test_race_of_the_hub_is_that_of_the_release(name, config, hub, tmp_path):
    data = load_task(name)
    release = load_task(name, data=race_folder(tmp_path))
    assert hub == [("ehovy/race", config)]
    assert RACE[name].hub == "ehovy/race"
    assert contents(data.validation) == contents(release.validation)
    assert len(data.validation) == (16 if name == "race" else 8)
    assert load_splits(name)[0].labelled
