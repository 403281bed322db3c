import json

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublm.errors import DataError
from sublm.pretraining.sources import JsonLines, TextFile, lines, open_sources

DOCUMENTS = [["one two", "three"], ["four — fünf"], ["六 七", "eight"]]
SENTENCES = [event for sentences in DOCUMENTS for event in [*sentences, None]]
RECORDS = ["\n".join(sentences) for sentences in DOCUMENTS]


def read_all(sources):
    size = 1 << 20
    return [event for source in sources for start, stop in source.parts(size) for event in source.read(start, stop)]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path, columns, **options):
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def sample(kind, folder, monkeypatch):
    """The same three documents, and how they are opened."""
    if kind == "text":
        (folder / "a.txt").write_bytes(b"\xef\xbb\xbf" + "\n\n".join(RECORDS).encode() + b"\r\n \n")
        return folder / "a.txt"
    if kind == "jsonl":
        return write_jsonl(folder / "a.jsonl", [{"id": 1, "text": text} for text in RECORDS])
    if kind == "parquet":
        return write_parquet(folder / "a.parquet", {"n": [[1], [2], [3]], "text": RECORDS}, row_group_size=2)
    data = datasets.Dataset.from_dict({"text": RECORDS, "id": [1, 2, 3]})
    if kind == "dataset":
        return data
    if kind == "saved":
        data.save_to_disk(str(folder / "saved"))
        return folder / "saved"
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *given: asked.append(given) or {"valid": data})
    assert open_sources(["me/texts:small:valid"])
    assert asked == [("me/texts", "small")]
    return "me/texts:small:valid"


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "dataset", "saved", "named"])
def test_every_kind_gives_the_same_sentences_and_documents(kind, tmp_path, monkeypatch):
    events = read_all(open_sources([sample(kind, tmp_path, monkeypatch)]))
    while kind == "text" and events[-1] is None:  # a blank line at the end ends nothing
        events.pop()
    assert events == (SENTENCES[:-1] if kind == "text" else SENTENCES)


def test_rows_can_be_documents_or_sentences_between_blank_ones(tmp_path):
    texts = ["one", "two", "", "three"]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    write_jsonl(tmp_path / "b.jsonl", [{"text": text} for text in texts])
    write_parquet(tmp_path / "c.parquet", {"text": [*texts[:2], None, texts[3]]})
    for name in ("a.txt", "b.jsonl", "c.parquet"):
        assert read_all(open_sources([tmp_path / name], documents="blank_line")) == ["one", "two", None, "three"]
        rows = read_all(open_sources([tmp_path / name], documents="row"))
        assert rows == ["one", None, "two", None, "", None, "three", None]


def test_a_folder_is_read_file_by_file_in_order(tmp_path):
    write_jsonl(tmp_path / "b.jsonl", [{"body": "second"}])
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "picture.png").write_bytes(b"\0")
    assert [source.name for source in open_sources([tmp_path])] == ["a.txt", "b.jsonl"]
    assert read_all(open_sources([tmp_path])) == ["first", "second", None]


alphabet = st.sampled_from(list("ab é六\n\r "))


@settings(max_examples=150)
@given(st.text(alphabet, max_size=120), st.integers(1, 30))
def test_parts_of_a_file_join_into_the_whole(tmp_path_factory, content, size):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(content.encode())
    for source in (TextFile(path), TextFile(path, "row")):
        parts = source.parts(size)
        assert [stop for _, stop in parts[:-1]] == [start for start, _ in parts[1:]]
        assert (parts[0][0], parts[-1][1]) == (0, len(content.encode()))
        whole = list(source.read(0, len(content.encode())))
        assert [event for part in parts for event in source.read(*part)] == whole


@settings(max_examples=150)
@given(st.text(alphabet, max_size=120), st.integers(1, 30), st.integers(4, 20))
def test_lines_too_long_are_read_in_pieces_without_loss(tmp_path_factory, content, size, longest):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(content.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LONGEST", longest)
        patch.setattr(lines, "_SEARCHED", longest)
        parts = lines.parts(path, size, whole_lines=False)
        found = [line for part in parts for _, line in lines.read_lines(path, *part, whole_lines=False)]
    assert max((len(line.encode()) for line in found), default=0) <= 2 * longest
    assert "".join(found).replace("\r", "") == content.replace("\n", "").replace("\r", "")


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_parts_of_records_hold_each_once(size, tmp_path):
    texts = [f"text {number} " + "x" * (number % 13) for number in range(100)]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    write_parquet(tmp_path / "b.parquet", {"text": texts}, row_group_size=30)
    [data] = open_sources([datasets.Dataset.from_dict({"text": texts})])
    for source in (*open_sources([tmp_path / "a.jsonl", tmp_path / "b.parquet"]), data):
        events = [event for part in source.parts(size) for event in source.read(*part)]
        assert [event for event in events if event is not None] == texts
        assert (len(source.parts(size)) > 10) == (size < 100)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\nfine\ncaf\xe9\n", "a.txt: line 3 is not UTF-8 text"),
        ("a.jsonl", b'{"text": "fine"}\n\n{"text": \n', "a.jsonl: line 3 is not valid JSON"),
        ("a.jsonl", b'{"text": "fine"}\n[1]\n', r"a.jsonl: line 2 is '\[1\]' where an object"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": 3}\n', "line 2: 'text' is '3', not a string"),
        ("a.json", b'[{"text": "fine"}]', "Write one object per line|where an object such as"),
        ("a.jsonl", b"", "holds no line of JSON"),
        ("a.jsonl", b'{"title": "x", "body": "y"}\n', "no column 'text': those that do are title, body"),
        ("a.parquet", b"PAR1 nonsense", "a.parquet cannot be read as parquet"),
        ("a.csv", b"text\nfine\n", "no text that SubLM reads"),
        ("a.txt.gz", b"", "Unpack compressed files"),
    ],
)
def test_what_cannot_be_read_is_said_before_the_work(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_sources([tmp_path / name])


def test_other_texts_that_do_not_fit(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", {"number": [1], "words": ["x"]})
    assert open_sources([path])[0].column == "words"
    with pytest.raises(DataError, match="no column 'text'; it has number, words"):
        open_sources([path], column="text")
    with pytest.raises(DataError, match=r"'number' of a.parquet holds no strings"):
        open_sources([path], column="number")
    with pytest.raises(DataError, match="is named twice"):
        open_sources([path, tmp_path])
    with pytest.raises(DataError, match=r"There is no file or folder 'missing.txt'"):
        open_sources(["missing.txt"])
    with pytest.raises(DataError, match="No text was given"):
        open_sources([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file that ends in"):
        open_sources([tmp_path / "empty"])
    with pytest.raises(DataError, match="choose one of blank_line, row"):
        open_sources([path], documents="page")

    def refuse(*given):
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="no data set of that name could be loaded: offline"):
        open_sources(["nobody/nothing"])


def test_a_first_record_without_text_does_not_hide_the_column(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": None, "id": 1}, {"text": "fine", "id": 2}])
    [source] = open_sources([path], column="text")
    assert isinstance(source, JsonLines)
    assert read_all([source]) == ["", None, "fine", None]
