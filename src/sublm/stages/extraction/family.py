"""Models of every shape of the grid: with random weights, or cut from a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch

from sublm.architectures import Shape, find_architecture
from sublm.costs import shaped_config
from sublm.errors import UnsupportedModelError
from sublm.export.onnx import longest_text
from sublm.files import fingerprint_model
from sublm.importance import compute_importance
from sublm.pretraining import Corpus
from sublm.spaces import Subnet
from sublm.stages.extraction.settings import Start
from sublm.supernet import SuperNet

_POSITIONS = 512


@dataclass(frozen=True)
class Family:
    """What all candidates have in common.

    Attributes:
        config: The configuration, in which only the sizes change.
        start: Where a candidate's first weights come from.
        origin: In words, for the result.
        supernet: What slices are cut from, its units sorted by magnitude.
        mark: What of it decides a training.
    """

    config: Any
    start: Start
    origin: str
    supernet: SuperNet | None
    mark: dict[str, Any]

    @property
    def reads(self) -> int:
        """Tokens of the longest text that candidates read."""
        with torch.device("meta"):
            return longest_text(with_random_weights(self.config, 0))

    def make(self, shape: Shape, seed: int) -> Any:
        """A candidate as its training begins, with a masked-language-model head, in evaluation mode.

        Args:
            shape: Its shape.
            seed: Of random weights; the global random state is left alone.
        """
        if self.supernet is not None:
            return self.supernet.extract(self.slice(shape)).eval()
        return with_random_weights(shaped_config(self.config, shape), seed).eval()

    def slice(self, shape: Shape) -> Subnet:
        """The sub-network of a shape: the first layers, the most important units."""
        assert self.supernet is not None
        return Subnet.uniform(
            self.supernet.shape,
            layers=shape.layers,
            heads=shape.heads,
            neurons=shape.neurons,
            hidden=shape.hidden,
            head_size=shape.head_size,
        )


def shape_of_config(config: Any) -> Shape:
    """The shape that a configuration describes."""
    sizes = {name: getattr(config, field) for name, field in find_architecture(config).sizes.items()}
    return Shape(head_size=sizes["hidden"] // sizes["heads"], **sizes)


def load_config(model: str) -> Any:
    """The configuration of a model.

    Raises:
        UnsupportedModelError: If it has none, or its family is not known.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UnsupportedModelError(
            f"The model {model!r} cannot be read: {first} Give a folder written by save_pretrained, or a hub name."
        ) from error
    find_architecture(config)
    return config


def family_of_model(model: str, start: Start) -> Family:
    """Candidates of a model's family and vocabulary, with random weights or cut from it."""
    config = load_config(model)
    if start == "scratch":
        mark = {"config": without_sizes(config)}
        return Family(config, start, f"random weights, in the family of {model}", None, mark)
    supernet = SuperNet(_masked_lm(model))
    supernet.reorder(compute_importance(supernet, "magnitude"))
    origin = f"slices of {model}: the first layers, the units of the largest magnitude"
    return Family(supernet.model.config, start, origin, supernet, {"slices": fingerprint_model(model)})


def family_of_corpus(corpus: Corpus, tokenizer: Any = None) -> Family:
    """BERTs with random weights for a corpus's vocabulary, with token types if its tokenizer gives them for pairs."""
    from transformers import BertConfig

    vocabulary = corpus.vocabulary
    config = BertConfig(
        vocab_size=vocabulary.size,
        pad_token_id=vocabulary.pad,
        max_position_embeddings=max(_POSITIONS, corpus.length),
        type_vocab_size=2 if "token_type_ids" in getattr(tokenizer, "model_input_names", ()) else 1,
    )
    return Family(config, "scratch", "random weights, BERT", None, {"config": without_sizes(config)})


def without_sizes(config: Any) -> dict[str, Any]:
    """Plain data of a configuration, less the sizes and what only says where it came from."""
    passed = {*find_architecture(config).sizes.values(), "_name_or_path", "transformers_version", "architectures"}
    plain = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in plain.items() if name not in passed}


def with_random_weights(config: Any, seed: int) -> Any:
    """A masked language model; the global random state is left alone."""
    from transformers import AutoModelForMaskedLM

    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(config)


def _masked_lm(model: str) -> Any:
    """The model with its head, or with a random one if it has none: the same at every call."""
    from transformers import AutoModelForMaskedLM

    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(0)
        return AutoModelForMaskedLM.from_pretrained(model, trust_remote_code=False)
