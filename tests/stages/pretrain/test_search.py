"""`sublm pretrain-search` and `sublm fidelity` on a tiny run: what is found, kept, written and refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel

import sublm
from sublm import cli
from sublm.costs import Counts, LatencyPredictor, cost_model, fit_times
from sublm.errors import DataError, RunError, SubnetError, TargetError, UnsupportedModelError
from sublm.pretraining import build_corpus
from sublm.progress import Progress
from sublm.search import pairwise_accuracy
from sublm.spaces import SearchSpace, Subnet, obeys_rule
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.stages.pretrain import (
    Validation,
    measure_fidelity,
    pretrain,
    pretrain_search,
    reopen,
    search,
    validation_losses,
)
from sublm.stages.pretrain.costs import Deployed, open_base
from sublm.stages.pretrain.probing import Probes, features, task_names
from sublm.supernet import SuperNet
from tests.pretraining import samples
from tests.stages.pretrain.test_pretrain import save_model
from tests.tasks.tagged_sentences import make_sentences, write_conll


def write_table(path, rows) -> str:
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A super-network that learnt the relations of its own model; the paper's space."""
    place = tmp_path_factory.mktemp("search")
    model = save_model(place / "model")
    build_corpus([samples.write_text(place / "text.txt", 8_000)], samples.bert(), place / "corpus", length=24)
    quick = {"batch_size": 8, "steps": 6, "validation_rows": 16, "learning_rate": 3e-3, "precision": "fp32"}
    learn = {"objective": "mlm=1,relations=1,relation_heads=2", "teacher": model, "validate_every": 6}
    pretrain(model, place / "corpus", out=place / "run", **quick, **learn, hidden_step=2, space="homogeneous-kd")
    return place / "run"


@pytest.fixture(scope="module")
def found(trained) -> dict[str, Any]:
    return pretrain_search(trained, "macs<=50%", evaluations=8, top=2, further_steps=2)


def test_the_best_of_what_keeps_the_target_are_written(found, trained) -> None:
    scores = [entry["score"] for entry in found["evaluations"]]
    assert len(scores) == 8
    assert [model["score"] for model in found["models"]] == sorted(scores, reverse=True)[:2]
    supernet = reopen(trained, Progress()).supernet
    for entry in found["evaluations"]:
        assert entry["costs"]["macs"] <= found["whole"]["costs"]["macs"] / 2
        assert entry["score"] == -entry["loss"]
    for model in found["models"]:
        loaded = sublm.load(Path(found["run"]) / model["path"])
        assert sum(p.numel() for p in loaded.base_model.parameters()) == model["costs"]["parameters"]
        assert read_shape(model["shape"], supernet.shape).layers
    assert json.loads((Path(found["run"]) / "results.json").read_text())["models"] == found["models"]


def test_further_training_goes_on_from_the_cut_with_the_same_objective(found) -> None:
    """Its curve begins at the loss by which the sub-network was chosen, and it has no warm-up."""
    for model in found["models"]:
        folder = (Path(found["run"]) / model["further"]["path"]).parent
        curve = json.loads((folder / "validation.json").read_text())["curve"]
        assert curve[0]["losses"]["model"] == pytest.approx(model["loss"], rel=1e-4)
        assert json.loads((folder / "run.json").read_text())["configuration"]["warmup"] == 0
        assert model["further"]["loss"] == min(point["losses"]["model"] for point in curve)


def test_asked_for_more_models_nothing_is_evaluated_again(found, trained, monkeypatch) -> None:
    monkeypatch.setattr(search.Trained, "losses", None)
    more = pretrain_search(trained, "macs<=50%", evaluations=8, top=3)
    assert more["evaluations"] == found["evaluations"]
    assert [model["shape"] for model in more["models"][:2]] == [model["shape"] for model in found["models"]]
    with pytest.raises(RunError, match="overwrite"):
        pretrain_search(trained, "macs<=40%", evaluations=8)


def untimed(found) -> list[dict[str, Any]]:
    """What a search looked at, without how long that took."""
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in found["evaluations"]]


