"""EFTNAS's route: importance learned or given, a super-network of the model itself, a teacher beside it."""

import csv
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

import sublm
from sublm.errors import DataError, RunError, SubLMError, SubnetError
from sublm.importance import Importance
from sublm.recipes import load_recipe
from sublm.spaces import SearchSpace
from sublm.tasks import load_tokenizer

QUICK = {"epochs": 1, "learning_rate": 1e-3, "teacher_epochs": 2, "teacher_learning_rate": 3e-3, "movement_epochs": 2}
QUICK |= {"movement_learning_rate": 1e-3, "batch_size": 16, "evaluations": 12, "population": 4, "models": 2}


@pytest.fixture
def eftnas(settings):
    """The recipe, in about a second."""
    return settings | load_recipe("eftnas-s1") | QUICK | {"space_min": "40%", "step": 8, "precision": "fp32"}


@pytest.fixture
def large_teacher(model_folder, settings, tmp_path):
    """A fine-tuned model of more layers, wider, with the same tokenizer."""
    config = AutoConfig.from_pretrained(model_folder)
    config.num_hidden_layers, config.hidden_size, config.intermediate_size = 4, 32, 48
    folder = tmp_path / "large"
    with torch.random.fork_rng():
        AutoModel.from_config(config).save_pretrained(folder)
    load_tokenizer(model_folder).save_pretrained(folder)
    sublm.compress(
        **settings | {"model": str(folder), "importance": "magnitude"}, out=tmp_path / "t", only_importance=True
    )
    return tmp_path / "t" / "teacher"


