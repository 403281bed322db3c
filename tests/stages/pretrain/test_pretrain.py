"""`sublm pretrain` from a tiny model and a small text to folders, whole and cut; killed, launched and refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForMaskedLM,
    BertForMaskedLM,
    BertModel,
    ElectraForPreTraining,
)

import sublm
from sublm import cli
from sublm.errors import DataError, RunError, SubnetError, TrainingError, UnsupportedModelError
from sublm.pretraining import build_corpus
from sublm.spaces import Subnet
from sublm.spaces.homogeneous import read_shape, shape_name
from sublm.stages.pretrain import cut_from_run, open_supernet, pretrain, validation_losses
from sublm.stages.pretrain.folders import detach_projection
from sublm.stages.pretrain.text import VALIDATION_SEED
from sublm.training.objectives import PretrainingObjective
from tests.pretraining import samples

PROGRAM = Path(__file__).with_name("program.py")
SHAPES = ["largest", "2-16-20-4-16", "3-20-12-2-12"]  # heads made smaller; heads dropped


def save_model(folder: Path, kind: Any = BertForMaskedLM, *, tokenizer: Any = None, **changes: Any) -> str:
    tokenizer = tokenizer or samples.bert()
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 40}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(kind.config_class(vocab_size=len(tokenizer), **(sizes | without | changes))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pretrain")


@pytest.fixture(scope="module")
def model(place) -> str:
    return save_model(place / "model")


@pytest.fixture(scope="module")
def corpus(place) -> str:
    text = samples.write_text(place / "text.txt", 10_000)
    build_corpus([text], samples.bert(), place / "corpus", length=24, shard_mib=0.005)
    return str(place / "corpus")


@pytest.fixture(scope="module")
def settings(model, corpus) -> dict[str, Any]:
    quick = {"batch_size": 12, "steps": 12, "validation_rows": 40, "learning_rate": 3e-3, "precision": "fp32"}
    return {"model": model, "corpus": corpus, **quick, "hidden_step": 2, "subnets": 2}


@pytest.fixture(scope="module")
def distilled(place, settings) -> dict[str, Any]:
    """From the paper's objective and every other term, from the model itself."""
    terms = "mlm=1,logits=0.5,attention=1,hidden=1,relations=1,relation_heads=4"
    more = {
        "objective": terms,
        "teacher": settings["model"],
        "space": "homogeneous-kd",
        "strategy": "sandwich",
        "validate_every": 3,
    }
    return pretrain(**settings, **more, out=place / "distilled", shapes=SHAPES)


def curve_of(run: Path | str) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in point.items() if name != "seconds"}
        for point in json.loads((Path(run) / "validation.json").read_text())["curve"]
    ]


def batch_of(corpus: str) -> dict[str, torch.Tensor]:
    from sublm.pretraining import Corpus, Masking, PieceBatches

    return PieceBatches(Corpus.open(corpus), batch_size=8, masking=Masking(), seed=3).batch(0, 0)


