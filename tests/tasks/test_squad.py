import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublm.errors import DataError
from sublm.tasks.answers import locate, whole_characters
from sublm.tasks.load import load_task
from tests.tasks.questions import make_rows, official, write_official
from tests.tasks.writers import write_jsonl, write_parquet

NFC, NFD = (unicodedata.normalize(form, "Zoë met José at the café.") for form in ("NFC", "NFD"))

JAMO = unicodedata.normalize("NFD", "\ud55c\uad6d \uc11c\uc6b8")  # Korean with its syllables written in parts


def rows_of(*triples):
    """(context, answer, start) as rows, one question each; no answer where it is None."""
    return [
        {
            "id": str(number),
            "question": f"what {number}",
            "context": context,
            "answers": {"text": [answer], "answer_start": [start]} if answer else {"text": [], "answer_start": []},
        }
        for number, (context, answer, start) in enumerate(triples)
    ]


def good(count=20):
    return [
        (f"paragraph {n} tells of thing{n} and more", f"thing{n}", len(f"paragraph {n} tells of "))
        for n in range(count)
    ]


def as_columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def everything(data):
    return sorted(
        (name, question, answers, *labels)
        for split in (data.train, data.search, data.validation)
        for name, question, answers, labels in zip(
            split.extras["id"], split.texts["question"], split.extras["answers"], split.labels.tolist(), strict=True
        )
    )


@pytest.mark.parametrize("unanswerable", [0.0, 0.4])
def test_all_formats_give_the_same_questions(tmp_path, unanswerable):
    rows = make_rows(12, seed=3, unanswerable=unanswerable)
    write_official(tmp_path / "official.json", rows, "2.0" if unanswerable else "1.1")
    (tmp_path / "pretty.json").write_text(json.dumps(official(rows), indent=2))
    write_jsonl(tmp_path / "lines.jsonl", rows)
    (tmp_path / "list.json").write_text(json.dumps(rows))
    write_parquet(tmp_path / "columns.parquet", as_columns(rows))
    names = ("official.json", "pretty.json", "lines.jsonl", "list.json", "columns.parquet")
    found = [load_task(tmp_path / name) for name in names]
    assert all(everything(data) == everything(found[0]) for data in found)
    assert len(everything(found[0])) == 36
    assert all(data.task.no_answer == bool(unanswerable) and data.task.kind == "span" for data in found)


@pytest.mark.parametrize(("name", "file"), [("squad", "v1.1"), ("squad_v2", "v2.0")])
def test_published_names_read_official_files(tmp_path, name, file):
    share = 0.4 if name == "squad_v2" else 0.0
    write_official(tmp_path / f"train-{file}.json", make_rows(20, seed=1, unanswerable=share), file[1:])
    write_official(tmp_path / f"dev-{file}.json", make_rows(5, seed=2, unanswerable=share), file[1:])
    data = load_task(name, data=tmp_path)
    assert data.task.metrics[:2] == ("f1", "em")
    assert len(data.validation) == 15
    assert data.notes == ()
    assert load_task(name, data=tmp_path, metric="em").task.metric == "em"
    with pytest.raises(DataError, match="'accuracy' does not fit"):
        load_task(name, data=tmp_path, metric="accuracy")


def test_no_paragraph_stands_in_two_splits(tmp_path):
    path = write_jsonl(tmp_path / "own.jsonl", make_rows(30, seed=5))
    data = load_task(path, search_share=0.3)
    contexts = [set(split.texts["context"]) for split in (data.train, data.search, data.validation)]
    assert all(contexts)
    assert sum(map(len, contexts)) == len(set.union(*contexts)) == 30


def test_own_columns_by_name(tmp_path):
    rows = [
        {"ask": row["question"], "passage": row["context"], "spans": row["answers"], "id": row["id"]}
        for row in make_rows(8, seed=1)
    ]
    data = load_task(write_jsonl(tmp_path / "own.jsonl", rows), text=["ask", "passage"], label="spans")
    assert (data.task.kind, data.task.texts, data.task.label) == ("span", ("ask", "passage"), "spans")
    with pytest.raises(DataError, match="two columns"):
        load_task(tmp_path / "own.jsonl", text=["ask"], label="spans")


def test_questions_without_answers_are_left_out_of_squad_1(tmp_path):
    (tmp_path / "qa").mkdir()
    rows = rows_of(*good(), ("nothing here", None, None))
    write_jsonl(tmp_path / "qa" / "train.jsonl", rows)
    write_jsonl(tmp_path / "qa" / "validation.jsonl", rows)
    data = load_task("squad", data=tmp_path / "qa")
    assert len(data.train) + len(data.search) == len(data.validation) == 20
    assert sum("they have no answer" in note for note in data.notes) == 2


def test_misplaced_answers_are_found_or_left_out_and_counted(tmp_path):
    rows = rows_of(*good(), ("one two one", "one", 7), ("not here", "elsewhere", 0))
    data = load_task(write_jsonl(tmp_path / "own.jsonl", rows))
    assert len(everything(data)) == 21
    assert ("20", "what 20", ("one",), 8, 11) in everything(data)
    assert any("1 answers did not stand where the file said" in note for note in data.notes)
    assert any("1 of 22 rows were left out: their answer is not in the context" in note for note in data.notes)


