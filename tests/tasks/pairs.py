"""Pairs of texts whose score is the share of words they have in common, and a tiny model that can tell."""

import json
import random

import sublm
from sublm.pooling import Pooling
from tests.tasks.questions import WORDS, word_tokenizer
from tests.tasks.tiny_bert import tiny_bert


def make_pairs(rows, *, seed, words=WORDS[:-2]):
    rng = random.Random(seed)
    made = []
    for _ in range(rows):
        first = [rng.choice(words) for _ in range(rng.randint(4, 8))]
        same = rng.randint(0, len(first))
        second = first[:same] + [rng.choice(words) for _ in range(len(first) - same)]
        made.append({"s1": " ".join(first), "s2": " ".join(second), "score": round(5 * same / len(first), 3)})
    return made


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_embedder(folder, *, modes=("mean",), normalise=True, max_length=24, **settings):
    """A sentence-transformers folder with a random model of 2 layers."""
    tokenizer = word_tokenizer()
    model = tiny_bert(tokenizer)
    Pooling(modes, normalise, max_length, settings).attach(model)
    sublm.save(model, folder, tokenizer=tokenizer, overwrite=True)
    return model
