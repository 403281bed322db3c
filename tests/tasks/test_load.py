import logging

import numpy as np
import pytest

from sublm.errors import DataError
from sublm.tasks.duplicates import row_key
from sublm.tasks.glue import GLUE
from sublm.tasks.load import PUBLISHED, TASKS, load_task
from tests.tasks.writers import write_csv, write_jsonl, write_parquet


def rows(count, classes=("bad", "good"), start=0):
    return [[f"film number {n}", classes[n % len(classes)]] for n in range(start, start + count)]


def folder_of(tmp_path, train, validation=None, columns=("text", "label")):
    write_csv(tmp_path / "train.csv", train, columns)
    if validation is not None:
        write_csv(tmp_path / "validation.csv", validation, columns)
    return tmp_path


@pytest.fixture
def own(tmp_path):
    return folder_of(tmp_path, rows(100), rows(20, start=100))


def glue_folder(tmp_path, name, count=40):
    task = PUBLISHED[name].task
    for split, start in {"train": 0, "validation": 1000}.items():
        columns = {text: [f"{text} {n}" for n in range(start, start + count)] for text in task.texts}
        labels = [n % len(task.labels) if task.labels else n / 10 for n in range(count)]
        write_parquet(tmp_path / f"{split}.parquet", {**columns, "label": labels, "idx": list(range(count))})
    return tmp_path


def keys(examples):
    return {row_key(texts) for texts in examples.rows()}


@pytest.mark.parametrize("name", [*(name for name in GLUE if name not in ("ax", "mnli")), "imdb", "boolq", "cb"])
def test_published_tasks_from_a_folder(tmp_path, name):
    data = load_task(name, data=glue_folder(tmp_path, name))
    assert data.task == PUBLISHED[name].task
    assert (len(data.train), len(data.search), len(data.validation)) == (34, 6, 40)
    assert data.train.labels.dtype == (np.float32 if name == "stsb" else np.int64)
    assert data.notes == ()


def test_mnli_has_both_validation_splits(tmp_path):
    folder = glue_folder(tmp_path, "mnli")
    (folder / "validation.parquet").rename(folder / "validation_matched.parquet")
    write_parquet(
        folder / "validation_mismatched_part.parquet",
        {"premise": ["p"] * 3, "hypothesis": ["h"] * 3, "label": [0, 1, 2]},
    )
    data = load_task("mnli", data=folder)
    assert len(data.validation) == 40
    assert len(data.extra["validation_mismatched"]) == 3


def test_swag_joins_the_second_sentence_with_each_ending(tmp_path):
    columns = {"sent1": [f"He sits {n}." for n in range(10)], "sent2": ["He"] * 10}
    columns |= {f"ending{n}": [f"does {n}"] * 10 for n in range(4)}
    for split in ("train", "validation"):
        write_parquet(tmp_path / f"{split}.parquet", columns | {"label": [3] * 10})
    data = load_task("swag", data=tmp_path)
    assert data.validation.rows()[0] == ("He sits 0.", "He does 0", "He does 1", "He does 2", "He does 3")
    assert data.validation.labels[0] == 3


