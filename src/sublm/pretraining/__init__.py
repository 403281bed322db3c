"""Text for pre-training: packed once into shards on disk, read shuffled and masked.

``build_corpus`` tokenises and packs texts of any size; ``Corpus`` reads what it wrote; ``PieceBatches`` gives the
batches of an epoch, masked by ``Masking``.
"""

from sublm.pretraining.batches import PieceBatches
from sublm.pretraining.build import build_corpus
from sublm.pretraining.corpus import Corpus
from sublm.pretraining.masking import Masker, Masking
from sublm.pretraining.new_vocabulary import NewVocabulary, train_tokenizer
from sublm.pretraining.order import EpochOrder
from sublm.pretraining.steps import CorpusSteps
from sublm.pretraining.vocabulary import Vocabulary, vocabulary_of

__all__ = [
    "Corpus",
    "CorpusSteps",
    "EpochOrder",
    "Masker",
    "Masking",
    "NewVocabulary",
    "PieceBatches",
    "Vocabulary",
    "build_corpus",
    "train_tokenizer",
    "vocabulary_of",
]
