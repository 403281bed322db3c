"""`sublm space` without a run: from saved importance, and from published files."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from sublm import cli
from sublm.importance import Importance
from sublm.spaces import SearchSpace, Subnet, read_nncf


@pytest.fixture
def scored(tmp_path):
    torch.manual_seed(0)
    sizes = {"heads": (3, 4), "neurons": (3, 64), "layers": (3,), "hidden": (32,)}
    sizes |= {"qk_dims": (3, 4, 8), "v_dims": (3, 4, 8)}
    scores = {name: torch.rand(size) for name, size in sizes.items()}
    Importance(**scores, method="movement", details={"reduction": "mean"}).save(tmp_path / "run")
    return tmp_path


def sublm(capsys, *arguments):
    code = cli.main(["space", *(str(argument) for argument in arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_space_is_made_from_saved_importance(scored, capsys):
    out, nncf = scored / "space.json", scored / "nncf.json"
    arguments = ["--from-importance", scored / "run", "--min-macs", "40%", "--steps", 3, "--align", 8, "--json"]
    code, printed, _ = sublm(capsys, *arguments, "--out", out, "--nncf", nncf)
    assert code == 0
    found = json.loads(printed)
    space = SearchSpace.from_json(out.read_text())
    assert space.largest == Subnet.full(space.shape)
    assert len(space.seeds) == 3
    assert found["macs_smallest"] == found["macs_seeds"][0] <= 0.4 * found["macs_largest"]
    assert read_nncf(nncf.read_text(), head_size=8).space.variables == space.variables
    again = scored / "again.json"
    code, printed, _ = sublm(capsys, "--from-importance", scored / "run" / "importance.json", "--out", again, "--json")
    assert code == 0


def test_a_published_file_is_read_and_its_sizes_computed(scored, capsys):
    arguments = ["--from-importance", scored / "run", "--min-macs", "40%", "--length", 64]
    _, made, _ = sublm(capsys, *arguments, "--out", scored / "a.json", "--nncf", scored / "n.json", "--json")
    config = BertConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, vocab_size=9)
    config.architectures = ["BertForSequenceClassification"]
    config.save_pretrained(scored / "model")
    arguments = ["--from-nncf", scored / "n.json", "--model", scored / "model", "--json"]
    code, read, error = sublm(capsys, *arguments, "--out", scored / "b.json")
    assert code == 0, error
    made, read = json.loads(made), json.loads(read)
    assert read["length"] == 64
    assert read["macs_smallest"] == made["macs_smallest"]
    assert read["macs_largest"] == made["macs_largest"]
    assert SearchSpace.from_json((scored / "b.json").read_text()).size == made["size"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-importance", "RUN", "--min-macs", "2"], "smallest within reach"),
        (["--from-importance", "RUN", "--max-macs", "900G"], "the whole super-network costs"),
        (["--from-importance", "RUN", "--model", "OTHER"], "Score that one"),
        (["--from-importance", "nowhere"], "is missing"),
        (["--from-nncf", "nowhere"], "cannot be read"),
        (["--from-nncf", "n.json", "--from-importance", "RUN"], "Give either"),
        ([], "Give either"),
        (["RUN", "--from-importance", "RUN"], "not both"),
        (["--from-importance", "RUN", "--out", "RUN/importance.json"], "is there already"),
    ],
)
def test_what_does_not_fit_is_refused(scored, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(scored)
    BertForSequenceClassification(
        BertConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, vocab_size=9)
    ).config.save_pretrained(scored / "other")
    paths = {"RUN": "run", "OTHER": "./other", "RUN/importance.json": "run/importance.json"}
    code, _, error = sublm(capsys, *(paths.get(argument, argument) for argument in arguments))
    assert code in (1, 2)
    assert message in error
    assert not (scored / "space.json").exists()
