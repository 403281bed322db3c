import json
import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering

from sublm.export import export_onnx, predict_onnx
from sublm.tasks.batching import evaluation_batches
from sublm.tasks.encoding import encode
from sublm.tasks.evaluation import evaluate, predict, score
from sublm.tasks.prediction_files import write_predictions
from sublm.tasks.span_decoding import decode, null_threshold, score_answers
from sublm.tasks.task import Examples, Task
from tests.tasks.questions import make_rows, word_tokenizer

TOKENIZER = word_tokenizer()
PLAIN = Task("q", "span", ("question", "context"), "answers", (), ("f1", "em"))
OPEN = Task("q", "span", ("question", "context"), "answers", (), ("f1", "em", "no_answer_em"), no_answer=True)


def encoded_rows(paragraphs=3, task=PLAIN, unanswerable=0.0, max_length=22):
    rows = make_rows(paragraphs, seed=4, unanswerable=unanswerable)
    labels = [(row["answers"]["answer_start"] or [-1])[:1] * 2 for row in rows]
    texts = {name: [row[name] for row in rows] for name in ("question", "context")}
    extras = {"id": [row["id"] for row in rows], "answers": [tuple(row["answers"]["text"]) for row in rows]}
    ranges = [(b, b + len(t[0])) if t else (-1, -1) for (b, _), t in zip(labels, extras["answers"], strict=True)]
    return encode(Examples(texts, np.array(ranges), extras), task, TOKENIZER, max_length)


def random_logits(encoded, seed=0):
    logits = np.random.default_rng(seed).normal(size=(len(encoded), encoded.lengths.max(), 2)).astype(np.float32)
    for row, length in enumerate(encoded.lengths):
        logits[row, length:] = -np.inf
    return logits


def by_hand(encoded, logits, question, longest):
    """Every span of every window of a question: (score, text), best first."""
    found, context = [], encoded.spans.questions.contexts[question]
    for row in np.flatnonzero(encoded.groups == question):
        offsets = encoded.spans.offsets[row]
        for start in range(len(offsets)):
            for end in range(start, min(start + longest, len(offsets))):
                if offsets[start, 0] >= 0 and offsets[end, 0] >= 0:
                    text = context[offsets[start, 0] : offsets[end, 1]]
                    found.append((float(logits[row, start, 0] + logits[row, end, 1]), text))
    best = {}
    for value, text in sorted(found, reverse=True):
        best.setdefault(text, value)
    return [(value, text) for text, value in best.items()]


@pytest.mark.parametrize("longest", [1, 4, 30])
def test_every_span_of_every_window_is_considered(longest):
    encoded = encoded_rows()
    assert len(encoded) > 9
    logits = random_logits(encoded)
    decoded = decode(logits, encoded.spans, n_best=5, longest=longest)
    for question in range(9):
        expected = by_hand(encoded, logits, question, longest)[:5]
        found = [(answer.score, answer.text) for answer in decoded.answers[question]]
        assert [text for _, text in found] == [text for _, text in expected]
        assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-5)
        null = min(logits[encoded.groups == question][:, 0].sum(-1))
        assert decoded.null[question].score == pytest.approx(null, abs=1e-6)
    assert decode(logits, encoded.spans, longest=longest).predictions() == decoded.predictions()


def test_many_rows_are_scored_in_parts(monkeypatch):
    encoded = encoded_rows()
    logits = random_logits(encoded)
    whole = decode(logits, encoded.spans).predictions()
    monkeypatch.setattr("sublm.tasks.span_decoding._CELLS", 1)
    assert decode(logits, encoded.spans).predictions() == whole


def test_questions_above_the_threshold_are_left_unanswered():
    encoded = encoded_rows(task=OPEN)
    decoded = decode(random_logits(encoded), encoded.spans)
    middle = float(np.median(decoded.odds))
    assert [bool(text) for text in decoded.predictions(middle)] == (decoded.odds <= middle).tolist()
    assert all(decode(random_logits(encoded), encoded_rows().spans).predictions(-1e9))  # every question has one