def test_the_validation_loss_of_all_sizes_falls_and_is_kept(distilled) -> None:
    curve = curve_of(distilled["run"])
    assert [point["step"] for point in curve] == [0, 3, 6, 9, 12]
    for size in ("largest", "median", "smallest"):
        assert curve[-1]["losses"][size] < curve[0]["losses"][size]
    assert distilled["losses"] == curve[distilled["best_step"] // 3]["losses"]
    said = json.loads((Path(distilled["run"]) / "validation.json").read_text())["subnets"]
    macs = [said[size]["macs"] for size in ("smallest", "median", "largest")]
    assert macs == sorted(set(macs))


def test_what_is_validated_on_is_never_trained_on(place, settings, monkeypatch) -> None:
    from sublm.pretraining import PieceBatches

    seen: dict[int, set[int]] = {}
    rows = PieceBatches.rows

    def watch(self: PieceBatches, epoch: int, number: int) -> Any:
        found = rows(self, epoch, number)
        seen.setdefault(self.batch_size == 12, set()).update(found.tolist())
        return found

    monkeypatch.setattr(PieceBatches, "rows", watch)
    more = {"steps": 0, "epochs": 1, "validation_share": 0.2, "space": "none", "validate_every": 100}
    pretrain(**(settings | more), out=place / "held-out")
    pieces = sublm.pretraining.Corpus.open(settings["corpus"])
    trained, validated = seen[True], seen[False]
    assert not trained & validated
    assert len(trained) == len(pieces) - round(0.2 * len(pieces))  # all of the rest
    assert len(validated) >= 20
    assert VALIDATION_SEED == 0


def test_done_it_is_not_done_again_and_further_shapes_are_cut_from_it(distilled, settings, place, monkeypatch) -> None:
    record = json.loads((Path(distilled["run"]) / "run.json").read_text())
    configuration = record["configuration"]
    monkeypatch.setattr("sublm.stages.pretrain.job.train", None)
    again = pretrain(**configuration, out=distilled["run"], shapes=["1-8-4-4-4"])
    assert again["losses"] == distilled["losses"]
    assert (Path(again["models"]["1-8-4-4-4"]) / "config.json").exists()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_tensor_is_cut_and_the_folder_is_complete(distilled, corpus, shape) -> None:
    """The cut computes what the slice does, with its head, and its projection is the slice's."""
    supernet, space = open_supernet(distilled["run"])
    subnet = space.largest if shape == "largest" else read_shape(shape, supernet.shape)
    folder = distilled["models"][shape]
    batch = {name: values for name, values in batch_of(corpus).items() if name not in ("index", "labels")}
    supernet.activate(subnet)
    projection = supernet.model.hidden_projection.cut(supernet.model)
    with torch.no_grad():
        wanted = supernet.model.eval()(**batch).logits
        stock = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True, local_files_only=True)
        own = sublm.load(folder)
        torch.testing.assert_close(own(**batch).logits, wanted)
        torch.testing.assert_close(stock(**batch).logits, wanted)
    assert projection["weight"].shape[1] == own.config.hidden_size
    saved = load_file(Path(folder) / "hidden_projection.safetensors")
    assert all(torch.equal(saved[name], projection[name]) for name in projection)
    notes = json.loads((Path(folder) / "pretraining.json").read_text())
    assert notes["shape"] == shape_name(subnet)
    assert notes["parameters"] == sum(p.numel() for p in own.parameters())
    assert Subnet.from_dict(notes["subnet"]) == subnet
    tokenizer = sublm.tasks.load_tokenizer(folder)
    assert tokenizer.get_vocab() == samples.bert().get_vocab()
    # Both head strategies, and the first layers.
    layers = own.bert.encoder.layer
    expected = {"largest": (3, 4, 6), "2-16-20-4-16": (2, 4, 4), "3-20-12-2-12": (3, 2, 6)}[shape]
    attention = layers[0].attention.self
    assert (len(layers), attention.num_attention_heads, attention.attention_head_size) == expected


def test_a_sub_network_is_judged_by_its_validation_loss_like_its_cut(distilled, corpus) -> None:
    supernet, _ = open_supernet(distilled["run"])
    detach_projection(supernet.model)
    batches, objective = [batch_of(corpus)], PretrainingObjective()
    some = [read_shape(shape, supernet.shape) for shape in SHAPES[1:]]
    together = validation_losses(supernet, some, objective, batches)
    apart = [validation_losses(sublm.load(distilled["models"][s]), [None], objective, batches)[0] for s in SHAPES[1:]]
    assert together == pytest.approx(apart, rel=1e-5)
    assert supernet.active == supernet.largest


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_what_was_cut_trains_on_from_where_it_was(distilled, settings, place, shape) -> None:
    """Further training: the same teacher, no warm-up, and the projection that came with the weights."""
    folder = distilled["models"][shape]
    configuration = json.loads((Path(distilled["run"]) / "run.json").read_text())["configuration"]
    further = configuration | {"model": folder, "space": None, "steps": 4, "warmup": 0.0, "validate_every": 2}
    further |= {"teacher": str(Path(distilled["run"]) / "teacher")}
    if "-4-" not in shape:  # it lacks two of the teacher's heads
        with pytest.raises(TrainingError, match="the teacher has 4 heads, a sub-network 2"):
            pretrain(**further, out=place / f"further-{shape}-refused")
        further |= {"objective": "mlm=1,hidden=1,relations=1,relation_heads=4"}
    supernet, _ = open_supernet(distilled["run"])
    before = supernet.model.hidden_projection.weight[:, : read_shape(shape, supernet.shape).hidden]
    result = pretrain(**further, out=place / f"further-{shape}")
    curve = curve_of(result["run"])
    assert curve[-1]["losses"]["model"] < curve[0]["losses"]["model"] < 10
    after = load_file(Path(result["model"]) / "hidden_projection.safetensors")["weight"]
    assert 0 < (after - before).abs().max() < 0.1
    assert json.loads((Path(result["model"]) / "pretraining.json").read_text())["shape"] == shape
    assert sublm.load(result["model"]).config.hidden_size == int(shape.split("-")[1])


