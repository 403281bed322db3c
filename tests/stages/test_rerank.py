"""The whole route on queries with passages."""

import random

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import pipeline

import sublm
from sublm.run import read_json
from sublm.tasks import encode, evaluate, load_task, load_tokenizer, predict
from tests.tasks.questions import word_tokenizer
from tests.tasks.tiny_bert import tiny_bert
from tests.tasks.writers import write_jsonl

THINGS, FILLER = ["boats", "cars", "dogs", "maps"], ["the", "then", "of", "here"]


def make_rows(queries, seed):
    """The passages that name a good thing are relevant, those that name two more so."""
    rng, rows = random.Random(seed), []
    for query in range(queries):
        for grade in rng.sample([0, 0, 0, 1, 2], 5):
            words = rng.sample(THINGS, 1) + ["good"] * grade + ["bad"] * (2 - grade) + rng.sample(FILLER, 2)
            row = {"qid": f"{seed}-{query}", "query": f"{rng.choice(THINGS)} number {seed} {query}"}
            rows.append(row | {"passage": " ".join(words), "relevance": grade})
        for row in rows[-5:]:
            row["query"] = rows[-5]["query"]
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    where = tmp_path_factory.mktemp("rerank")
    numbers = [str(number) for number in range(40)]
    tokenizer = word_tokenizer([*THINGS, *FILLER, "good", "bad", "number", *numbers])
    tokenizer.save_pretrained(where / "model")
    tiny_bert(tokenizer, max_position_embeddings=32).save_pretrained(where / "model")
    (where / "pairs").mkdir()
    write_jsonl(where / "pairs" / "train.jsonl", make_rows(40, seed=1))
    write_jsonl(where / "pairs" / "validation.jsonl", make_rows(10, seed=2))
    front = sublm.compress(
        str(where / "model"),
        task=str(where / "pairs"),
        out=where / "run",
        importance="taylor",
        teacher_epochs=5,
        teacher_learning_rate=1e-2,
        epochs=2,
        learning_rate=3e-3,
        batch_size=16,
        precision="fp32",
        evaluations=4,
        models=2,
    )
    return where, front


def test_a_run_ranks(run):
    where, front = run
    assert (front["task"]["kind"], front["task"]["metric"], front["task"]["examples"]) == ("rerank", "ndcg_10", 50)
    for scores in (front["teacher"]["scores"], *(point["scores"] for point in front["points"])):
        assert set(scores) == {"ndcg_10", "mrr_10"}
        assert scores["ndcg_10"] > 0.85  # in a random order about 0.65
    told = read_json(where / "run" / "comparison.json")
    assert told["unit"] == "queries"
    assert sum(told["right"].values()) == told["rows"] > 0
    data = load_task(where / "pairs")
    point = front["points"][0]
    model = sublm.load(where / "run" / point["folder"])
    rows = encode(data.validation, data.task, load_tokenizer(where / "model"))
    assert evaluate(model, rows, data.task) == pytest.approx(point["scores"])
    card = (where / "run" / point["folder"] / "README.md").read_text()
    assert "pipeline_tag: text-ranking" in card
    assert "| ndcg_10 |" in card


def test_its_models_are_ordinary_cross_encoders(run):
    where, front = run
    point = front["points"][0]
    folder = str(where / "run" / point["folder"])
    data = load_task(where / "pairs")
    model, tokenizer = sublm.load(folder), load_tokenizer(folder)
    assert (model.config.num_labels, model.config.problem_type) == (1, "multi_label_classification")
    texts = list(zip(*data.validation.texts.values(), strict=True))[:8]
    expected = torch.from_numpy(predict(model, encode(data.validation, data.task, tokenizer)))[:8, 0].sigmoid()
    encoder = CrossEncoder(folder, trust_remote_code=not point["stock"], device="cpu")
    torch.testing.assert_close(torch.from_numpy(encoder.predict(texts)), expected)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
    found = classify([{"text": query, "text_pair": passage} for query, passage in texts])
    assert [entry["score"] for entry in found] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_fine_tuned_cross_encoder_keeps_its_head(run):
    where, front = run
    teacher = str(where / "run" / "teacher")
    again = sublm.compress(
        teacher, task=str(where / "pairs"), out=where / "again", epochs=0, evaluations=2, models=1, precision="fp32"
    )
    assert again["teacher"]["scores"] == pytest.approx(front["teacher"]["scores"])
