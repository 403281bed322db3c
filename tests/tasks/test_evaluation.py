import math

import numpy as np
import pytest
import torch
from transformers import BertForMultipleChoice, BertForSequenceClassification

from sublm.errors import DataError
from sublm.tasks.encoding import encode
from sublm.tasks.evaluation import evaluate, predict
from sublm.tasks.task import Examples, Task

TASK = Task("t", "classification", ("text",), "label", ("no", "yes"))
TEXTS = ["a b c d e", "a", "good film", "bad bad film is bad", "c d", "a b c d e f g h"]


@pytest.fixture
def encoded(tokenizer):
    return encode(Examples({"text": TEXTS}, np.array([0, 1, 1, 0, 1, 0])), TASK, tokenizer)


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


def test_logits_come_back_in_row_order(model, encoded):
    alone = np.concatenate([predict(model, encoded.select([row])) for row in range(len(encoded))])
    together = predict(model, encoded, tokens=20)
    assert together.shape == (6, 2)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_dropout_and_modes_are_put_back(model, encoded):
    model.train()
    model.bert.encoder.layer[0].eval()  # a frozen part stays frozen
    first = predict(model, encoded)
    np.testing.assert_array_equal(first, predict(model, encoded))
    assert model.training
    assert not model.bert.encoder.layer[0].attention.training
    assert model.bert.encoder.layer[1].attention.training


def test_modes_are_put_back_after_an_error(model, encoded, monkeypatch):
    model.train()
    monkeypatch.setattr(model, "forward", lambda **batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict(model, encoded)
    assert model.training


def test_training_is_possible_afterwards(model, encoded):
    predict(model, encoded)
    model(torch.tensor([[2, 4, 3]]), labels=torch.tensor([1])).loss.backward()
    assert model.classifier.weight.grad is not None


def test_bf16_is_close(model, encoded):
    exact, half = predict(model, encoded), predict(model, encoded, precision="bf16")
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, exact, atol=0.05)
    assert not np.array_equal(half, exact)


def test_evaluate_scores_what_predict_says(model, encoded):
    predictions = predict(model, encoded).argmax(-1)
    assert evaluate(model, encoded, TASK) == {"accuracy": (predictions == encoded.labels).mean()}


def test_a_broken_model_scores_nan(model, encoded):
    model.classifier.bias.data[0] = math.nan
    assert math.isnan(evaluate(model, encoded, TASK)["accuracy"])


def test_multiple_choice(config, tokenizer):
    task = Task("c", "multiple_choice", ("start", "end0", "end1", "end2"), "label", ("end0", "end1", "end2"))
    columns = {"start": ["a", "b"], "end0": ["c", "d"], "end1": ["e f", "g"], "end2": ["h", "a b c"]}
    encoded = encode(Examples(columns, np.array([0, 2])), task, tokenizer)
    assert predict(BertForMultipleChoice(config), encoded).shape == (2, 3)


def test_bad_arguments(model, encoded):
    with pytest.raises(DataError, match=r"'int8'.*bf16"):
        predict(model, encoded, precision="int8")
    with pytest.raises(DataError, match="no rows"):
        predict(model, encoded.select([]))