def test_own_folder(own):
    data = load_task(own)
    assert (data.task.name, data.task.texts, data.task.labels) == (own.name, ("text",), ("bad", "good"))
    assert (len(data.train), len(data.search), len(data.validation)) == (84, 16, 20)
    assert data.validation.texts["text"] == [text for text, _ in rows(20, start=100)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_formats_give_the_same_data(tmp_path, suffix):
    table = rows(50)
    path = tmp_path / f"films.{suffix}"
    if suffix == "csv":
        write_csv(path, table, ["text", "label"])
    elif suffix == "jsonl":
        write_jsonl(path, [{"text": text, "label": label} for text, label in table])
    else:
        write_parquet(path, {"text": [text for text, _ in table], "label": [label for _, label in table]})
    write_csv(tmp_path / "other.csv", table, ["text", "label"])
    data = load_task(path)
    assert data.task.name == "films"
    assert data.validation.rows() == load_task(tmp_path / "other.csv").validation.rows()


def test_missing_validation_is_split_off_and_said(tmp_path, caplog):
    path = write_csv(tmp_path / "films.csv", rows(100), ["text", "label"])
    with caplog.at_level(logging.WARNING):
        data = load_task(path, seed=3)
    assert (len(data.train), len(data.search), len(data.validation)) == (68, 12, 20)
    assert "20 of 100 rows of train were set aside" in data.notes[0]
    assert "seed 3" in caplog.text
    assert data.validation.rows() != load_task(path, seed=4).validation.rows()


def test_unread_test_file_is_said(tmp_path):
    folder = folder_of(tmp_path, rows(20))
    write_csv(folder / "test.csv", rows(20), ["text", "label"])
    assert "test file was not read" in load_task(folder).notes[0]


def test_splits_depend_on_the_seed_alone(own):
    assert load_task(own, seed=1).fingerprint == load_task(own, seed=1).fingerprint
    assert load_task(own, seed=1).fingerprint != load_task(own, seed=2).fingerprint
    assert load_task(own, seed=1).validation.rows() == load_task(own, seed=2).validation.rows()


def test_equal_texts_never_stand_in_both_train_and_search(tmp_path):
    doubled = [[text, label] for text, label in rows(50)] + [[f" {text.upper()}!", label] for text, label in rows(50)]
    data = load_task(folder_of(tmp_path, doubled, rows(10, start=200)), search_share=0.3)
    assert len(data.train) + len(data.search) == 100
    assert not keys(data.train) & keys(data.search)


def test_rows_shared_with_validation_are_said(tmp_path):
    data = load_task(folder_of(tmp_path, rows(20), rows(10, start=18)))
    assert data.notes == (f"2 of 10 validation rows of {tmp_path.name} also stand in train.",)


def test_texts_that_are_empty_are_told_and_kept(tmp_path):
    training = rows(100)
    training[6][0], training[8][0] = "", "  "
    data = load_task(folder_of(tmp_path, training, rows(20, start=100)))
    assert len(data.train) + len(data.search) == 100
    (note,) = data.notes
    assert "2 rows with an empty 'text', the first row 7" in note


def test_limit_draws_from_train_only(own):
    data = load_task(own, limit=40)
    assert len(data.train) + len(data.search) == 40
    assert len(data.validation) == 20
    assert "40 of 100 rows" in data.notes[0]
    assert np.bincount(data.full_train.labels).tolist() == [20, 20]


def test_pairs_and_numbers(tmp_path):
    table = [[f"one {n}", f"two {n}", n / 7] for n in range(30)]
    data = load_task(folder_of(tmp_path, table, table[:5], ("left", "right", "score")))
    assert (data.task.kind, data.task.texts, data.task.label) == ("regression", ("left", "right"), "score")
    assert data.validation.labels.tolist() == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7])


def test_columns_and_metric_by_argument(tmp_path):
    table = [[f"one {n}", f"two {n}", n % 3] for n in range(30)]
    folder = folder_of(tmp_path, table, table[:6], ("a", "b", "c"))
    data = load_task(folder, text=["b"], label="c", metric="matthews")
    assert data.task.texts == ("b",)
    assert data.task.metrics == ("matthews", "accuracy", "macro_f1")


def test_data_without_a_published_name(own):
    assert load_task("films", data=own).task.name == "films"


def test_hub(monkeypatch):
    import datasets

    def split(start, count):
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
        )
        columns = {"text": [f"film {n}" for n in range(start, start + count)], "label": [n % 2 for n in range(count)]}
        return datasets.Dataset.from_dict(columns, features)

    calls = []

    def load_dataset(*arguments):
        calls.append(arguments)
        return datasets.DatasetDict({"train": split(0, 40), "test": split(100, 10), "unsupervised": split(200, 5)})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(load_task("imdb").validation) == 10
    own = load_task("someone/films:small")
    assert (own.task.name, own.task.labels, len(own.validation)) == ("films", ("neg", "pos"), 8)
    assert "test split was not read" in own.notes[0]
    assert calls == [("stanfordnlp/imdb", None), ("someone/films", "small")]


