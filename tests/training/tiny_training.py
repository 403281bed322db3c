"""A tiny task and tiny models for the tests of training; also run as a program to be killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

from sublm.spaces.subnet import Subnet
from sublm.supernet import SuperNet
from sublm.training import Distillation, TaskObjective, TrainOptions, TrainResult, fixed, one_shot, train

ROWS, LENGTH, VOCABULARY = 48, 7, 40


def tiny_model(seed: int = 0, labels: int = 2, dropout: float = 0.1, layers: int = 2) -> BertForSequenceClassification:
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=labels,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = BertForSequenceClassification(config)
    torch.set_rng_state(state)
    return model


def tiny_rows(kind: str = "classification") -> dict[str, torch.Tensor]:
    """Rows whose first token tells the label; the last tokens are padding in every second row."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, VOCABULARY, (ROWS, LENGTH), generator=generator)
    mask = torch.ones_like(tokens)
    mask[::2, -2:] = 0
    labels = (tokens[:, 0] > VOCABULARY // 2).long()
    return {
        "input_ids": tokens * mask,
        "attention_mask": mask,
        "labels": labels.float() if kind == "regression" else labels,
        "index": torch.arange(ROWS),
    }


class TinyBatches:
    """Shuffled batches of the tiny task, the same for the same epoch; remembers what was asked for."""

    def __init__(self, batch_size: int = 8, kind: str = "classification") -> None:
        self.rows, self.batch_size = tiny_rows(kind), batch_size
        self.epochs: list[int] = []

    def __call__(self, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
        self.epochs.append(epoch)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(self.batch_size):
            yield {name: values[rows] for name, values in self.rows.items()}

    @property
    def count(self) -> int:
        return -(-ROWS // self.batch_size)


FAST = TrainOptions(epochs=3, learning_rate=3e-3, precision="fp32", warmup=0.0, device="cpu")
"""Little of everything."""


def fit(model, options=FAST, batches=None, strategy=None, **arguments):
    batches = batches or TinyBatches()
    return train(model, batches, strategy or fixed(), options, steps_per_epoch=batches.count, **arguments)


class TinySpace:
    """A space that drops heads and neurons, never layers."""

    def __init__(self, supernet: SuperNet) -> None:
        self.shape = supernet.shape
        self.largest = supernet.largest
        self.smallest = Subnet.uniform(supernet.shape, heads=1, neurons=4)

    def sample(self, rng) -> Subnet:
        layers = range(self.shape.layers)
        heads = tuple(rng.randint(1, self.shape.heads) for _ in layers)
        neurons = tuple(rng.randint(1, self.shape.neurons) for _ in layers)
        return self.largest.replace(heads=heads, neurons=neurons)


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: values.detach().cpu().clone() for name, values in model.state_dict().items()}


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def resumable(
    folder: Path | None, epochs: int, *, learning_rate: float = 1e-3, until: int | None = None
) -> tuple[SuperNet, TrainResult]:
    """A training with everything that has a state: dropout, random draws, a teacher, a probe, shuffling."""
    supernet = SuperNet(tiny_model())
    teacher = tiny_model(seed=5)
    rows = tiny_rows()

    def probe() -> float:
        with torch.no_grad():
            torch.rand(3)  # a probe that uses randomness must not change the training
            logits = supernet.model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits
        return float((logits.argmax(-1) == rows["labels"]).float().mean())

    batches = TinyBatches()
    result = train(
        supernet,
        batches,
        one_shot(TinySpace(supernet), teach="teacher"),
        TrainOptions(epochs=epochs, learning_rate=learning_rate, precision="fp32", checkpoint_every=4, device="cpu"),
        steps_per_epoch=batches.count,
        objective=TaskObjective(distillation=Distillation(temperature=2.0)),
        teacher=teacher,
        probe=probe,
        folder=folder,
        pause=None if until is None else lambda step: step >= until,
    )
    return supernet, result


if __name__ == "__main__":  # FOLDER EPOCHS OUTPUT: trains, writes the weights and what the result says
    torch.set_num_threads(1)
    trained, outcome = resumable(Path(sys.argv[1]), int(sys.argv[2]))
    torch.save(weights_of(trained.model), sys.argv[3])
    Path(sys.argv[3]).with_suffix(".json").write_text(
        json.dumps({"resumed": outcome.resumed, "losses": [record.loss for record in outcome.history]})
    )
