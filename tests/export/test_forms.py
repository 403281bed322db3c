"""Every form of a model: what it gives, where it lies, and that it runs where SubLM is not installed."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
import torch
from transformers import BertConfig, BertForMultipleChoice

import sublm
from sublm import cli
from sublm.costs import grid
from sublm.errors import ExportError, MissingPackageError, RunError
from sublm.export import FORMS, Deployment, check_forms, check_onnx, export_openvino, form_of, predict_onnx, write_forms
from sublm.export.onnx import _batch, export_onnx, random_texts
from sublm.outputs import named_outputs
from sublm.pooling import Pooling
from tests.export.test_save import uneven
from tests.supernet.families import tiny_model

pytest.importorskip("onnxruntime")
RUNNABLE = {name: form for name, form in FORMS.items() if form.runtime == "onnx" or find_spec("openvino")}

# Runs where neither SubLM nor torch nor transformers can be imported.
RUNNER = """
import json, sys
for name in ("sublm", "torch", "transformers"):
    sys.modules[name] = None
import numpy as np
for path in sys.argv[2:]:
    feed = dict(np.load(sys.argv[1]))
    if path.endswith(".onnx"):
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))
    else:
        import openvino
        model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = {name: model(feed)[name] for name in ("sentence_embedding",)}
    print(json.dumps({name: np.asarray(value).tolist() for name, value in found.items()}))