def test_asked_for_more_evaluations_a_search_goes_on(trained, tmp_path) -> None:
    few = pretrain_search(trained, "macs<=50%", out=tmp_path / "run", evaluations=3, top=1)
    more = pretrain_search(trained, "macs<=50%", out=tmp_path / "run", evaluations=6, top=1, overwrite=True)
    assert more["evaluations"][:3] == few["evaluations"]
    assert untimed(more) == untimed(pretrain_search(trained, "macs<=50%", out=tmp_path / "new", evaluations=6))
    # Of those that are asked for again, none is lost, and none is looked at.
    fewer = pretrain_search(trained, "macs<=50%", out=tmp_path / "run", evaluations=2, top=1, overwrite=True)
    assert fewer["evaluations"] == more["evaluations"]


def test_a_search_that_is_done_evaluates_nothing(trained, tmp_path) -> None:
    """Whatever became of its log."""
    whole = pretrain_search(trained, "macs<=50%", out=tmp_path / "run", evaluations=3, top=1)
    log = tmp_path / "run" / "search" / "evaluations.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    again = pretrain_search(trained, "macs<=50%", out=tmp_path / "run", evaluations=3, top=1)
    assert again["evaluations"] == whole["evaluations"][:2]
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("change", [{"sampler": "random"}, {"seed": 1}, {"length": 12}], ids=str)
def test_another_search_takes_the_place_of_the_first(trained, tmp_path, change) -> None:
    asked = {"evaluations": 4, "top": 1}
    first = pretrain_search(trained, "parameters<=50%", out=tmp_path / "run", **asked)
    other = pretrain_search(trained, "parameters<=50%", out=tmp_path / "run", **asked, **change, overwrite=True)
    assert untimed(other) != untimed(first)
    assert untimed(other) == untimed(
        pretrain_search(trained, "parameters<=50%", out=tmp_path / "new", **asked, **change)
    )


@pytest.mark.parametrize("fast", [False, True], ids=["searched", "fast"])
def test_by_another_fitness_everything_is_judged_again(trained, tmp_path, fast) -> None:
    rng = random.Random(0)
    rows = [(samples.words(rng, 6), "yes" if i % 2 else "no") for i in range(80)]
    task = write_table(tmp_path / "tossed.csv", rows)
    asked = {"evaluations": 3, "top": 1, "fast": fast, "out": tmp_path / "run", "overwrite": True}
    by_loss = pretrain_search(trained, "macs<=50%", **asked)
    by_task = pretrain_search(trained, "macs<=50%", **asked, tasks=[task], task_epochs=0)
    assert all(entry["score"] == entry["tossed"] >= 0 and "loss" not in entry for entry in by_task["evaluations"])
    fewer = pretrain_search(trained, "macs<=50%", **asked, tasks=[task], task_epochs=0, task_limit=30)
    assert [entry["score"] for entry in fewer["evaluations"]] != [entry["score"] for entry in by_task["evaluations"]]
    write_table(tmp_path / "tossed.csv", [(text, "yes") if i % 3 else (text, "no") for i, (text, _) in enumerate(rows)])
    changed = pretrain_search(trained, "macs<=50%", **asked, tasks=[task], task_epochs=0, task_limit=30)
    assert [entry["score"] for entry in changed["evaluations"]] != [entry["score"] for entry in fewer["evaluations"]]
    assert untimed(pretrain_search(trained, "macs<=50%", **asked)) == untimed(by_loss)


def test_fine_tunings_of_other_settings_are_no_hindrance(trained, tmp_path, monkeypatch) -> None:
    """Those of `fast`, which lie where a search that goes on later puts its own."""
    first, second = (
        read_shape(entry["shape"], reopen(trained, Progress()).supernet.shape)
        for entry in pretrain_search(trained, "macs<=30%", out=tmp_path / "loss", evaluations=2)["evaluations"]
    )
    rows = [(samples.words(random.Random(i), 6), "good" if i % 2 else "bad") for i in range(60)]
    asked = {"tasks": [write_table(tmp_path / "one.csv", rows)], "top": 1, "out": tmp_path / "run", "overwrite": True}
    pretrain_search(trained, "macs<=30%", **asked, evaluations=1)
    monkeypatch.setattr(search, "rule_candidates", lambda space, used: [second])
    pretrain_search(trained, "macs<=30%", **asked, fast=True, task_limit=30)
    more = pretrain_search(trained, "macs<=30%", **asked, evaluations=2)
    assert [entry["shape"] for entry in more["evaluations"]] == [shape_name(first), shape_name(second)]
    assert not any("error" in entry for entry in more["evaluations"])


