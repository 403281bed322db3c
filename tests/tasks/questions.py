"""Small questions on small contexts: who did what, told in sentences of few words."""

from __future__ import annotations

import json
import random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

NAMES = ["ada", "bo", "cy", "dee", "eli", "fay", "gus", "hal"]
VERBS = ["saw", "met", "left", "sold"]
THINGS = ["boats", "cars", "dogs", "hats", "maps", "pens", "rugs", "toys"]
FILLER = ["then", "later", "often", "again", "once", "here", "there", "now"]
WORDS = [*NAMES, *VERBS, *THINGS, *FILLER, "who", "what", "did", "?", "."]


def word_tokenizer(words=WORDS, special=("[PAD]", "[UNK]", "[CLS]", "[SEP]")):
    """A token per word, pairs as BERT has them."""
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *words])}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = _bert_pairs()
    return _wrapped(inner, ["input_ids", "token_type_ids", "attention_mask"])


def wordpiece_tokenizer(pieces, **normalizer):
    """Word pieces with BERT's normaliser, which by default lower-cases and drops accents."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(**normalizer)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = _bert_pairs()
    return _wrapped(inner, ["input_ids", "token_type_ids", "attention_mask"])


def byte_tokenizer():
    """A token per byte, pairs as RoBERTa has them: an emoji is four tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<unk>", "<s>", "</s>", *letters])}
    inner = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2), add_prefix_space=False)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"], model_max_length=512, **names
    )


def _bert_pairs():
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )


def _wrapped(inner, inputs):
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_input_names=inputs, model_max_length=512, **names)


def make_rows(paragraphs, *, seed, unanswerable=0.0, sentences=3, asked=3):
    """Rows with id, context, question and answers; some ask for a name that the context does not tell of."""
    rng = random.Random(seed)
    rows = []
    for paragraph in range(paragraphs):
        names = rng.sample(NAMES, sentences)
        facts = [(name, rng.choice(VERBS), rng.choice(THINGS)) for name in names]
        context = " ".join(f"{rng.choice(FILLER)} {name} {verb} {thing} ." for name, verb, thing in facts)
        context = f"{context} {' '.join(rng.choice(FILLER) for _ in range(3))}"
        for number in range(asked):
            name, verb, thing = rng.choice(facts)
            known = rng.random() >= unanswerable
            if not known:
                name = rng.choice([other for other in NAMES if other not in names])
            start = context.index(f"{name} {verb}") + len(name) + len(verb) + 2 if known else 0
            answers = {"text": [thing], "answer_start": [start]} if known else {"text": [], "answer_start": []}
            row = {"id": f"{seed}-{paragraph}-{number}", "context": context, "answers": answers}
            rows.append(row | {"question": f"what did {name} {verb.rstrip('.')} ?"})
    return rows


def official(rows, version="1.1"):
    """The rows in the official format."""
    paragraphs = {}
    for row in rows:
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        ]
        question = {"id": row["id"], "question": row["question"], "answers": answers}
        if version == "2.0":
            question["is_impossible"] = not answers
        paragraphs.setdefault(row["context"], []).append(question)
    entries = [{"context": context, "qas": questions} for context, questions in paragraphs.items()]
    return {"version": version, "data": [{"title": "t", "paragraphs": entries}]}


def write_official(path, rows, version="1.1"):
    path.write_text(json.dumps(official(rows, version), ensure_ascii=False), encoding="utf-8")
    return path
