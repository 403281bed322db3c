"""Tokenizers of the usual kinds over a small vocabulary, and texts; also a program that builds a corpus.

python samples.py OUT SHARD_MIB WORKERS TEXT...
"""

from __future__ import annotations

import random
import sys
from functools import lru_cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SYLLABLES = ["ba", "de", "fi", "go", "ku", "la", "me", "no", "pi", "ru"]
LETTERS = sorted(set("".join(SYLLABLES)))


def transformers():
    import transformers  # late, for worker processes import this file too

    return transformers


def words(rng, count):
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.choice([1, 1, 2, 3]))) for _ in range(count))


def document(rng, sentences=6):
    return [words(rng, rng.randint(1, 12)) for _ in range(rng.randint(1, sentences))]


def text_of(documents):
    return "\n\n".join("\n".join(sentences) for sentences in documents) + "\n"


def write_text(path, size, seed=0):
    """A file of about `size` bytes of plain text."""
    rng = random.Random(seed)
    block = "\n\n".join(text_of([document(rng)]) for _ in range(2000))
    with path.open("w", encoding="utf-8") as stream:
        written = 0
        while written < size:
            start = rng.randrange(len(block) // 2)
            written += stream.write(block[start : start + min(len(block) // 2, size - written)])
            written += stream.write("\n\n")
    return path


@lru_cache
def bert():
    """WordPiece with [CLS] and [SEP]; every token is a syllable or a letter, those inside words with ##."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = SYLLABLES + LETTERS
    inside = ["##" + piece for piece in pieces]
    vocabulary = {token: number for number, token in enumerate([*special, *pieces, *inside, "[", "]", "."])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=1000))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers().PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )


@lru_cache
def roberta():
    """Byte-level BPE with <s> and </s>."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    _train(inner, trainers.BpeTrainer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return _with_ends(inner)


@lru_cache
def xlm_roberta():
    """Unigram over text whose spaces are marks, as SentencePiece does it."""
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    _train(inner, trainers.UnigramTrainer, unk_token="<unk>")
    return _with_ends(inner)


def _train(inner, trainer, **options):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    rng = random.Random(0)
    texts = [words(rng, 10) for _ in range(200)]
    inner.train_from_iterator(texts, trainer(vocab_size=320, special_tokens=special, show_progress=False, **options))


def _with_ends(inner):
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers().PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def main(out, shard_mib, workers, *texts):
    from sublm.pretraining import build_corpus

    build_corpus(texts, bert(), out, length=32, shard_mib=float(shard_mib), workers=int(workers))


if __name__ == "__main__":
    main(*sys.argv[1:])