def test_the_recipe_runs_from_importance_to_front(eftnas, tmp_path):
    front = sublm.compress(**eftnas, out=tmp_path / "run")
    space = SearchSpace.from_json((tmp_path / "run" / "space.json").read_text())
    assert Importance.load(tmp_path / "run").method == "movement"
    # The boundary and the intermediate sub-networks are searched, ahead of all that is drawn.
    log = [json.loads(line) for line in (tmp_path / "run" / "search" / "evaluations.jsonl").read_text().splitlines()]
    seeded = {entry["costs"]["macs"] for entry in log if entry["origin"] == "seed"}
    assert {seed["cost"] for seed in space.options["seeds"]} <= seeded
    with open(tmp_path / "run" / "front.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    on_front = sorted((e for e in front["evaluations"] if e["on_front"]), key=lambda e: e["macs"])
    assert [int(row["number"]) for row in rows] == [e["number"] for e in on_front]
    assert [float(row["macs"]) for row in rows] == [e["macs"] for e in on_front]
    assert {row["model"] for row in rows} >= {p["name"] for p in front["points"]}
    assert all(len(row["heads"].split()) == 3 for row in rows)


def test_the_super_network_starts_from_what_was_asked_for(eftnas, model_folder, tmp_path, monkeypatch):
    """With a training that changes nothing, its weights are those of the model, or of the teacher, sorted."""
    still = eftnas | {"learning_rate": 0.0, "importance": "magnitude", "evaluations": 2, "models": 1}
    for start in ("model", "teacher"):
        sublm.compress(**still | {"start": start}, out=tmp_path / start)
    given = load_file(model_folder / "model.safetensors")
    taught = load_file(tmp_path / "teacher" / "teacher" / "model.safetensors")
    for start, whole in (("model", given), ("teacher", taught)):
        found = load_file(tmp_path / start / "supernet" / "model.safetensors")
        name = next(name for name in found if name.endswith("layer.0.intermediate.dense.weight"))
        same = next(weight for other, weight in whole.items() if name.endswith(other.removeprefix("bert.")))
        assert torch.allclose(found[name].sum(), same.sum(), atol=1e-4)
    # The scores are those of the weights that are sorted.
    model, teacher = (Importance.load(tmp_path / start) for start in ("model", "teacher"))
    assert not torch.allclose(model.neurons, teacher.neurons)
    reference = sublm.compress(**still | {"teacher": "none", "strategy": "one_shot"}, out=tmp_path / "none")
    assert torch.equal(Importance.load(tmp_path / "none").neurons, model.neurons)
    assert reference["points"]


def test_a_teacher_of_another_shape_teaches_without_being_copied(eftnas, large_teacher, tmp_path):
    front = sublm.compress(**eftnas, out=tmp_path / "run", teacher=str(large_teacher))
    assert front["shape"]["layers"] == 3
    assert len(front["teacher"]["subnet"]["heads"]) == 4
    assert front["teacher"]["train_seconds"] == 0
    assert front["teacher"]["macs"] > max(e["macs"] for e in front["evaluations"])
    with pytest.raises(DataError, match="compares hidden states"):
        sublm.compress(**eftnas | {"hidden": 1.0}, out=tmp_path / "other", teacher=str(large_teacher))
    assert not (tmp_path / "other" / "teacher").exists()


def test_hidden_states_are_compared_channel_by_channel(settings, tmp_path):
    """Sorting the hidden channels would compare each with another of the teacher's."""
    sublm.compress(**settings | {"evaluations": 2, "models": 1, "epochs": 1}, out=tmp_path / "run", hidden=1.0)
    whole, found = (
        load_file(tmp_path / "run" / folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        for folder in ("teacher", "supernet")
    )
    assert torch.equal(found, whole)  # frozen, so they show the order


def test_saved_scores_are_taken_and_sort_as_they_did(eftnas, tmp_path):
    sublm.compress(**eftnas, out=tmp_path / "first", only_importance=True)
    given = eftnas | {"importance": str(tmp_path / "first")}
    sublm.compress(**given, out=tmp_path / "second", only_importance=True)
    assert (tmp_path / "second" / "space.json").read_text() == (tmp_path / "first" / "space.json").read_text()
    plan = sublm.compress(**given, out=tmp_path / "plan", dry_run=True)
    assert plan["space"]["exact"]
    assert plan["space"]["size"] == SearchSpace.from_json((tmp_path / "second" / "space.json").read_text()).size


def test_scores_of_another_model_are_refused_before_any_work(eftnas, model_folder, tmp_path):
    config = AutoConfig.from_pretrained(model_folder)
    config.num_attention_heads = 2
    other = tmp_path / "other"
    AutoModel.from_config(config).save_pretrained(other)
    load_tokenizer(model_folder).save_pretrained(other)
    scored = eftnas | {"importance": "magnitude", "start": "teacher"}
    sublm.compress(**scored | {"model": str(other)}, out=tmp_path / "scored", only_importance=True)
    with pytest.raises(SubnetError, match="computed for another model"):
        sublm.compress(**eftnas | {"importance": str(tmp_path / "scored")}, out=tmp_path / "run")
    assert not (tmp_path / "run" / "teacher").exists()
    space = str(tmp_path / "scored" / "space.json")
    with pytest.raises(RunError, match=r"belongs to a model of shape"):
        sublm.compress(**eftnas | {"space": space}, out=tmp_path / "spaced")
    assert not (tmp_path / "spaced" / "teacher").exists()
    with pytest.raises(RunError, match="No importance in"):
        sublm.compress(**eftnas | {"importance": str(other)}, out=tmp_path / "unscored")


def test_a_space_that_asks_for_more_than_the_model_has_is_refused(eftnas, tmp_path):
    sublm.compress(**eftnas, out=tmp_path / "run", only_importance=True)
    data = json.loads((tmp_path / "run" / "space.json").read_text())
    data["variables"]["neurons_0"]["options"] = [8, 4096]
    (tmp_path / "more.json").write_text(json.dumps(data))
    with pytest.raises(SubLMError, match="4096"):
        sublm.compress(**eftnas | {"space": str(tmp_path / "more.json")}, out=tmp_path / "more")
    assert not (tmp_path / "more" / "teacher").exists()


def test_a_teacher_that_cannot_teach_is_refused_even_by_a_plan(eftnas, settings, task_folder, tmp_path):
    sublm.compress(**settings | {"importance": "magnitude"}, out=tmp_path / "run", only_importance=True)
    teacher = tmp_path / "run" / "teacher"
    labels = tmp_path / "labels"
    labels.mkdir()
    for split in ("train", "validation"):
        text = (task_folder / f"{split}.jsonl").read_text()
        (labels / f"{split}.jsonl").write_text(text.replace('"label": "good"', '"label": "fine"'))
    with pytest.warns(UserWarning, match="untrained head"), pytest.raises(DataError, match="no head trained"):
        sublm.compress(**eftnas | {"task": str(labels)}, out=tmp_path / "labelled", teacher=str(teacher), dry_run=True)
    tokens = tmp_path / "tokens"
    shutil.copytree(teacher, tokens)
    tokenizer = (tokens / "tokenizer.json").read_text()
    (tokens / "tokenizer.json").write_text(tokenizer.replace('"word7"', '"another"'))
    with pytest.raises(DataError, match="reads other tokens"):
        sublm.compress(**eftnas, out=tmp_path / "token", teacher=str(tokens), dry_run=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "scratch"}, "start='scratch' is not known"),
        ({"strategy": "guided"}, "choose sandwich"),
        ({"epochs": 0}, "needs a training"),
        ({"population": 1}, "population must be at least 2"),
        ({"sampler": "random"}, "has no generations"),
        ({"movement_warmup_start": 1.0}, "movement_warmup_start is a share"),
        ({"space_min": "0.01%"}, "smallest within reach"),
        ({"space_max": "200%"}, "the whole super-network costs"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_work(eftnas, tmp_path, changes, message):
    with pytest.raises(SubLMError, match=message):
        sublm.compress(**eftnas | changes, out=tmp_path / "run")
    assert not (tmp_path / "run" / "teacher").exists()
