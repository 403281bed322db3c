"""A random BERT of 2 narrow layers, for tests that need a model for their own words."""

import torch
from transformers import BertConfig, BertModel


def tiny_bert(tokenizer, kind=BertModel, **changes):
    """A model of the class `kind` for the words of a tokenizer; the same weights at every call."""
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    config = BertConfig(**{"vocab_size": len(tokenizer), **sizes, "max_position_embeddings": 48, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(config).eval()
