"""The model card: what a saved model is, where it comes from, what it scores and costs, how to load it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sublm.errors import ExportError
from sublm.files import write_text
from sublm.spaces.subnet import Subnet, count
from sublm.tasks.load import PUBLISHED

PIPELINES = {
    "classification": ("text-classification", "Text classification", "AutoModelForSequenceClassification"),
    "regression": ("text-classification", "Text regression", "AutoModelForSequenceClassification"),
    "multiple_choice": ("multiple-choice", "Multiple choice", "AutoModelForMultipleChoice"),
    "candidates": ("text-classification", "Text classification", "AutoModelForSequenceClassification"),
    "span": ("question-answering", "Question answering", "AutoModelForQuestionAnswering"),
    "tokens": ("token-classification", "Token classification", "AutoModelForTokenClassification"),
    "rerank": ("text-ranking", "Reranking", "AutoModelForSequenceClassification"),
    "embedding": ("sentence-similarity", "Semantic similarity", "SentenceTransformer"),
}
"""Kind of task -> the Hub's name of the pipeline, its name for people, the class that loads it."""

METRIC_IDS = {
    "em": "exact_match",
    "f1a": "f1",
    "has_answer_em": "exact_match",
    "has_answer_f1": "f1",
    "macro_f1": "f1",
    "matthews": "matthews_correlation",
    "mrr_10": "mrr",
    "ndcg_10": "ndcg",
    "no_answer_em": "exact_match",
    "no_answer_f1": "f1",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
"""Metrics whose name on the Hub is another."""

DATASETS = {name: (published.hub, published.config) for name, published in PUBLISHED.items()}
"""Tasks whose data is on the Hub -> its name there and the configuration."""

RUNTIMES = {"torch": "PyTorch", "onnx": "ONNX Runtime", "openvino": "OpenVINO"}
"""Runtimes as people write them."""

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

_NAS = "neural-architecture-search"
_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


@dataclass(frozen=True)
class ModelCard:
    """What a model card says; what is None or empty is left out of it.

    Attributes:
        name: Name of the model.
        parent: Name on the Hub, or path, of the model it was cut from.
        task: Name of the task.
        kind: Kind of the task, a key of `PIPELINES`.
        metric: The primary metric.
        scores: Every metric of the model as it is saved, on the reported split.
        stock: Whether a stock transformers class loads it.
        subnet: What was kept of the parent.
        split: Name of the reported split.
        examples: Examples in that split.
        search_examples: Examples the search compared sub-networks on; none of them is in that split.
        score_before: The primary metric before recovery.
        parent_score: The primary metric of the fine-tuned parent.
        costs: parameters, parameters_without_embeddings, macs.
        parent_costs: The same of the parent.
        latency_ms: minimum, median and spread.
        parent_latency_ms: The same of the parent.
        latency: Settings of the measurement: runtime, threads, length, batch.
        machine: Processor, cores, threads, device, versions.
        seed: Of the run.
        license: SPDX identifier in lower case, or "other".
        license_name: Of another license.
        license_link: Where that is to be read.
        language: Language codes.
        parent_fingerprint: SHA-256 of the parent's files.
        onnx: Whether model.onnx lies beside the weights.
        exports: The files of other runtimes beside them: title, file, bytes, score and latency_ms of each.
        hyperparameters: Of a model that was only fine-tuned: what with.
        tried: How many points of hyper-parameters these were chosen from.
    """

    name: str
    parent: str
    task: str
    kind: str
    metric: str
    scores: Mapping[str, float]
    stock: bool
    subnet: Subnet | None = None
    split: str = "validation"
    examples: int | None = None
    search_examples: int | None = None
    score_before: float | None = None
    parent_score: float | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    parent_costs: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    parent_latency_ms: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()
    parent_fingerprint: str | None = None
    onnx: bool = False
    exports: tuple[Mapping[str, Any], ...] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    tried: int = 0

    @classmethod
    def from_front(cls, front: Mapping[str, Any], name: str, **more: Any) -> ModelCard:
        """The card of one of a front's models.

        Args:
            front: Content of a front.json.
            name: Name of the model.
            **more: Fields that a front does not have, such as `license` (see `known_of`).

        Raises:
            ExportError: If the front has no such model.
        """
        points = {point["name"]: point for point in front["points"]}
        if name not in points:
            raise ExportError(f"The front has no model {name!r}; it has: {', '.join(points) or 'none'}.")
        point, task, teacher = points[name], front["task"], front["teacher"]
        costs = ("parameters", "parameters_without_embeddings", "macs")
        machine = {**({"sublm": front["sublm"]} if front.get("sublm") else {}), **(front.get("machine") or {})}
        fields = {
            "name": name,
            "parent": str(front["model"]),
            "task": task["name"],
            "kind": task.get("kind", "classification"),
            "metric": task["metric"],
            "scores": {
                metric: math.nan if score is None else score  # JSON has no NaN, null stands for it
                for metric, score in (point.get("scores") or {task["metric"]: point["score"]}).items()
            },
            "stock": bool(point.get("stock")),
            "subnet": Subnet.from_dict(point["subnet"]) if point.get("subnet") else None,
            "split": task.get("split", "validation"),
            "examples": task.get("examples"),
            "search_examples": task.get("search_examples"),
            "score_before": None if point.get("train_seconds") == 0 else point.get("score_before"),
            "parent_score": teacher.get("score"),
            "costs": {key: point[key] for key in costs if point.get(key) is not None},
            "parent_costs": {key: teacher[key] for key in costs if teacher.get(key) is not None},
            "latency_ms": point.get("latency_ms") or {},
            "parent_latency_ms": teacher.get("latency_ms") or {},
            "latency": front.get("latency") or {},
            "machine": machine,
            "seed": front.get("seed"),
            "onnx": bool(point.get("onnx")),
            "exports": tuple(point.get("exports") or ()),
        }
        return cls(**{**fields, **more})


def known_of(parent: str | Path) -> dict[str, Any]:
    """License and languages that the card beside a local parent, or in the Hub's local cache, states.

    Args:
        parent: A folder or a name on the Hub; nothing is downloaded.

    Returns:
        `license` (with `license_name` and `license_link`) and `language`, each only if known; fields of `ModelCard`.
    """
    from huggingface_hub import RepoCard, try_to_load_from_cache

    path = Path(parent) / "README.md"
    if not path.is_file() and _HUB_NAME.match(str(parent)):
        cached = try_to_load_from_cache(str(parent), "README.md")
        path = Path(cached) if isinstance(cached, str) else path
    if not path.is_file():
        return {}
    try:
        stated = RepoCard.load(path, ignore_metadata_errors=True).data.to_dict()
    except Exception:  # somebody else's file: not being readable is not this model's error
        return {}
    found: dict[str, Any] = {}
    licenses = ("license", "license_name", "license_link")
    found |= {name: stated[name] for name in licenses if isinstance(stated.get(name), str)}
    language = stated.get("language")
    language = [language] if isinstance(language, str) else language
    if isinstance(language, list) and language and all(isinstance(code, str) for code in language):
        found["language"] = tuple(language)
    return found


def write_card(card: ModelCard, folder: str | Path) -> Path:
    """Writes README.md, whose metadata the Hub reads.

    Args:
        card: What it says.
        folder: The model's folder.

    Returns:
        The file.
    """
    path = Path(folder) / "README.md"
    write_text(path, render_card(card))
    return path


def render_card(card: ModelCard) -> str:
    """The model card as Markdown with YAML metadata.

    Raises:
        ExportError: If the kind of task is unknown.
    """
    if card.kind not in PIPELINES:
        raise ExportError(
            f"There is no model card for the kind of task {card.kind!r}; there is: {', '.join(PIPELINES)}."
        )
    parts = [
        f"---\n{_metadata(card)}\n---",
        f"# {_plain(card.name)}",
        _summary(card),
        "## Scores",
        _scores(card),
        "## Hyper-parameters" if card.hyperparameters else "## Costs",
        _hyperparameters(card) if card.hyperparameters else _costs(card),
        "## Use",
        _use(card),
        "## Files for other runtimes" if card.exports else "",
        _exports(card) if card.exports else "",
        "## What was kept" if card.subnet else "",
        _kept(card.subnet) if card.subnet else "",
        "## How it was made",
        _made(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(card: ModelCard) -> str:
    """The YAML that the Hub reads: only what it accepts, so a parent that is a path is not named there."""
    from huggingface_hub import EvalResult, ModelCardData

    pipeline, title, _ = PIPELINES[card.kind]
    dataset, configuration = DATASETS.get(card.task, (_task_name(card), None))
    finite = {name: score for name, score in card.scores.items() if math.isfinite(score)}
    results = [
        EvalResult(
            task_type=pipeline,
            task_name=title,
            dataset_type=dataset,
            dataset_name=_task_name(card),
            dataset_config=configuration,
            dataset_split=card.split,
            metric_type=METRIC_IDS.get(name, name),
            metric_name=name,
            metric_value=round(float(score), 6),
        )
        for name, score in finite.items()
    ]
    data = ModelCardData(
        base_model=card.parent if _on_hub(card.parent) else None,
        datasets=dataset if card.task in DATASETS else None,
        eval_results=results or None,
        language=list(card.language) or None,
        library_name="sentence-transformers" if card.kind == "embedding" else "transformers",
        license=card.license,
        license_name=card.license_name,
        license_link=card.license_link,
        metrics=list(dict.fromkeys(METRIC_IDS.get(name, name) for name in card.scores)),
        model_name=card.name,
        pipeline_tag=pipeline,
        tags=["sublm"] if card.hyperparameters else ["sublm", "compression", "pruning", "distillation", _NAS],
    )
    return data.to_yaml()


def _summary(card: ModelCard) -> str:
    if card.hyperparameters:
        return f"{_code(_parent_name(card))}, fine-tuned for the task {_code(_task_name(card))} with SubLM."
    text = f"A smaller {_code(_parent_name(card))} for the task {_code(_task_name(card))}, cut and trained with SubLM"
    kept, score = _ratio(card.scores.get(card.metric), card.parent_score), card.scores.get(card.metric)
    if kept is None or score is None:
        return text + "."
    text += (
        f": it keeps {100 * kept:.1f} % of the original’s {card.metric} ({score:.4f} against {card.parent_score:.4f})"
    )
    size = _ratio(card.costs.get("parameters"), card.parent_costs.get("parameters"))
    work = _ratio(card.costs.get("macs"), card.parent_costs.get("macs"))
    quick = _ratio(card.parent_latency_ms.get("minimum"), card.latency_ms.get("minimum"))
    found = [] if size is None else [f"{100 * size:.0f} % of its parameters"]
    found += [] if work is None else [f"{100 * work:.0f} % of its MACs"]
    text += f" with {' and '.join(found)}" if found else ""
    return text + (f", {quick:.2f} times as fast" if quick is not None else "") + "."


def _scores(card: ModelCard) -> str:
    columns, rows = ["metric", "this model"], [[name, _score(score)] for name, score in card.scores.items()]
    for title, value in (("before recovery", card.score_before), ("original", card.parent_score)):
        if value is not None:
            columns.append(title)
            for row in rows:
                row.append(_score(value) if row[0] == card.metric else "")
    text = f"On the {card.split} split" + (f" ({card.examples} examples)." if card.examples else ".")
    if card.hyperparameters:
        text += " Nothing was chosen by it"
        set_aside = f"{card.search_examples} examples of the training data, set aside"
        text += f": runs were compared on {set_aside}." if card.search_examples else "."
        return f"{text}\n\n{_table(columns, rows)}"
    text += " The search never saw it"
    text += (
        f": it compared sub-networks on {card.search_examples} examples of the training data, set aside."
        if (card.search_examples)
        else "."
    )
    return f"{text}\n\n{_table(columns, rows)}"


def _hyperparameters(card: ModelCard) -> str:
    chosen = f"Chosen from {card.tried} points.\n\n" if card.tried > 1 else ""
    rows = [[name.replace("_", " "), f"{value:g}"] for name, value in card.hyperparameters.items()]
    return chosen + _table(["hyper-parameter", "value"], rows)


def _costs(card: ModelCard) -> str:
    titles = {
        "parameters": "parameters",
        "parameters_without_embeddings": "parameters without embeddings",
        "macs": "multiply-accumulates (MACs) of one text",
    }
    rows = [
        [title, f"{card.costs[key]:,.0f}", f"{card.parent_costs[key]:,.0f}" if key in card.parent_costs else ""]
        for key, title in titles.items()
        if key in card.costs
    ]
    for key, title in (("minimum", "fastest"), ("median", "median"), ("spread", "spread")):
        if key in card.latency_ms:
            own, whole = card.latency_ms[key], card.parent_latency_ms.get(key)
            rows.append([f"latency, {title} (ms)", f"{own:.2f}", "" if whole is None else f"{whole:.2f}"])
    if not rows:
        return "Not measured."
    text = _table(["cost", "this model", "original"], rows)
    if card.latency_ms and card.latency:
        length = card.latency.get("length")
        texts = f"{length} tokens" if isinstance(length, int) else "lengths of the task’s own texts"
        runtime = str(card.latency.get("runtime", "torch"))
        settings = [
            f"{RUNTIMES.get(runtime, runtime)} in {card.latency.get('precision', 'fp32')}",
            f"batch {card.latency.get('batch', 1)}",
            texts,
            f"threads: {card.latency.get('threads', 'not stated')}",
        ]
        device = card.machine.get("device")
        settings += [str(card.machine.get("processor", ""))] if device in (None, "", "cpu") else [str(device)]
        text += f"\n\nLatency: {', '.join(setting for setting in settings if setting)}."
    return text


def _use(card: ModelCard) -> str:
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


def _exports(card: ModelCard) -> str:
    rows = []
    for entry in card.exports:
        score, latency = entry.get("score"), (entry.get("latency_ms") or {}).get("minimum")
        rows.append(
            [
                _code(Path(entry["file"]).name),
                str(entry["title"]),
                "" if score is None else _score(score),
                "" if latency is None else f"{latency:.2f}",
                f"{entry['bytes'] / 1e6:.1f}",
            ]
        )
    text = f"Each was asked the same texts as the model itself, and timed on the same machine ({card.split} split)."
    if any(entry["name"].startswith("openvino") for entry in card.exports):
        text += " OpenVINO’s weights lie in the .bin file beside each .xml."
    return f"{text}\n\n{_table(['file', 'for', card.metric, 'latency (ms)', 'MB'], rows)}"


def _kept(subnet: Subnet) -> str:
    rows = [
        [str(i + 1), str(count(heads)), str(count(neurons))]
        for i, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True))
    ]
    text = f"Hidden size {count(subnet.hidden)}, head size {count(subnet.head_size)}."
    text += " A layer without heads or neurons leaves that half out."
    return f"{text}\n\n{_table(['layer', 'heads', 'neurons'], rows)}"


def _made(card: ModelCard) -> str:
    rows = [["original", _code(_parent_name(card))]]
    if card.parent_fingerprint:
        rows.append(["SHA-256 of the original", _code(card.parent_fingerprint)])
    rows += [[str(key).replace("_", " "), str(value)] for key, value in card.machine.items() if value not in (None, "")]
    if card.seed is not None:
        rows.append(["seed", str(card.seed)])
    return _table(["", ""], rows)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [columns, ["---", *("---:" if columns[0] else "---" for _ in columns[1:])], *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that ends no table cell, line or heading, and starts no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _score(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "not a number"


def _ratio(value: float | None, whole: float | None) -> float | None:
    if value is None or whole is None or not (math.isfinite(value) and math.isfinite(whole)) or whole <= 0:
        return None
    return value / whole


def _on_hub(name: str) -> bool:
    return bool(_HUB_NAME.match(name)) and not Path(name).exists()


def _parent_name(card: ModelCard) -> str:
    """A name on the Hub as it is; of a path the last part, because the rest is nobody else's concern."""
    return card.parent if _on_hub(card.parent) else Path(card.parent).name or card.parent


def _task_name(card: ModelCard) -> str:
    return Path(card.task).stem or card.task