def test_killed_it_goes_on_to_the_same_weights_and_the_same_curve(place, settings, tmp_path) -> None:
    dropping = save_model(place / "dropping", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    asked = settings | {"model": dropping, "steps": 20, "validate_every": 5, "strategy": "one_shot"}
    whole = pretrain(**asked, out=tmp_path / "whole")
    run = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), json.dumps({**asked, "out": str(run)})],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "training" / "pretrain" / "step-00000005").exists():
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (run / "supernet").exists()
    result = pretrain(**asked, out=run)
    assert result["losses"] == whole["losses"]
    assert curve_of(run) == curve_of(whole["run"])
    one, other = (load_file(Path(r["supernet"]) / "model.safetensors") for r in (whole, result))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (run / "training").exists()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")
def test_two_processes_train_as_one_that_takes_both_their_parts(settings, tmp_path) -> None:
    """Each process draws sub-networks for itself; one update with the average of all."""
    more = {"objective": "mlm=1,relations=1", "teacher": settings["model"], "relation_heads": 2, "accumulation": 2}
    asked = settings | more | {"steps": 4, "batch_size": 7}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = {**os.environ, **{k: str(v) for k, v in where.items()}, "MASTER_ADDR": "127.0.0.1"}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(PROGRAM), json.dumps({**asked, "out": str(tmp_path / "two")})]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=250)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert json.loads(said[0]) == json.loads(said[1])
    one = pretrain(**asked, parts=2, out=tmp_path / "one")
    alike = pretrain(**asked, parts=1, out=tmp_path / "alike")
    weights = [load_file(tmp_path / run / "supernet" / "model.safetensors") for run in ("two", "one", "alike")]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], atol=2e-5, rtol=1e-4)
    assert any((weights[1][name] - weights[2][name]).abs().max() > 1e-4 for name in weights[1])  # drew others
    for ours, theirs in zip(curve_of(tmp_path / "two"), curve_of(one["run"]), strict=True):
        assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
    assert alike["steps"] == one["steps"] == 4


def test_from_scratch_only_the_sizes_are_taken(settings, tmp_path) -> None:
    result = pretrain(
        **settings | {"steps": 1, "learning_rate": 0.0, "seed": 5}, from_scratch=True, out=tmp_path / "run"
    )
    again = pretrain(
        **settings | {"steps": 1, "learning_rate": 0.0, "seed": 5},
        from_scratch=True,
        space="none",
        out=tmp_path / "again",
    )
    one, other = (load_file(Path(path) / "model.safetensors") for path in (result["supernet"], again["model"]))
    given = load_file(Path(settings["model"]) / "model.safetensors")
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(one[name], other[name])  # the same seed, and nothing to be sorted
    assert not torch.equal(one[name], given[name])


def test_from_scratch_the_vocabulary_is_the_corpus_own(settings, place, tmp_path) -> None:
    """And so a teacher's, with another vocabulary than the model whose sizes are taken."""
    teacher = save_model(tmp_path / "teacher", tokenizer=samples.roberta())
    corpus = tmp_path / "corpus"
    build_corpus([place / "text.txt"], samples.roberta(), corpus, length=24)
    asked = settings | {"corpus": str(corpus), "steps": 2, "space": "none"}
    with pytest.raises(DataError, match="made with another tokenizer"):
        pretrain(**asked, out=tmp_path / "not-from-scratch")
    result = pretrain(**asked, from_scratch=True, objective="bort", teacher=teacher, out=tmp_path / "run")
    student = sublm.load(result["model"]).config
    ours, theirs = sublm.tasks.load_tokenizer(result["model"]), samples.roberta()
    assert ours.get_vocab() == theirs.get_vocab()
    assert (student.vocab_size, student.pad_token_id) == (len(theirs), theirs.pad_token_id)
    assert (student.hidden_size, student.num_hidden_layers) == (24, 3)
    (tmp_path / "corpus" / "tokenizer").rename(tmp_path / "gone")  # as corpora of earlier versions are
    with pytest.raises(DataError, match="made with another tokenizer"):
        pretrain(**asked, from_scratch=True, out=tmp_path / "older")