def test_hub_out_of_reach(monkeypatch):
    import datasets

    def load_dataset(*arguments):
        raise ConnectionError("no route\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"'nyu-mll/glue' \(rte\).*no route .*data="):
        load_task("rte")


GOOD = rows(20)


@pytest.mark.parametrize(
    ("train", "validation", "arguments", "message"),
    [
        (GOOD, [["a film", "god"]], {}, r"validation\.csv: row 1 has the label 'god'.*'bad', 'good'.*mean 'good'"),
        (GOOD, [["a film", ""]], {}, r"validation\.csv: row 1 has no label"),
        (GOOD, [], {}, r"validation\.csv is empty"),
        ([], GOOD, {}, r"train\.csv is empty"),
        ([["a", "good"], ["b", "good"]], GOOD, {}, r"train\.csv: every row has the label 'good'.*two"),
        ([["same", "good"], ["same", "bad"]], GOOD, {}, "split would be empty"),
        ([["x", "0.5"], ["y", "nan"], ["z", "1.5"]], GOOD, {}, "train.csv: row 2 has the label 'nan'.*finite"),
        ([["x", "0.5"], ["y", ""], ["z", "1.5"]], GOOD, {}, "train.csv: row 2 has no label"),
        ([["x", "0.5"], ["y", "0.5"]], GOOD, {}, "every row has the label 0.5"),
        (GOOD, GOOD, {"kind": "regression"}, "'bad'.*finite"),
        (GOOD, GOOD, {"text": ["txt"]}, r"train\.csv has no column 'txt'.*Did you mean 'text'"),
        (GOOD, GOOD, {"search_share": 1.0}, r"search_share=1\.0"),
        (GOOD, GOOD, {"limit": 2}, "limit=2"),
        (GOOD, GOOD, {"metric": "matthew"}, "Did you mean 'matthews'"),
        (GOOD, GOOD, {"metric": "spearman"}, "does not fit"),
    ],
)
def test_bad_data_is_refused(tmp_path, train, validation, arguments, message):
    with pytest.raises(DataError, match=message):
        load_task(folder_of(tmp_path, train, validation), **arguments)


@pytest.mark.parametrize(("value", "shown"), [(None, "None"), (3, "3"), (["a"], r"\['a'\]")])
def test_texts_that_are_no_strings(tmp_path, value, shown):
    table = [{"text": f"film {n}", "label": n % 2} for n in range(10)]
    table[4]["text"] = value
    with pytest.raises(DataError, match=rf"films\.jsonl: row 5, column 'text' holds {shown}, which is not a text"):
        load_task(write_jsonl(tmp_path / "films.jsonl", table))


def test_labels_that_are_no_words_or_numbers(tmp_path):
    table = [{"text": f"film {n}", "label": [n]} for n in range(3)]
    with pytest.raises(DataError, match=r"row 1 has the label \[0\]"):
        load_task(write_jsonl(tmp_path / "films.jsonl", table), label="label")


def test_nan_in_parquet_scores(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a b", "c d", "e f"], "score": [0.5, float("nan"), 1.5]})
    with pytest.raises(DataError, match=r"row 2 has no label.*nan"):
        load_task(path)


def test_column_missing_in_validation(tmp_path):
    folder = folder_of(tmp_path, rows(20))
    write_csv(folder / "validation.csv", rows(5), ["text", "labels"])
    with pytest.raises(DataError, match=r"validation\.csv has no column 'label'.*Did you mean 'labels'"):
        load_task(folder)


def test_test_rows_of_glue_without_labels(tmp_path):
    folder = glue_folder(tmp_path, "rte")
    write_parquet(folder / "validation.parquet", {"sentence1": ["a"], "sentence2": ["b"], "label": [-1]})
    with pytest.raises(DataError, match=r"row 1 has no label.*-1"):
        load_task("rte", data=folder)


def test_label_number_out_of_range(tmp_path):
    folder = glue_folder(tmp_path, "rte")
    write_parquet(folder / "validation.parquet", {"sentence1": ["a"], "sentence2": ["b"], "label": [2]})
    with pytest.raises(DataError, match="label 2, which is not one of"):
        load_task("rte", data=folder)


def test_wrong_names(tmp_path, own):
    with pytest.raises(DataError, match=r"no task, file or folder 'sst'.*Did you mean 'sst2'"):
        load_task("sst")
    with pytest.raises(DataError, match=r"there is no file or folder.*Did you mean 'train\.csv'"):
        load_task(own / "trian.csv")
    with pytest.raises(DataError, match="there is no file or folder"):
        load_task("rte", data=tmp_path / "nowhere" / "rte")
    with pytest.raises(DataError, match="text= is for own data"):
        load_task("rte", text=["a"])
    with pytest.raises(DataError, match="takes no data="):
        load_task("stdlib-docs", data=own)


def test_folder_without_train(tmp_path):
    write_csv(tmp_path / "one.csv", rows(20), ["text", "label"])
    assert len(load_task(tmp_path).full_train) == 16  # the only file is the training data
    write_csv(tmp_path / "two.csv", rows(20), ["text", "label"])
    with pytest.raises(DataError, match=r"no train file; it holds one\.csv, two\.csv"):
        load_task(tmp_path)


def test_known_names():
    assert len(TASKS) == len(set(TASKS)) == 29