def test_a_file_whose_answers_are_elsewhere_is_refused(tmp_path):
    rows = rows_of(*good(10), *((context, "elsewhere", 0) for context, *_ in good(5)))
    with pytest.raises(DataError, match=r"5 of 15 rows are not in their contexts, such as 'elsewhere' in row 11"):
        load_task(write_jsonl(tmp_path / "own.jsonl", rows))


def test_places_do_not_matter_where_answers_are_only_scored(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows_of(*good()))
    rows = rows_of(("a b c", "elsewhere", 99), ("d e", "d", None))
    write_jsonl(tmp_path / "validation.jsonl", rows)
    data = load_task(tmp_path)
    assert data.validation.extras["answers"] == [("elsewhere",), ("d",)]
    assert data.validation.labels.tolist() == [[-1, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": "text"}, "row 3, column 'answers' holds 'text'"),
        ({"answers": {"text": ["a"], "answer_start": []}}, "not a list of answers"),
        ({"answers": {"text": [3], "answer_start": [0]}}, "not a list of answers"),
        ({"context": None}, "row 3, column 'context' holds None"),
        ({"id": "0"}, "two rows have the id '0'"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    rows = rows_of(*good(5))
    rows[2] |= change
    with pytest.raises(DataError, match=message):
        load_task(write_jsonl(tmp_path / "own.jsonl", rows))


def test_damaged_official_files_say_where(tmp_path):
    content = official(make_rows(2, seed=1))
    del content["data"][0]["paragraphs"][1]["qas"][2]["question"]
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"data\[0\].paragraphs\[1\].qas\[2\] lacks 'question'"):
        load_task(tmp_path)


def test_the_fingerprint_sees_the_references(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows_of(*good()))
    write_jsonl(tmp_path / "validation.jsonl", rows_of(("a b", "a", 0)))
    before = load_task(tmp_path).fingerprint
    write_jsonl(tmp_path / "validation.jsonl", rows_of(("a b", "b", 2)))
    assert load_task(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("context", "answer", "start", "expected"),
    [
        ("one two one", "one", 0, "one"),
        ("one two one", "one", 8, "one"),
        ("smile \U0001f600 and \U0001f469\u200d\U0001f680 fly", "fly", 16, "fly"),  # UTF-16: each emoji is two
        ("\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd", "\u4e2d\u56fd", 9, "\u4e2d\u56fd"),  # bytes: three each
        (NFD, unicodedata.normalize("NFC", "José"), 10, unicodedata.normalize("NFD", "José")),
        (NFC, unicodedata.normalize("NFD", "café"), 20, unicodedata.normalize("NFC", "café")),
        (JAMO, "\uc11c\uc6b8", 3, unicodedata.normalize("NFD", "\uc11c\uc6b8")),
    ],
)  # fmt: skip
def test_answers_are_located_in_any_units_and_forms(context, answer, start, expected):
    begin, end = locate(context, answer, start)
    assert context[begin:end] == expected


def test_the_nearest_of_several_is_meant():
    assert locate("one two one two one", "one", 9) == (8, 11)
    assert locate("one", "two", 0) is None
    assert locate("caf\u00e9", "caf\u00ea", 0) is None


@given(st.text(max_size=30), st.text(min_size=1, max_size=5), st.text(max_size=30))
def test_utf16_and_byte_offsets_are_understood(before, answer, after):
    context = before + answer + after
    for encoding, unit in (("utf-16-le", 2), ("utf-8", 1)):
        start = len(before.encode(encoding, "surrogatepass")) // unit
        begin, end = locate(context, answer, start)
        assert context[begin:end] == answer
        if context.count(answer) == 1 and not context.startswith(answer, start):
            assert begin == len(before)


@pytest.mark.parametrize(
    ("text", "cut", "whole"),
    [
        ("cafe\u0301 x", (0, 4), "cafe\u0301"),
        ("a \U0001f469\u200d\U0001f680 b", (2, 3), "\U0001f469\u200d\U0001f680"),
        ("a \U0001f44d\U0001f3fd b", (3, 4), "\U0001f44d\U0001f3fd"),
        ("plain text", (0, 5), "plain"),
    ],
)
def test_whole_characters(text, cut, whole):
    begin, end = whole_characters(text, *cut)
    assert text[begin:end] == whole


def test_labels_are_ranges_of_the_first_answer(tmp_path):
    data = load_task(write_jsonl(tmp_path / "own.jsonl", make_rows(10, seed=2, unanswerable=0.3)))
    for split in data.splits.values():
        assert split.labels.dtype == np.int64
    for context, answers, (start, end) in zip(
        data.train.texts["context"], data.train.extras["answers"], data.train.labels, strict=True
    ):
        assert (context[start:end],) == answers if answers else (start, end) == (-1, -1)
