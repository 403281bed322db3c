"""The code on a model's card, run as it stands in a process that cannot import SubLM."""

import json
import re
import subprocess
import sys

import pytest
import torch

import sublm
from sublm.tasks import load_tokenizer

TEXTS = ["word1 good word2", "bad word3 word7 word9", "word5"]


@pytest.fixture(scope="module")
def folders(tuned, task_folder, tmp_path_factory):
    """A model of a stock class and one with a modelling file, with ONNX files."""
    found = []
    for space in ("uniform", "nested"):
        out = tmp_path_factory.mktemp(space) / "run"
        settings = {"epochs": 1, "batch_size": 16, "precision": "fp32", "step": 8, "evaluations": 6, "models": 1}
        front = sublm.compress(
            str(tuned), task=str(task_folder), space=space, sizes=[0.7], onnx=True, out=out, **settings
        )
        (point,) = front["points"]
        assert point["stock"] == (space == "uniform")
        found.append(out / point["folder"])
    return found


@pytest.fixture(scope="module")
def said(folders):
    """For every folder, what the code of its card says: the pipeline's answers, and the logits of the ONNX file."""
    code = "import json, sys\nsys.modules['sublm'] = None\nsaid = []\n"
    for folder in folders:
        card = (folder / "README.md").read_text(encoding="utf-8")
        blocks = [
            block.replace("path/to/this/folder", str(folder))
            for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        ]
        (onnx,) = (block for block in blocks if "onnxruntime" in block)
        code += f"{blocks[0]}\nanswers = [classify(text)[0] for text in {TEXTS!r}]\n"
        code += f"{onnx}\nsaid.append([answers, outputs[0].tolist()])\n"
    code += "print(json.dumps(said))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_pipeline_of_a_card_says_what_the_model_says(folders, said):
    for folder, (answers, _) in zip(folders, said, strict=True):
        model, tokenizer = sublm.load(folder), load_tokenizer(folder)
        for text, answer in zip(TEXTS, answers, strict=True):
            with torch.no_grad():
                odds = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
            assert answer["label"] == model.config.id2label[int(odds.argmax())]
            assert answer["score"] == pytest.approx(float(odds.max()), abs=1e-5)


def test_the_onnx_code_of_a_card_says_what_the_model_says(folders, said):
    for folder, (_, logits) in zip(folders, said, strict=True):
        with torch.no_grad():
            batch = load_tokenizer(folder)(["one text", "another text"], padding=True, return_tensors="pt")
            wanted = sublm.load(folder)(**batch).logits
        torch.testing.assert_close(torch.tensor(logits), wanted, atol=1e-4, rtol=1e-4)