"""


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    """An uneven sub-network that embeds, its folder with every form, and a batch it was not traced with."""
    supernet = sublm.SuperNet(tiny_model("bert", "encoder", max_position_embeddings=40).eval())
    model = supernet.extract(uneven(supernet)).eval()
    Pooling(("mean",), normalise=True).attach(model)
    folder = sublm.save(model, tmp_path_factory.mktemp("forms") / "m")
    texts = _batch(model, ("input_ids", "attention_mask", "token_type_ids"), (3, 1, 21))
    calibration = [_batch(model, tuple(texts), (8, 1, length), seed=length) for length in (9, 17, 30)]
    files = write_forms(model, folder, check_forms(RUNNABLE), calibration=calibration)
    return model, folder, files, texts


def test_every_form_runs_without_sublm_and_pools_inside(embedder, tmp_path):
    model, _, files, texts = embedder
    np.savez(tmp_path / "texts.npz", **{name: tensor.numpy() for name, tensor in texts.items()})
    command = [sys.executable, "-c", RUNNER, str(tmp_path / "texts.npz"), *map(str, files.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with torch.no_grad():
        wanted = named_outputs(model, texts)["sentence_embedding"].numpy()
    accepted = {"fp32": 1e-5, "fp16": 5e-3, "int8": 0.2, "int8-static": 0.2}
    for name, line in zip(files, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert list(found) == ["sentence_embedding"]
        (embeddings,) = (np.array(value) for value in found.values())
        assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-3), name
        assert np.abs(embeddings - wanted).max() < accepted[FORMS[name].precision], name


def test_files_hold_what_their_precision_says(embedder):
    _, folder, files, _ = embedder
    assert {path.name for path in folder.iterdir() if path.suffix in (".onnx", ".xml")} == {
        FORMS[name].file for name in files
    }
    kinds = {}
    for name in ("onnx", "onnx-fp16", "onnx-int8", "onnx-int8-static"):
        proto = onnx.load(files[name])
        bits = {t.name: t.data_type for t in proto.graph.initializer if np.prod(t.dims) >= 100}
        kinds[name] = ({node.op_type for node in proto.graph.node}, set(bits.values()))
    assert kinds["onnx"][1] == {onnx.TensorProto.FLOAT}
    assert kinds["onnx-fp16"][1] == {onnx.TensorProto.FLOAT16}
    for name in ("onnx-int8", "onnx-int8-static"):
        assert kinds[name][1] <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert "DynamicQuantizeLinear" in kinds["onnx-int8"][0]
    assert "QuantizeLinear" in kinds["onnx-int8-static"][0]
    assert "DynamicQuantizeLinear" not in kinds["onnx-int8-static"][0]


def test_static_ranges_come_from_the_texts_given(embedder, tmp_path):
    model, _, _, texts = embedder
    form = check_forms(["onnx-int8-static"])
    found = {}
    for name, calibration in {
        "these": [texts],
        "others": random_texts(export_onnx(model, tmp_path / "o.onnx")),
    }.items():
        (path,) = write_forms(model, tmp_path / name, form, calibration=calibration).values()
        assert [file.name for file in path.parent.iterdir()] == [path.name]  # what it is made from does not stay
        found[name] = check_onnx(model, path, texts=[texts], tolerance=float("inf"))
    assert found["these"] < found["others"]
    with pytest.raises(ExportError, match="calibration="):
        write_forms(model, tmp_path / "none", form)


def test_pairs_and_choices_calibrate_too(embedder, tmp_path):
    texts = embedder[3]
    pairs = {name: torch.stack([tensor, tensor.flip(0)], dim=1) for name, tensor in texts.items()}
    form = check_forms(["onnx-int8-static"])
    (path,) = write_forms(embedder[0], tmp_path / "pairs", form, calibration=[pairs]).values()
    alike = predict_onnx(path, [{**pairs, "index": torch.arange(3)}])
    assert alike.shape == (3, 1)
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    choice = BertForMultipleChoice(BertConfig(**sizes, intermediate_size=24, max_position_embeddings=40)).eval()
    (path,) = write_forms(choice, tmp_path / "choice", form, calibration=[pairs]).values()
    assert check_onnx(choice, path, texts=[pairs], tolerance=0.1) > 0


@pytest.mark.skipif("openvino" not in RUNNABLE, reason="needs openvino")
def test_openvino_files_come_in_twos_and_answer_as_torch(embedder, tmp_path):
    model, folder, files, _ = embedder
    assert check_onnx(model, files["openvino"]) < 1e-5
    sizes = {name: files[name].with_suffix(".bin").stat().st_size for name in ("openvino", "openvino-fp16")}
    assert sizes["openvino-fp16"] < 0.6 * sizes["openvino"]
    assert Deployment(folder, tmp_path).form("openvino", "bf16") == files["openvino"]
    assert Deployment(folder, tmp_path).form("openvino", "int8-static") == files["openvino-int8-static"]
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for source, message in ((tmp_path / "broken.onnx", "cannot read"), (tmp_path / "none.onnx", "export_onnx")):
        with pytest.raises(ExportError, match=message):
            export_openvino(source, tmp_path / "out.xml")
    with pytest.raises(ExportError, match=r"end in \.xml"):
        export_openvino(files["onnx"], tmp_path / "out.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["broken.onnx"]


def test_names_and_precisions_find_their_form():
    assert all(form_of(form.runtime, form.precision) is form for form in FORMS.values())
    assert form_of("torch", "bf16") is None
    assert form_of("openvino", "bf16") is FORMS["openvino"]
    assert [form.name for form in check_forms(["openvino", "onnx", "onnx"])] == ["onnx", "openvino"]
    with pytest.raises(ExportError, match=r"'onnx-int4' not known; choose from onnx, onnx-fp16"):
        check_forms(["onnx", "onnx-int4"])


def test_fp16_of_an_onnx_file_is_refused_with_what_to_give(embedder, tmp_path):
    with pytest.raises(ExportError, match="give its folder"):
        Deployment(embedder[2]["onnx"], tmp_path).form("onnx", "fp16")
    assert Deployment(embedder[2]["onnx"], tmp_path).form("onnx", "int8-static").parent == tmp_path


def test_the_command_writes_forms_and_tells_how_far_they_are_from_torch(embedder, tmp_path, capsys):
    folder = embedder[1]
    command = ["export", str(folder), "--to", "onnx", "onnx-fp16", "--out", str(tmp_path / "out"), "--quiet", "--json"]
    assert cli.main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in said["exports"]] == ["onnx", "onnx-fp16"]
    assert said["exports"][0]["largest_difference"] < 1e-5 < said["exports"][1]["largest_difference"] < 5e-3
    assert said["exports"][1]["bytes"] < said["exports"][0]["bytes"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["model.fp16.onnx", "model.onnx"]
    assert cli.main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["export", str(folder), "--to", "onnx-int8-static", "--out", str(tmp_path / "x")]) == 1
    assert "--texts" in capsys.readouterr().err


def test_a_runtime_that_is_missing_is_named_before_the_work(monkeypatch):
    from sublm.settings import Settings
    from sublm.stages import exports

    monkeypatch.setattr(exports, "is_installed", lambda runtime: runtime != "openvino")
    exports.check_exports(Settings(model="m", task="t", exports=("onnx-int8",)))
    with pytest.raises(MissingPackageError, match=r'openvino, which is not installed: pip install "sublm\[openvino\]"'):
        exports.check_exports(Settings(model="m", task="t", runtime="openvino-int8-static"))


def test_a_runtime_may_be_written_with_its_precision():
    from sublm.settings import Settings

    settings = Settings(model="m", task="t", runtime="onnx-int8-static")
    assert (settings.runtime, settings.runtime_precision) == ("onnx", "int8-static")
    with pytest.raises(RunError, match="leave one of them out"):
        Settings(model="m", task="t", runtime="onnx-int8", runtime_precision="fp16")
    with pytest.raises(RunError, match="runtime_precision='int4' is not known"):
        Settings(model="m", task="t", runtime="onnx-int4")
    pairs, _ = grid(["onnx-int8", "torch"], ["fp32"])
    assert [(c.runtime, c.precision) for c in pairs] == [("torch", "fp32"), ("onnx", "int8")]
