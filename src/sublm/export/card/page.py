"""A model card as its file: what a saved model is, where it comes from, what it scores and costs, how to load it."""

from __future__ import annotations

import math
from pathlib import Path

from sublm.errors import ExportError
from sublm.export.card.hub import PIPELINES, RUNTIMES
from sublm.export.card.markdown import code, plain, table
from sublm.export.card.metadata import render_metadata
from sublm.export.card.model_card import ModelCard
from sublm.export.card.use import render_use
from sublm.files import write_text
from sublm.spaces.subnet import Subnet, count


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
        f"---\n{render_metadata(card)}\n---",
        f"# {plain(card.name)}",
        _summary(card),
        "## Scores",
        _scores(card),
        "## Hyper-parameters" if card.hyperparameters else "## Costs",
        _hyperparameters(card) if card.hyperparameters else _costs(card),
        "## Use",
        render_use(card),
        "## Files for other runtimes" if card.exports else "",
        _exports(card) if card.exports else "",
        "## What was kept" if card.subnet else "",
        _kept(card.subnet) if card.subnet else "",
        "## How it was made",
        _made(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(card: ModelCard) -> str:
    if card.hyperparameters:
        return f"{code(card.parent_name)}, fine-tuned for the task {code(card.task_name)} with SubLM."
    text = f"A smaller {code(card.parent_name)} for the task {code(card.task_name)}, cut and trained with SubLM"
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
        return f"{text}\n\n{table(columns, rows)}"
    text += " The search never saw it"
    text += (
        f": it compared sub-networks on {card.search_examples} examples of the training data, set aside."
        if (card.search_examples)
        else "."
    )
    return f"{text}\n\n{table(columns, rows)}"


def _hyperparameters(card: ModelCard) -> str:
    chosen = f"Chosen from {card.tried} points.\n\n" if card.tried > 1 else ""
    rows = [[name.replace("_", " "), f"{value:g}"] for name, value in card.hyperparameters.items()]
    return chosen + table(["hyper-parameter", "value"], rows)


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
    text = table(["cost", "this model", "original"], rows)
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


def _exports(card: ModelCard) -> str:
    rows = []
    for entry in card.exports:
        score, latency = entry.get("score"), (entry.get("latency_ms") or {}).get("minimum")
        rows.append(
            [
                code(Path(entry["file"]).name),
                str(entry["title"]),
                "" if score is None else _score(score),
                "" if latency is None else f"{latency:.2f}",
                f"{entry['bytes'] / 1e6:.1f}",
            ]
        )
    text = f"Each was asked the same texts as the model itself, and timed on the same machine ({card.split} split)."
    if any(entry["name"].startswith("openvino") for entry in card.exports):
        text += " OpenVINO’s weights lie in the .bin file beside each .xml."
    return f"{text}\n\n{table(['file', 'for', card.metric, 'latency (ms)', 'MB'], rows)}"


def _kept(subnet: Subnet) -> str:
    rows = [
        [str(i + 1), str(count(heads)), str(count(neurons))]
        for i, (heads, neurons) in enumerate(zip(subnet.heads, subnet.neurons, strict=True))
    ]
    text = f"Hidden size {count(subnet.hidden)}, head size {count(subnet.head_size)}."
    text += " A layer without heads or neurons leaves that half out."
    return f"{text}\n\n{table(['layer', 'heads', 'neurons'], rows)}"


def _made(card: ModelCard) -> str:
    rows = [["original", code(card.parent_name)]]
    if card.parent_fingerprint:
        rows.append(["SHA-256 of the original", code(card.parent_fingerprint)])
    rows += [[str(key).replace("_", " "), str(value)] for key, value in card.machine.items() if value not in (None, "")]
    if card.seed is not None:
        rows.append(["seed", str(card.seed)])
    return table(["", ""], rows)


def _score(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "not a number"


def _ratio(value: float | None, whole: float | None) -> float | None:
    if value is None or whole is None or not (math.isfinite(value) and math.isfinite(whole)) or whole <= 0:
        return None
    return value / whole