def test_distilling_logits_notes_the_masked_tokens_loss_too(settings, tmp_path) -> None:
    """So that it can be compared with that of a training without a teacher; the latter has no second one."""
    one = settings | {"steps": 1, "learning_rate": 0.0, "space": "none"}
    plain = pretrain(**one, out=tmp_path / "plain")
    taught = pretrain(**one, objective="bort", teacher=settings["model"], out=tmp_path / "taught")
    plain_point, point = (curve_of(result["run"])[0] for result in (plain, taught))
    assert "masked_losses" not in plain_point
    assert point["masked_losses"] == pytest.approx(plain_point["losses"])
    # Learning from itself, the divergence is 0: 0.1 of the masked tokens' loss is left.
    assert point["losses"]["model"] == pytest.approx(0.1 * plain_point["losses"]["model"], rel=1e-5)


def test_a_model_without_a_head_gets_one_and_its_units_are_sorted_by_magnitude(settings, tmp_path) -> None:
    bare = save_model(tmp_path / "bare", BertModel)
    result = pretrain(**settings | {"model": bare, "steps": 2, "space": "nested", "step": 8}, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "importance.json").read_text())["method"] == "magnitude"
    assert sublm.load(result["supernet"]).cls.predictions.decoder.out_features == len(samples.bert())
    with pytest.raises(RunError, match=r"no trained head for them\. Choose magnitude"):
        pretrain(**settings | {"model": bare}, importance="taylor", out=tmp_path / "other")


def test_the_whole_is_its_own_teachers_equal_at_first(distilled, settings, tmp_path) -> None:
    """Heads and channels are sorted in both, so nothing but the labels is left to be learned."""
    more = {"teacher": settings["model"], "objective": "relations", "relation_heads": 4, "space": "homogeneous-kd"}
    losses = []
    for teacher in (settings["model"], str(Path(distilled["run"]) / "teacher")):
        run = tmp_path / str(len(losses))
        pretrain(**settings | more | {"teacher": teacher, "steps": 1}, out=run)
        losses.append(curve_of(run)[0]["losses"])
    assert losses[0]["largest"] == pytest.approx(0, abs=1e-6)
    assert losses[0]["smallest"] > 1e-6
    assert losses[1]["largest"] > 1e-6  # a teacher with another order of heads than this super-network's


def test_stratified_sampling_draws_from_all_sizes(settings, tmp_path) -> None:
    result = pretrain(**settings | {"steps": 2}, sampling="stratified", out=tmp_path / "run")
    assert result["steps"] == 2


def test_a_dry_run_tells_the_plan_and_trains_nothing(settings, tmp_path, capsys) -> None:
    words = ["--steps", "500", "--batch-size", "12", "--precision", "fp32", "--hidden-step", "2", "--json", "--quiet"]
    out = tmp_path / "run"
    command = ["pretrain", settings["model"], "--corpus", settings["corpus"], "--out", str(out), "--dry-run", *words]
    assert cli.main(command) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["steps"] == 500
    assert plan["seconds"] > 0
    assert plan["space"]["settings"] > 1000
    assert plan["subnets"]["largest"]["parameters"] > plan["subnets"]["smallest"]["parameters"]
    assert not (out / "supernet").exists()
    assert cli.main([*command[: -len(words) - 1], *words, "--steps", "1"]) == 0  # and then for real, with other steps
    assert json.loads(capsys.readouterr().out)["steps"] == 1


