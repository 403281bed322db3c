import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedConfig

import sublm
from sublm.errors import ExportError
from sublm.spaces import Subnet
from tests.supernet.families import FAMILIES, tiny_batch, tiny_model

AUTO = {
    "classification": "AutoModelForSequenceClassification",
    "multiple_choice": "AutoModelForMultipleChoice",
    "question_answering": "AutoModelForQuestionAnswering",
    "tokens": "AutoModelForTokenClassification",
}

# Runs where SubLM cannot be imported, as on a machine without it; one process loads all models, one after another.
LOADER = """
import sys
sys.modules["sublm"] = None
import torch, transformers
from safetensors.torch import load_file
for folder, auto in zip(sys.argv[1::2], sys.argv[2::2]):
    model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
    batch = {name: tensor for name, tensor in load_file(folder + "/batch.safetensors").items()}
    with torch.no_grad():
        output = model(**batch)[0]
    expected = load_file(folder + "/expected.safetensors")["output"]
    print(folder, type(model).__name__, (output - expected).abs().max().item())
"""
UNEVEN = [*((family, "classification") for family in sorted(FAMILIES)), *(("bert", head) for head in sorted(AUTO)[1:])]


def uneven(supernet):
    """Layers that differ, one half left out."""
    shape = supernet.shape
    heads = [shape.heads, 1, *[0] * (shape.layers - 2)]
    neurons = [0, shape.neurons // 2, *[shape.neurons] * (shape.layers - 2)]
    return Subnet(tuple(heads), tuple(neurons), shape.hidden, shape.head_size)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Family and head -> class and largest difference of what another process loaded and computed."""
    root = tmp_path_factory.mktemp("uneven")
    arguments = []
    for family, head in UNEVEN:
        supernet = sublm.SuperNet(tiny_model(family, head).eval())
        extracted = supernet.extract(uneven(supernet))
        folder = sublm.save(extracted, root / f"{family}-{head}")
        batch = tiny_batch(family, head, labels=False)
        with torch.no_grad():
            expected = extracted(**batch)[0]
        save_file({name: tensor.contiguous() for name, tensor in batch.items()}, folder / "batch.safetensors")
        save_file({"output": expected}, folder / "expected.safetensors")
        arguments += [str(folder), AUTO[head]]
    environment = {"HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LOADER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(family, head): line[1:] for (family, head), line in zip(UNEVEN, lines, strict=True)}


@pytest.mark.parametrize(("family", "head"), UNEVEN)
def test_an_uneven_model_loads_where_sublm_is_not_installed(loaded, family, head):
    name, difference = loaded[family, head]
    assert name.startswith(f"Subnet{FAMILIES[family].prefix}")
    assert float(difference) <= 1e-6


@pytest.mark.skipif(not hasattr(PreTrainedConfig, "per_layer_config"), reason="transformers 5.15 brought it")
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_layers_sizes_are_written_as_transformers_reads_them(family, tmp_path):
    supernet = sublm.SuperNet(tiny_model(family, "classification"))
    shape, model = supernet.shape, supernet.extract(uneven(supernet))
    folder = sublm.save(model, tmp_path / "m")
    written = json.loads((folder / "config.json").read_text())
    assert written["head_dim"] == shape.head_size
    plain = {name: value for name, value in written.items() if name not in ("model_type", "auto_map")}
    stock = type(supernet.model.config).from_dict(plain)
    assert stock.is_heterogeneous
    names = [model.anatomy.heads_field, model.anatomy.neurons_field]
    wanted = [(["mlp"], shape.heads, None), ([], 1, shape.neurons // 2), (["attention"], None, shape.neurons)]
    for layer, (skip, heads, neurons) in zip(stock.per_layer_config, wanted, strict=True):
        assert list(layer.skip) == skip
        for name, size in zip(names, (heads, neurons), strict=True):
            assert size is None or getattr(layer, name) == size
    # Read again, and saved again by transformers alone, it says the same.
    sublm.load(folder).save_pretrained(tmp_path / "again")
    assert (
        json.loads((tmp_path / "again" / "config.json").read_text())["per_layer_config"] == written["per_layer_config"]
    )


def test_a_stock_model_brings_no_code(tmp_path):
    supernet = sublm.SuperNet(tiny_model("bert", "classification"))
    even = Subnet.uniform(supernet.shape, layers=1, neurons=supernet.shape.neurons // 2)
    folder = sublm.save(supernet.extract(even), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    assert "auto_map" not in config
    assert "per_layer_config" not in config
    assert config["model_type"] == "bert"
    assert not list(folder.glob("*.py"))
    assert type(sublm.load(folder)).__module__.startswith("transformers.")


def test_saved_and_loaded_weights_are_equal_to_the_bit(tmp_path):
    supernet = sublm.SuperNet(tiny_model("roberta", "tokens"))
    extracted = supernet.extract(uneven(supernet))
    loaded = sublm.load(sublm.save(extracted, tmp_path / "m"))
    state = loaded.state_dict()
    assert state.keys() == extracted.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in extracted.state_dict().items())


def test_loading_runs_no_code_of_the_folder(tmp_path):
    supernet = sublm.SuperNet(tiny_model("bert", "tokens"))
    folder = sublm.save(supernet.extract(uneven(supernet)), tmp_path / "m")
    (folder / "modeling_sublm.py").write_text("raise SystemExit('this must not run')")
    assert sublm.load(folder) is not None


def test_nothing_is_overwritten_unasked(tmp_path):
    supernet = sublm.SuperNet(tiny_model("bert", "tokens"))
    model = supernet.extract(uneven(supernet))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        sublm.save(model, tmp_path / "m")
    assert (tmp_path / "m" / "mine.txt").read_text() == "mine"
    sublm.save(model, tmp_path / "m", overwrite=True)
    assert sublm.load(tmp_path / "m") is not None


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    supernet = sublm.SuperNet(tiny_model("bert", "tokens"))
    model = supernet.extract(uneven(supernet))

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(model, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        sublm.save(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_super_network_is_not_a_model_to_save(tmp_path):
    supernet = sublm.SuperNet(tiny_model("bert", "tokens"))
    with pytest.raises(ExportError, match="extract"):
        sublm.save(supernet.model, tmp_path / "m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config.json is missing"),
        ("{", "not JSON"),
        ('{"architectures": ["Nonsense"]}', "Nonsense"),
        ("{}", "''"),
    ],
)
def test_a_folder_without_a_model_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ExportError, match=message):
        sublm.load(tmp_path)
