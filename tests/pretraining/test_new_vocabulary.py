"""A vocabulary trained on the text: special tokens as BERT and RoBERTa have them, kept with the corpus, resumed."""

from __future__ import annotations

import json
import random

import pytest
from transformers import AutoTokenizer

from sublm import cli
from sublm.errors import DataError, RunError
from sublm.pretraining import Corpus, NewVocabulary, build_corpus, train_tokenizer
from sublm.pretraining import new_vocabulary as module
from sublm.tasks import load_tokenizer

from . import samples

SPECIAL = {
    "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "bpe": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
}


def texts(seed=0):
    rng = random.Random(seed)
    made = [[samples.words(rng, 8).capitalize() for _ in range(20)] for _ in range(20)]
    return lambda: made


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return samples.write_text(tmp_path_factory.mktemp("text") / "text.txt", 20_000)


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def saved(request, text, tmp_path_factory):
    """Kind, the folder of a corpus with a trained vocabulary, and its tokenizer as transformers reads it."""
    folder = tmp_path_factory.mktemp(request.param)
    build_corpus([text], NewVocabulary(300, request.param), folder, length=24)
    return request.param, folder, AutoTokenizer.from_pretrained(folder / "tokenizer")


def test_it_has_the_special_tokens_and_the_form_of_its_model(saved):
    kind, _, tokenizer = saved
    assert tokenizer.convert_ids_to_tokens(range(5)) == SPECIAL[kind]
    assert 5 < len(tokenizer) <= 300
    pair = tokenizer("ba de", "fi")
    around = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    start, end = tokenizer.cls_token, tokenizer.sep_token
    assert (around[0], around[-1]) == (start, end)
    assert around.count(end) == {"wordpiece": 2, "bpe": 3}[kind]
    assert ("token_type_ids" in pair) == (kind == "wordpiece")
    masked = tokenizer(f"ba {tokenizer.mask_token} fi")["input_ids"]
    assert masked.count(tokenizer.mask_token_id) == 1
    assert tokenizer.decode(tokenizer("ba de fi")["input_ids"], skip_special_tokens=True) == "ba de fi"


def test_the_corpus_is_made_with_it_and_keeps_it(saved):
    kind, folder, tokenizer = saved
    corpus = Corpus.open(folder)
    corpus.check_tokenizer(tokenizer)
    kept = corpus.load_tokenizer()
    assert kept is not None
    assert kept.get_vocab() == tokenizer.get_vocab()
    vocabulary = corpus.vocabulary
    assert vocabulary.special == (0, 1, 2, 3, 4)
    assert vocabulary.pad == SPECIAL[kind].index({"wordpiece": "[PAD]", "bpe": "<pad>"}[kind])
    # Words of the text that come often are tokens of their own.
    assert len(tokenizer.tokenize("ba" if kind == "wordpiece" else " ba")) == 1


def test_case_counts_where_it_is_asked_to():
    lower = train_tokenizer(NewVocabulary(200), texts())
    cased = train_tokenizer(NewVocabulary(200, cased=True), texts())
    assert lower.tokenize("BA") == lower.tokenize("ba")
    assert cased.tokenize("Ba") != cased.tokenize("ba")
    assert not any(token.lower() != token for token in set(lower.get_vocab()) - set(SPECIAL["wordpiece"]))


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_text_gives_the_same_vocabulary_and_other_text_another(kind):
    vocabularies = [train_tokenizer(NewVocabulary(280, kind), texts(seed=seed)).get_vocab() for seed in (0, 0, 1)]
    assert vocabularies[0] == vocabularies[1] != vocabularies[2]


def test_no_byte_is_unknown_to_bpe_and_wordpiece_never_exceeds_its_size():
    bpe = train_tokenizer(NewVocabulary(262, "bpe"), texts())
    assert bpe.unk_token_id not in bpe("Ägypten 中文 🙂")["input_ids"]
    letters = [["".join(chr(0x400 + n) + "x" for n in range(250))] * 3]
    assert len(train_tokenizer(NewVocabulary(120), lambda: letters)) <= 120


