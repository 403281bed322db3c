import pytest

from sublm.errors import DataError
from sublm.tasks.files import find_split, read_file, read_files
from tests.tasks.writers import write_csv, write_jsonl, write_parquet


def test_csv_cells_stay_strings_and_quotes_and_lines_survive(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["one, two", "1"], ["a\nb", "2"], ["007", "3"]], ["text", "label"])
    assert read_file(path).columns == {"text": ["one, two", "a\nb", "007"], "label": ["1", "2", "3"]}


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "\t")])
def test_other_separators(tmp_path, name, separator):
    (tmp_path / name).write_text(f"\ufefftext{separator}label\na b{separator}x\n\n", encoding="utf-8")
    assert read_file(tmp_path / name).columns == {"text": ["a b"], "label": ["x"]}


def test_long_texts(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["x" * 200_000, "1"]], ["text", "label"])
    assert len(read_file(path).columns["text"][0]) == 200_000


def test_json_lines_and_lists(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a\u2028b", "label": 1}, {"text": "c"}])
    assert read_file(path).columns == {"text": ["a\u2028b", "c"], "label": [1, None]}
    (tmp_path / "b.json").write_text('[{"text": "a"}]')
    assert read_file(tmp_path / "b.json").columns == {"text": ["a"]}


def test_parquet(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a", None], "label": [0.5, 1.0]})
    assert read_file(path).columns == {"text": ["a", None], "label": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\na,b,c\n", "line 2 has 3 cells.*header has 2.*double quotes"),
        ("a.csv", b"text,text\na,b\n", "names a column twice"),
        ("a.csv", b"text,label\n\xff\xfe,1\n", "not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2 is not valid JSON"),
        ("a.jsonl", b'"a"\n', "row 1 is 'a' where an object"),
        ("a.json", b"[1,", "not valid JSON"),
        ("a.parquet", b"PAR0", "cannot be read as parquet"),
        ("a.xlsx", b"", r"must end in one of \.parquet"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_file(tmp_path / name)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_file(tmp_path / "a.csv")


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def found(folder, *names):
    return [path.name for path in find_split(folder, names)]


def test_split_names(tmp_path):
    touch(tmp_path, "Train.csv", "dev.csv", "notes.txt", "validation_matched.csv", "validation_mismatched_sample.csv")
    assert found(tmp_path, "train") == ["Train.csv"]
    assert found(tmp_path, "valid", "dev") == ["dev.csv"]
    assert found(tmp_path, "validation_matched") == ["validation_matched.csv"]
    assert found(tmp_path, "validation_mismatched") == ["validation_mismatched_sample.csv"]
    assert found(tmp_path, "test") == []
    with pytest.raises(DataError, match="several files for the split 'validation'"):
        find_split(tmp_path, ["validation"])


def test_parts_of_a_split_are_read_one_after_the_other(tmp_path):
    for number, text in enumerate("ab"):
        write_parquet(tmp_path / f"train-0000{number}-of-00002.parquet", {"text": [text]})
    assert read_files(find_split(tmp_path, ["train"])).columns == {"text": ["a", "b"]}
