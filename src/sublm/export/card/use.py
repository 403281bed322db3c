"""The lines of a model card that load and ask the model."""

from __future__ import annotations

from sublm.export.card.hub import PIPELINES
from sublm.export.card.model_card import ModelCard

CALLS = {
    "classification": """classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
print(classify("one text"))  # two texts: classify({"text": "one", "text_pair": "another"})
""",
    "regression": 'print(model(**tokenizer("one text", "another text", return_tensors="pt")).logits)\n',
    "tokens": """tag = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
print(tag("one text"))
""",
    "rerank": 'print(model(**tokenizer("a query", "a passage", return_tensors="pt")).logits.sigmoid())\n',
}
"""Kind of task -> the lines that ask a loaded model."""

ONNX_USE = """

```python
import onnxruntime
from transformers import AutoTokenizer

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
session = onnxruntime.InferenceSession(folder + "/model.onnx")
inputs = tokenizer(["one text", "another text"], padding=True, return_tensors="np")
outputs = session.run(None, {{entry.name: inputs[entry.name] for entry in session.get_inputs()}})
```"""
"""How a file for ONNX Runtime is asked; the inputs of a graph are those of the tokenizer."""


def render_use(card: ModelCard) -> str:
    """How the model is used, as Markdown."""
    auto = PIPELINES[card.kind][2]
    trust = "" if card.stock else ", trust_remote_code=True"
    call = CALLS.get(card.kind, "")
    text = (
        f"""```python
from sentence_transformers import SentenceTransformer  # pip install sentence-transformers

model = SentenceTransformer("path/to/this/folder"{trust})
embeddings = model.encode(["one text", "another text"])
```"""
        if card.kind == "embedding"
        else f"""```python
from transformers import {auto}, AutoTokenizer{", pipeline" if "pipeline(" in call else ""}

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder{trust})
model = {auto}.from_pretrained(folder{trust})
{call}```"""
    )
    if not card.stock:
        text += """

Its layers differ in size, which no stock configuration can say: `trust_remote_code=True` runs `modeling_sublm.py`
from this folder. With SubLM installed no code from the folder runs:

```python
import sublm

model = sublm.load("path/to/this/folder")
```"""
    if card.onnx:
        text += "\n\n`model.onnx` is the same model for ONNX Runtime; batch and length are free."
        if card.kind == "embedding":
            text += " It pools inside: its output `sentence_embedding` is ready to be compared."
        if card.kind != "multiple_choice":  # whose input has an axis more
            text += ONNX_USE.format(trust=trust)
    return text