def test_the_text_is_streamed_and_a_vocabulary_that_is_there_is_not_trained_again(text, tmp_path, monkeypatch):
    sizes = []
    real = train_tokenizer

    def watched(new, lists):
        return real(new, lambda: (sizes.append(len(some)) or some for some in lists()))

    monkeypatch.setattr(module, "train_tokenizer", watched)
    monkeypatch.setattr(module, "_BATCH", 50)
    first = build_corpus([text], NewVocabulary(150), tmp_path / "out", length=24)
    assert max(sizes) == 50
    assert sum(sizes) == 2 * first.meta["counts"]["sentences"]
    monkeypatch.setattr(module, "train_tokenizer", None)
    (tmp_path / "out" / "corpus.json").unlink()  # as if it had been killed while it tokenised
    (tmp_path / "out" / ".tokenizer.1.part").mkdir()
    again = build_corpus([text], NewVocabulary(150), tmp_path / "out", length=24)
    assert again.fingerprint == first.fingerprint


def test_another_vocabulary_in_the_same_folder_is_refused_and_nothing_is_lost(text, tmp_path):
    out = tmp_path / "out"
    build_corpus([text], NewVocabulary(150), out, length=24)
    before = (out / "tokenizer" / "tokenizer.json").read_bytes(), (out / "corpus.json").read_bytes()
    with pytest.raises(RunError, match=r"trained with size=150 \(now 200\)"):
        build_corpus([text], NewVocabulary(200), out, length=24)
    with pytest.raises(RunError, match=r"made with length=24 \(now 16\)"):
        build_corpus([text], NewVocabulary(150), out, length=16)
    with pytest.raises(RunError, match="made with other tokenizer"):
        build_corpus([text], samples.bert(), out, length=24)
    assert ((out / "tokenizer" / "tokenizer.json").read_bytes(), (out / "corpus.json").read_bytes()) == before
    build_corpus([text], samples.bert(), out, length=24, overwrite=True)
    assert load_tokenizer(out / "tokenizer").get_vocab() == samples.bert().get_vocab()
    with pytest.raises(RunError, match="a tokenizer that was given, not trained here"):
        build_corpus([text], NewVocabulary(150), out, length=24)
    build_corpus([text], NewVocabulary(150), out, length=24, overwrite=True)
    assert (out / "tokenizer" / "tokenizer.json").read_bytes() == before[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 50}, "A wordpiece vocabulary of 50 tokens is too small: train_vocabulary must be at least 100"),
        ({"size": 200, "kind": "bpe"}, "at least 261"),
        ({"size": 300, "kind": "unigram"}, "vocabulary_kind='unigram' is not known; choose one of wordpiece, bpe"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        NewVocabulary(**given)


def test_texts_and_lengths_that_give_none_are_refused(text, tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n\n")
    for kind in ("wordpiece", "bpe"):
        with pytest.raises(DataError, match="too few words to train a vocabulary on"):
            build_corpus([tmp_path / "blank.txt"], NewVocabulary(300, kind), tmp_path / "out", length=24)
    with pytest.raises(DataError, match="length=3 leaves no room"):
        build_corpus([text], NewVocabulary(300), tmp_path / "none", length=3)
    assert not (tmp_path / "none").exists()


def test_the_command_takes_a_tokenizer_or_trains_one(text, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "--length", "24", "--workers", "1"]
    assert cli.main(["pretrain-data", str(text), *out]) != 0
    assert "either --tokenizer" in capsys.readouterr().err
    both = ["--tokenizer", "x", "--train-vocabulary", "300"]
    assert cli.main(["pretrain-data", str(text), *out, *both]) != 0
    capsys.readouterr()
    asked = ["--train-vocabulary", "300", "--vocabulary-kind", "bpe", "--json"]
    assert cli.main(["pretrain-data", str(text), *out, *asked]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["vocabulary"] == len(load_tokenizer(tmp_path / "out" / "tokenizer")) <= 300
    more = ["--tokenizer", str(tmp_path / "out" / "tokenizer"), "--out", str(tmp_path / "more"), "--length", "24"]
    assert cli.main(["pretrain-data", str(text), *more, "--workers", "1", "--quiet"]) == 0
    assert Corpus.open(tmp_path / "more").vocabulary == Corpus.open(tmp_path / "out").vocabulary