def other_vocabulary(folder: Path) -> str:
    return save_model(folder, tokenizer=samples.roberta())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"objective": "bort"}, TrainingError, "learns from a teacher: pass teacher="),
        ({"teacher": "model"}, TrainingError, "mlm learns nothing from a teacher"),
        ({"teacher": "other", "objective": "relations"}, DataError, "reads other tokens than .* from_scratch"),
        ({"teacher": "discriminator", "objective": "bort"}, TrainingError, "discriminators have none"),
        ({"teacher": "model", "objective": "relations", "relation_heads": 7}, TrainingError, "give relation_heads=6"),
        ({"teacher": "model", "objective": "relations", "teacher_layers": 9}, TrainingError, "the teacher has 3"),
        (
            {"teacher": "two-heads", "objective": "attention-hidden"},
            TrainingError,
            "the teacher has 2 heads, a sub-network 1",
        ),
        ({"space": "medum"}, RunError, "space='medum' is not known"),
        ({"importance": "movement"}, RunError, "importance='movement' is not known"),
        ({"strategy": "all"}, RunError, "strategy='all' is not known"),
        ({"shapes": ["4-24-32-4-24"]}, SubnetError, "everything at most 3-24-32-4-24"),
        ({"shapes": ["small"]}, SubnetError, "write layers-hidden-neurons-heads-attention width"),
        ({"shapes": ["largest"], "space": "none"}, RunError, "leave shapes out"),
        ({"corpus": "gone"}, DataError, "gone"),
        ({"corpus": "duplicates"}, DataError, "Give a text of its own with validation="),
        ({"corpus": "long"}, DataError, "pieces of 48 tokens, the model reads 40"),
        ({"model": "no-such-model"}, (DataError, UnsupportedModelError), "no-such-model"),
        ({"validation_share": 0.0}, RunError, "must lie between 0 and 1"),
        ({"batchsize": 3}, RunError, "no setting 'batchsize'"),
    ],
)
def test_what_cannot_work_is_refused_before_the_training(settings, place, tmp_path, changes, error, message) -> None:
    def made(name: str) -> str:
        folder = place / "refused" / name
        if name == "model":
            return settings["model"]
        if not folder.exists():
            if name == "other":
                other_vocabulary(folder)
            elif name == "discriminator":
                save_model(folder, ElectraForPreTraining, embedding_size=24)
            elif name == "two-heads":
                save_model(folder, num_attention_heads=2)
            elif name in ("duplicates", "long"):
                more = {"duplicates": 2, "length": 24} if name == "duplicates" else {"length": 48}
                build_corpus([place / "text.txt"], samples.bert(), folder, **more)
            else:
                return str(folder)
        return str(folder)

    changed = {name: made(value) if name in ("teacher", "corpus") else value for name, value in changes.items()}
    with pytest.raises(error, match=message):
        pretrain(**(settings | changed), out=tmp_path / "run")
    assert not (tmp_path / "run" / "supernet").exists()
    record = tmp_path / "run" / "run.json"
    if record.exists() and "shapes" not in changes:  # the command, mended, may have the folder
        assert json.loads(record.read_text())["stages"] == {}


def test_a_teacher_may_be_an_electra_discriminator_of_another_shape(settings, place, tmp_path) -> None:
    teacher = save_model(tmp_path / "teacher", ElectraForPreTraining, embedding_size=24, hidden_size=32)
    more = {"teacher": teacher, "objective": "attention-hidden", "space": "homogeneous-kd", "steps": 3}
    result = pretrain(**settings | more, out=tmp_path / "run")
    projection = load_file(Path(result["supernet"]) / "hidden_projection.safetensors")["weight"]
    assert projection.shape == (32, 24)


def test_a_sub_network_is_no_super_network(distilled, settings, tmp_path) -> None:
    with pytest.raises(RunError, match="whose sizes no stock configuration expresses"):
        pretrain(**settings | {"model": distilled["models"]["3-20-12-2-12"]}, space="homogeneous", out=tmp_path / "run")
    with pytest.raises(RunError, match="holds no pre-trained super-network"):
        cut_from_run(tmp_path, Subnet((1,), (1,), 1, 1), tmp_path / "cut")
    folder = shutil.copytree(distilled["models"]["2-16-20-4-16"], tmp_path / "taken")
    supernet, _ = open_supernet(distilled["run"])
    with pytest.raises(RunError, match="exists and is not empty"):
        cut_from_run(distilled["run"], supernet.largest, folder)