@pytest.mark.parametrize("answers", [0, 1.5, 100])
def test_a_teacher_is_asked_once_and_the_losses_are_the_same_to_the_bit(trained, answers) -> None:
    """Whether its answers fit into memory, some of them do, or none."""
    run = reopen(trained, Progress())
    teacher, batches = run.before.teacher, [*run.text.validation, *run.text.validation]
    supernet = run.supernet
    subnets = [supernet.largest, read_shape("2-16-20-4-16", supernet.shape)]
    wanted = [validation_losses(supernet, [subnet], run.objective, batches, teacher=teacher) for subnet in 2 * subnets]
    asked = []
    with torch.inference_mode():
        memory = round(answers * run.objective.answer(teacher, batches[0]).bytes)
    validation = Validation(run.objective, batches, teacher=teacher, memory=memory)
    handle = teacher.register_forward_hook(lambda *_: asked.append(1))
    try:
        found = [validation.losses(supernet, [subnet]) for subnet in 2 * subnets]
    finally:
        handle.remove()
    assert found == wanted
    kept = min(len(batches), int(answers))
    assert len(asked) == 4 * (len(batches) - kept) + kept


def test_fast_tests_one_shape_per_depth_that_obeys_the_rule(trained, tmp_path, capsys) -> None:
    asked = ["pretrain-search", str(trained), "--target", "macs<=50%", "--out", str(tmp_path / "fast")]
    assert cli.main([*asked, "--recipe", "autotinybert-fast", "--top", "1", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    shapes = [entry["shape"] for entry in found["evaluations"]]
    depths = [shape.split("-")[0] for shape in shapes]
    assert depths == sorted(set(depths))
    supernet = reopen(trained, Progress()).supernet
    assert all(obeys_rule(read_shape(shape, supernet.shape)) for shape in shapes)
    assert found["models"][0]["score"] == max(entry["score"] for entry in found["evaluations"])


def test_fitness_may_be_the_mean_score_of_short_fine_tunings(trained, tmp_path) -> None:
    rows = [(samples.words(random.Random(i), 6), "good" if i % 2 else "bad") for i in range(60)]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    tasks = tuple(write_table(tmp_path / name / "data.csv", rows) for name in ("first", "second"))
    asked = {"tasks": tasks, "task_learning_rate": 3e-4, "evaluations": 2, "top": 1}
    found = pretrain_search(trained, "macs<=30%", out=tmp_path / "tasks", **asked)
    assert found["fitness"].startswith("mean score of")
    for entry in found["evaluations"]:
        assert "error" not in entry
        assert entry["score"] == pytest.approx((entry["first-data"] + entry["second-data"]) / 2)
    assert found["models"][0]["score"] == max(entry["score"] for entry in found["evaluations"])
    tunings = list((tmp_path / "tasks" / "proxies").glob("*/*/results.json"))
    assert len(tunings) == 4
    for tuning in tunings:
        runs = json.loads(tuning.read_text())["runs"]
        assert [tried["hyperparameters"]["learning_rate"] for tried in runs] == [3e-4]


def test_proxy_tasks_have_short_names_that_tell_them_apart() -> None:
    given = ["glue/rte", "super_glue/rte", "stsb", "/data/a/train.csv", "/data/b/train.csv", "train.csv"]
    names = ["glue-rte", "super_glue-rte", "stsb", "a-train", "b-train", "train"]
    assert task_names(given) == dict(zip(names, given, strict=True))
    with pytest.raises(RunError, match="two have the same name"):
        task_names(["stsb", "mrpc", "stsb"])


def test_fitness_may_be_what_linear_models_find_in_the_features(trained, tmp_path) -> None:
    """Whether a word is there can be read off mean features, a coin cannot; and nothing is fine-tuned."""
    rng = random.Random(0)
    rows = [(samples.words(rng, 6), i % 2) for i in range(120)]
    one, other = (" ".join([syllable] * 6) for syllable in samples.SYLLABLES[:2])
    seen = [(f"{text} {one if odd else other}", "yes" if odd else "no") for text, odd in rows]
    tossed = [(text, rng.choice(("heads", "tails"))) for text, _ in rows]
    tasks = (write_table(tmp_path / "seen.csv", seen), write_table(tmp_path / "tossed.csv", tossed))
    before = {name: value.clone() for name, value in reopen(trained, Progress()).supernet.model.state_dict().items()}
    asked = {"tasks": tasks, "task_epochs": 0, "evaluations": 3, "top": 1}
    found = pretrain_search(trained, "macs<=60%", out=tmp_path / "probed", **asked)
    assert found["fitness"] == f"mean score of {', '.join(tasks)} by linear probes"
    for entry in found["evaluations"]:
        assert entry["score"] == pytest.approx((entry["seen"] + entry["tossed"]) / 2)
        assert entry["seen"] > 0.8 > entry["tossed"]
    assert not (tmp_path / "probed" / "proxies").exists()
    after = reopen(trained, Progress()).supernet.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert pretrain_search(trained, "macs<=60%", out=tmp_path / "probed", **asked)["models"] == found["models"]


def test_probed_features_are_those_of_the_extracted_model(trained, tmp_path) -> None:
    opened = reopen(trained, Progress())
    subnet = opened.space.sample(random.Random(3))
    texts = [(samples.words(random.Random(i), 3 + i % 4), i % 3) for i in range(60)]
    table = write_table(tmp_path / "texts.csv", texts)
    probes = Probes.load([table], opened.tokenizer, data=None, longest=16, limit=100, seed=0)
    extracted = opened.supernet.extract(subnet)
    rows = probes.tasks["texts"].splits["search"]
    opened.supernet.activate(subnet)
    assert np.allclose(features(opened.supernet.model, rows), features(extracted, rows), atol=1e-5)


def test_proxy_tasks_that_cannot_be_used_are_refused_before_a_measurement(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sublm.stages.pretrain.search.fit", lambda *args: pytest.fail("measured first"))
    with pytest.raises(DataError, match="nowhere"):
        pretrain_search(trained, "latency<=5ms", out=tmp_path / "a", tasks=[str(tmp_path / "nowhere.csv")])
    sentences = tmp_path / "tags.conll"
    write_conll(sentences, make_sentences(40, seed=1))
    with pytest.raises(DataError, match="linear probe"):
        pretrain_search(trained, "latency<=5ms", out=tmp_path / "b", tasks=[str(sentences)], task_epochs=0)


def test_a_promised_speed_up_is_kept_by_what_is_measured(trained, tmp_path, monkeypatch) -> None:
    """The predictor sees a machine on which time is proportional to MACs; measured, narrow models are slower."""

    def time_of(encoder: SuperNet, subnet: Subnet) -> float:
        return cost_model(encoder).macs(subnet, 24) / 1e5

    def fit(
        encoder: SuperNet, space: SearchSpace, deployed: Deployed, scratch: Path, tokenizer: Any, base: Any
    ) -> LatencyPredictor:
        rng = random.Random(0)
        subnets = [encoder.largest, *(space.sample(rng) for _ in range(60))]
        times = np.array([time_of(encoder, subnet) for subnet in subnets])
        found = fit_times(Counts.of(subnets), times, deployed.options())
        return found if base is None else replace(found, reference=time_of(base, base.largest))

    def measure(encoder: SuperNet, subnets: list[Subnet], *_: Any) -> np.ndarray:
        return np.array([time_of(encoder, s) * (1.4 if len(s.layers) == 3 else 0.9) for s in subnets])

    monkeypatch.setattr(search, "fit", fit)
    monkeypatch.setattr(search, "measure", measure)
    found = pretrain_search(trained, "speedup>=2x", out=tmp_path / "fast", evaluations=12, top=2)
    limit = found["whole"]["costs"]["latency"] / 2
    assert all(entry["costs"]["latency"] <= limit for entry in found["evaluations"])  # as predicted
    assert found["models"]
    for model in found["models"]:
        assert model["latency_ms"] <= limit
        assert model["speedup"] >= 2
    # Against a given model, four times as fast as it is may be slower than half of this one.
    base = save_model(tmp_path / "base", BertModel, num_hidden_layers=6, intermediate_size=64)
    asked = {"evaluations": 6, "top": 1, "base": base}
    against = pretrain_search(trained, ("speedup>=4x", "parameters<=50%"), out=tmp_path / "against", **asked)
    encoder = SuperNet(BertModel.from_pretrained(base))
    own = time_of(encoder, encoder.largest)
    assert against["base"]["costs"]["latency"] == pytest.approx(own)
    assert against["base"]["costs"]["parameters"] == encoder.model.num_parameters()
    for entry in against["evaluations"]:
        assert entry["costs"]["latency"] <= own / 4
        assert entry["costs"]["parameters"] <= encoder.model.num_parameters() / 2
    assert against["models"][0]["speedup"] == pytest.approx(own / against["models"][0]["latency_ms"])
    assert against["whole"] == found["whole"]


def test_a_base_that_cannot_be_is_refused_before_anything_is_measured(trained, tmp_path) -> None:
    run = reopen(trained, Progress())
    cut = run.cut(read_shape("2-16-20-4-12", run.supernet.shape), tmp_path / "cut")
    short = save_model(tmp_path / "short", BertModel, max_position_embeddings=8)
    (tmp_path / "empty").mkdir()
    for base, error, message in (
        ("./no-such", DataError, "base: there is no folder './no-such'"),
        (tmp_path / "empty", UnsupportedModelError, "base=.*cannot be loaded"),
        (cut, UnsupportedModelError, "is a sub-network that SubLM cut"),
        (short, RunError, "reads 8 tokens; costs are counted for texts of 24"),
    ):
        with pytest.raises(error, match=message):
            open_base(str(base), 24)
    with pytest.raises(DataError, match="there is no folder"):
        pretrain_search(trained, "macs<=50%", base="./no-such", out=tmp_path / "none")
    assert not (tmp_path / "none" / "results.json").exists()


def test_what_cannot_be_is_refused_before_anything_is_measured(trained, tmp_path) -> None:
    with pytest.raises(TargetError, match="nearest that is met"):
        pretrain_search(trained, "macs<=10", out=tmp_path / "none")
    with pytest.raises(RunError, match="holds no pre-trained super-network"):
        pretrain_search(tmp_path, "macs<=50%")
    with pytest.raises(RunError, match="say what the sub-networks must meet"):
        pretrain_search(trained, ())
    with pytest.raises(RunError, match="task_learning_rate=0 must be above 0"):
        pretrain_search(trained, "macs<=50%", task_learning_rate=0)


def test_fidelity_compares_with_training_alone_of_the_same_length(trained, tmp_path) -> None:
    asked = {"number": 2, "band": (0.2, 0.35), "start": "model"}
    found = measure_fidelity(trained, out=tmp_path / "fidelity", **asked)
    entries = found["architectures"]
    assert len({entry["shape"] for entry in entries}) == 2
    for entry in entries:
        assert 0.2 <= entry["costs"]["macs"] / found["whole"]["macs"] <= 0.35
        run = tmp_path / "fidelity" / "alone" / entry["shape"] / "run"
        curve = json.loads((run / "validation.json").read_text())["curve"]
        # It begins where the super-network began, and is trained as long as that was.
        assert curve[0]["losses"]["model"] == pytest.approx(entry["loss_before_training"], rel=1e-4)
        assert json.loads((run / "run.json").read_text())["configuration"]["steps"] == 6
        assert entry["stand_alone_loss"] == min(point["losses"]["model"] for point in curve)
        assert entry["stand_alone_loss"] < entry["loss_before_training"]
    shared, alone = ([entry[name] for entry in entries] for name in ("one_shot_loss", "stand_alone_loss"))
    assert found["pairwise_accuracy"] == pairwise_accuracy(shared, alone)
    assert (tmp_path / "fidelity" / "fidelity.png").read_bytes().startswith(b"\x89PNG")
    # A third is trained later, and only that.
    times = {entry["shape"]: entry["seconds"] for entry in entries}
    more = measure_fidelity(trained, out=tmp_path / "fidelity", **asked | {"number": 3})
    assert [entry["seconds"] for entry in more["architectures"][:2]] == list(times.values())
    assert len(more["architectures"]) == 3


def test_fidelity_refuses_what_makes_no_comparison(trained, tmp_path) -> None:
    with pytest.raises(RunError, match="two different ones"):
        measure_fidelity(trained, shapes=["1-8-4-4-4"], out=tmp_path / "one")
    with pytest.raises(RunError, match="two rising shares"):
        measure_fidelity(trained, band=(0.5, 0.4), out=tmp_path / "band")
    with pytest.raises(SubnetError, match="is no shape"):
        measure_fidelity(trained, shapes=["1-8-4-4-4", "large"], out=tmp_path / "shape")