def test_the_best_threshold_is_as_good_as_any():
    encoded = encoded_rows(6, OPEN, unanswerable=0.5)
    logits = random_logits(encoded)
    decoded = decode(logits, encoded.spans)
    best = score(logits, encoded, OPEN, threshold=None)
    tried = [score_answers(decoded, OPEN, threshold)["f1"] for threshold in [-99.0, *decoded.odds, 99.0]]
    assert best["f1"] == pytest.approx(max(tried))
    assert best == score(logits, encoded, OPEN, threshold=null_threshold(decoded))
    assert null_threshold(decode(logits, encoded_rows(6).spans)) == 0.0


def test_perfect_logits_score_one():
    encoded = encoded_rows(6, OPEN, unanswerable=0.5)
    logits = np.zeros((len(encoded), encoded.lengths.max(), 2), dtype=np.float32)
    for row, places in enumerate(encoded.labels):
        logits[row, places, [0, 1]] = 5.0
    assert score(logits, encoded, OPEN) == {"f1": 1.0, "em": 1.0, "no_answer_em": 1.0}


def test_a_part_of_the_rows_scores_its_own_questions():
    encoded = encoded_rows()
    logits = random_logits(encoded)
    for question in range(3):
        rows = np.flatnonzero(encoded.groups == question)
        part = decode(logits[rows], encoded.select(rows).spans)
        assert part.numbers.tolist() == [question]
        assert part.predictions() == decode(logits, encoded.spans).predictions()[question : question + 1]


def test_numbers_that_are_none_have_no_score():
    encoded = encoded_rows()
    logits = random_logits(encoded)
    logits[3, 2, 1] = np.nan
    assert all(math.isnan(value) for value in score(logits, encoded, PLAIN).values())


def test_files_of_the_official_format(tmp_path):
    encoded = encoded_rows(task=OPEN)
    decoded = decode(random_logits(encoded), encoded.spans, n_best=4)
    threshold = float(np.median(decoded.odds))
    files = write_predictions(tmp_path / "m", decoded, threshold=threshold)
    assert [path.name for path in files] == ["predictions.json", "nbest_predictions.json", "null_odds.json"]
    predictions, n_best, odds = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    assert list(predictions) == list(n_best) == list(odds) == encoded.spans.questions.ids
    assert list(predictions.values()) == decoded.predictions(threshold)
    for name, entries in n_best.items():
        assert len(entries) == 5  # four answers, and none
        assert sum(entry["probability"] for entry in entries) == pytest.approx(1.0)
        scores = [entry["start_logit"] + entry["end_logit"] for entry in entries]
        assert scores == sorted(scores, reverse=True)
        none = next(entry for entry in entries if entry["text"] == "")
        best = next(entry for entry in entries if entry["text"])
        difference = none["start_logit"] + none["end_logit"] - best["start_logit"] - best["end_logit"]
        assert odds[name] == pytest.approx(difference, abs=1e-5)
    plain = write_predictions(tmp_path / "p", decode(random_logits(encoded), encoded_rows().spans))
    assert [path.name for path in plain] == ["predictions.json", "nbest_predictions.json"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    return BertForQuestionAnswering(config).eval()


def test_predictions_do_not_depend_on_how_rows_are_batched(model):
    encoded = encoded_rows()
    alone = [predict(model, encoded.select([row]))[0] for row in range(len(encoded))]
    for tokens in (30, 8192):
        logits = predict(model, encoded, tokens=tokens)
        assert logits.shape == (len(encoded), encoded.lengths.max(), 2)
        for row, length in enumerate(encoded.lengths):
            np.testing.assert_allclose(logits[row, :length], alone[row], atol=1e-5)
            assert np.isneginf(logits[row, length:]).all()
    assert evaluate(model, encoded, PLAIN, tokens=30) == pytest.approx(evaluate(model, encoded, PLAIN))


def test_another_runtime_gives_the_same_scores(model, tmp_path):
    encoded = encoded_rows()
    path = export_onnx(model, tmp_path / "model.onnx", tokenizer=TOKENIZER)
    found = predict_onnx(path, evaluation_batches(encoded, tokens=60, pad_token_id=0))
    for row, length in enumerate(encoded.lengths):
        np.testing.assert_allclose(found[row, :length], predict(model, encoded)[row, :length], atol=1e-4)
    assert score(found, encoded, PLAIN) == pytest.approx(evaluate(model, encoded, PLAIN))
