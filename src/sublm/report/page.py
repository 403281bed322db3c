"""The report: one page that says first what was chosen and why, then lets everything be looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sublm.export.card.hub import PIPELINES, RUNTIMES
from sublm.files import read_json, write_text
from sublm.report.answers import COMPARISON_FILE, answers_section
from sublm.report.data import COSTS, FrontFigure, costs_of, front_figure_data, read_front
from sublm.report.exports import export_rows
from sublm.report.figure import DARK, LIGHT, MARKERS, plotly_figure, write_png
from sublm.report.repeat import command_line, fingerprints, install_line, machine_facts, short_name
from sublm.report.shapes import shape_pictures
from sublm.report.text import (
    change_text,
    count_text,
    duration_text,
    milliseconds_text,
    ratio,
    score_text,
    share_text,
    three_digits,
    times_text,
)
from sublm.report.timing import EXPLAIN_FILE, timing_section
from sublm.search.racing import in_words


@dataclass(frozen=True)
class Fact:
    """One number at the top of the page: what, how much, and how that compares."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class Row:
    """One line of the tables; every field as text."""

    name: str
    score: str
    before: str
    kept: str
    parameters: str
    parameters_without_embeddings: str
    macs: str
    latency: str
    latency_note: str
    speed_up: str
    second: str = ""
    folder: str = ""
    kind: str = ""
    training: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of the run."""

    name: str
    duration: str
    share: float


def write_report(front: Mapping[str, Any] | str | Path, folder: str | Path, *, examples: bool = True) -> None:
    """Writes `report.html`, which needs no network, and `front.png`.

    `comparison.json` and `explain.json` are shown, too, if they lie beside the front (or in the folder, if the front is
    given by its content).

    Args:
        front: Content of a front.json, or the file.
        folder: Where to write; made if it does not exist.
        examples: Show texts whose answer changed.

    Raises:
        RunError: If a file cannot be read.
    """
    content = read_front(front)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    data = front_figure_data(content)
    near = target if isinstance(front, Mapping) else Path(front).parent
    comparison, explained = (
        read_json(near / name) if (near / name).exists() else None for name in (COMPARISON_FILE, EXPLAIN_FILE)
    )
    written = page(content, data, comparison=comparison, explained=explained, examples=examples)
    write_text(target / "report.html", written)
    beside = target / ".front.png.part"
    write_png(data, beside)
    os.replace(beside, target / "front.png")


def page(
    front: Mapping[str, Any],
    data: FrontFigure | None = None,
    *,
    comparison: Mapping[str, Any] | None = None,
    explained: Mapping[str, Any] | None = None,
    examples: bool = True,
) -> str:
    """The page as HTML.

    Args:
        front: Content of a front.json.
        data: What `front_figure_data` computed of it, if at hand.
        comparison: Content of a comparison.json.
        explained: Content of an explain.json.
        examples: Show texts whose answer changed.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    data = data or front_figure_data(front)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sublm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {
        theme: {axis.key: plotly_figure(data, axis.key, palette).to_plotly_json() for axis in data.axes}
        for theme, palette in (("light", LIGHT), ("dark", DARK))
    }
    rows, original, baselines = model_rows(front), original_row(front), baseline_rows(front)
    return environment.get_template("report.html").render(
        front=front,
        source=f"{short_name(str(front['model']))} on {front['task'].get('name', 'the task')}",
        data=data,
        headline=headline(front),
        facts=facts(front),
        rows=rows,
        original=original,
        baselines=baselines,
        has_spread=any(row.latency_note for row in (*rows, *baselines)),
        exports=export_rows(front),
        pictures=shape_pictures(front),
        stages=stages(front),
        total=duration_text(sum(stage["seconds"] for stage in front.get("stages") or ())),
        measuring=measuring(front),
        answers=answers_section(comparison, front.get("chosen"), examples=examples),
        timing=timing_section(explained, tuple(point["name"] for point in front["points"])),
        command=command_line(front),
        install=install_line(front),
        machine=machine_facts(front) + fingerprints(front),
        loading=loading_code(front),
        axes=[(axis.key, COSTS[axis.key]) for axis in data.axes],
        kinds=[(kind, MARKERS.get(kind, ("cross",))[0]) for kind in sorted({mark.kind for mark in data.baselines})],
        has_before=any(mark.before is not None for mark in data.models),
        palettes={"light": asdict(LIGHT), "dark": asdict(DARK)},
        figures=Markup(_json_for_script(figures)),
        plotlyjs=Markup(get_plotlyjs()),
    )


def chosen_point(front: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The chosen model's point, if one was chosen."""
    return next((point for point in front["points"] if point["name"] == front.get("chosen")), None)


def headline(front: Mapping[str, Any]) -> str:
    """The answer in one sentence."""
    point = chosen_point(front)
    if point is None:
        count = len(front["points"])
        models = "1 model" if count == 1 else f"{count} models"
        return f"{models} on the front, none chosen" if count else "No model was found"
    teacher, name = front["teacher"], point["name"]
    kept = ratio(point.get("score"), teacher.get("score"))
    score = "" if kept is None else f" and keeps {share_text(kept)} of the score"
    own, whole = costs_of(point), costs_of(teacher)
    faster = ratio(whole.get("latency"), own.get("latency"))
    if faster is not None:
        return f"{name} is {times_text(faster)} as fast as the original{score}"
    for cost, noun in (("macs", "MACs"), ("parameters", "parameters")):
        share = ratio(own.get(cost), whole.get(cost))
        if share is not None:
            return f"{name} needs {share_text(share)} of the original’s {noun}{score}"
    return f"{name} was chosen"


def facts(front: Mapping[str, Any]) -> list[Fact]:
    """How good, how fast, how small the chosen model is, each against the original."""
    point, teacher = chosen_point(front), front["teacher"]
    if point is None:
        return []
    own, whole = costs_of(point), costs_of(teacher)
    kept = ratio(point.get("score"), teacher.get("score"))
    change = change_text(point.get("score"), teacher.get("score"))
    found = [
        Fact(
            f"{front['task'].get('metric', 'score').capitalize()}",
            score_text(point.get("score")),
            f"{change} to the original’s {score_text(teacher.get('score'))}; {share_text(kept)} kept",
        )
    ]
    if "latency" in own:
        faster = ratio(whole.get("latency"), own["latency"])
        note = "" if faster is None else f"original {milliseconds_text(whole['latency'])}; {times_text(faster)} as fast"
        found.append(Fact("Latency", milliseconds_text(own["latency"]), note))
    for cost in ("macs", "parameters"):
        if cost in own:
            share = ratio(own[cost], whole.get(cost))
            note = "" if share is None else f"{share_text(share)} of the original’s {count_text(whole[cost])}"
            bare = point.get("parameters_without_embeddings")
            if cost == "parameters" and bare is not None:
                note += f"{'; ' if note else ''}{count_text(bare)} without embeddings"
            found.append(Fact(COSTS[cost], count_text(own[cost]), note))
    return found


def _row(entry: Mapping[str, Any], teacher: Mapping[str, Any], **more: Any) -> Row:
    own, whole = costs_of(entry), costs_of(teacher)
    latency, note = entry.get("latency_ms"), ""
    if isinstance(latency, Mapping) and latency.get("median") is not None:
        spread = latency.get("spread")
        note = three_digits(latency["median"])
        note += "" if spread is None else f" · {three_digits(spread)}"
    return Row(
        score=score_text(entry.get("score")),
        second=_second(entry),
        before=score_text(entry.get("score_before")),
        kept=share_text(ratio(entry.get("score"), teacher.get("score"))),
        parameters=count_text(own.get("parameters")),
        parameters_without_embeddings=count_text(entry.get("parameters_without_embeddings")),
        macs=count_text(own.get("macs")),
        latency=milliseconds_text(own.get("latency")),
        latency_note=note,
        speed_up=times_text(ratio(whole.get("latency"), own.get("latency"))),
        **more,
    )


def _second(entry: Mapping[str, Any]) -> str:
    """The task's second metric with its name, such as the exact matches beside an F1."""
    others = list((entry.get("scores") or {}).items())[1:2]
    return "".join(f"{name} {score_text(score)}" for name, score in others)


def original_row(front: Mapping[str, Any]) -> Row:
    """The line of the original."""
    return _row(front["teacher"], front["teacher"], name="original")


def model_rows(front: Mapping[str, Any]) -> list[Row]:
    """A line for each of the front's models, the most expensive first."""
    points = sorted(front["points"], key=lambda p: (-costs_of(p).get("macs", 0.0), -costs_of(p).get("parameters", 0.0)))
    return [
        _row(p, front["teacher"], name=p["name"], folder=p.get("folder") or "", chosen=p["name"] == front.get("chosen"))
        for p in points
    ]


def baseline_rows(front: Mapping[str, Any]) -> list[Row]:
    """A line for each baseline, with what training it cost."""
    return [
        _row(
            entry,
            front["teacher"],
            name=entry["name"],
            kind=entry.get("kind", ""),
            training=duration_text(entry["train_seconds"]) if entry.get("train_seconds") else "none",
        )
        for entry in front.get("baselines") or ()
        if entry.get("kind") != "original"
    ]


def stages(front: Mapping[str, Any]) -> list[Stage]:
    """Where the run's time went; bars are shares of the longest stage."""
    found = front.get("stages") or ()
    longest = max((stage["seconds"] for stage in found), default=0.0) or 1.0
    return [Stage(s["name"], duration_text(s["seconds"]), s["seconds"] / longest) for s in found]


def measuring(front: Mapping[str, Any]) -> list[str]:
    """How the numbers were measured, in sentences."""
    task, latency = front["task"], front.get("latency") or {}
    split, metric = task.get("split", "validation"), task.get("metric", "the score")
    examples = f" ({task['examples']:,} examples)".replace(",", "\u202f") if task.get("examples") else ""
    text = [f"Every score in the tables is {metric} on the {split} split of {task.get('name', 'the task')}{examples}."]
    search = task.get("search_examples")
    own = f"{search:,} examples of its own".replace(",", "\u202f") if search else "examples of its own"
    text.append(
        f"The search never saw that split: it compared sub-networks on {own}, set aside from the training data."
    )
    if front.get("evaluations"):
        alone = (front.get("settings") or {}).get("standalone")
        whose = "each trained alone" if alone else "made with the super-network’s shared weights"
        text[-1] += f" The faint points in the picture are those comparisons, {whose}, before any recovery."
    if front.get("racing"):
        text.append(in_words(front["racing"]))
    if latency:
        length, batch = latency.get("length"), latency.get("batch", 1)
        texts = f"texts of {length} tokens" if isinstance(length, int) else "the lengths of the task’s own texts"
        runtime, precision = latency.get("runtime", "torch"), latency.get("precision", "fp32")
        threads = latency.get("threads")
        text.append(
            f"Latency is the fastest of repeated, interleaved runs in {RUNTIMES.get(runtime, runtime)}, {precision}, "
            f"at batch {batch} on {texts}, {threads} thread{'' if threads == 1 else 's'}; "
            "median and spread are in the tables."
        )
    predictor = front.get("predictor") or {}
    if predictor.get("error") is not None:
        low, high = (predictor.get("intervals") or {}).get("0.9", (None, None))
        # few measurements do not reach that far
        reached = predictor.get("widest_level", 1.0)
        share = "nine of ten" if reached >= 0.9 else f"{reached:.0%}"
        between = "" if low is None else f", {share} between {100 * (low - 1):+.0f} and {100 * (high - 1):+.0f} %"
        text.append(
            "In the search, latency was predicted from measured sub-networks; held-out error "
            f"{100 * predictor['error']:.1f} %{between}. The models in the tables were measured themselves."
        )
        if predictor.get("elsewhere"):
            text.append(f"The predictor was fitted on another device: {'; '.join(predictor['elsewhere'])}.")
    if kept := front.get("promise"):
        text.append(_promise_text(kept))
    text.append("MACs are multiply-accumulates of one text; parameters are those stored.")
    return [*text, *task.get("notes", ())]


def _promise_text(promise: Mapping[str, Any]) -> str:
    """What was promised on latency and what came of it."""
    said = f"At most {milliseconds_text(promise['limit_ms'])} were asked for"
    if promise.get("predicted_ms") is not None:
        said += f"; the chosen model was predicted at {milliseconds_text(promise['predicted_ms'])}"
        said += f" and measured at {milliseconds_text(promise.get('measured_ms'))}"
    said += "." if promise["kept"] else ": the promise is broken."
    if promise.get("finalists_broken"):
        said += (
            f" Of {promise['finalists_measured']} finalists that were measured, {promise['finalists_broken']} took "
            "longer than predicted and asked for, and others were written instead."
        )
    return said


def loading_code(front: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How to load the chosen model, or else the first: pairs of a title and Python code."""
    point = chosen_point(front) or next(iter(front["points"]), None)
    if point is None or not point.get("folder"):
        return []
    folder = json.dumps(point["folder"], ensure_ascii=False)
    kind = front["task"].get("kind", "classification")
    auto = PIPELINES[kind][2]
    stock = bool(point.get("stock"))
    trust = "" if stock else ", trust_remote_code=True"
    package = "transformers"
    text = (
        f"from transformers import {auto}, AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({folder}{trust})\n"
        f"model = {auto}.from_pretrained({folder}{trust})"
    )
    if kind == "embedding":
        package = "sentence-transformers"
        text = (
            "from sentence_transformers import SentenceTransformer\n\n"
            f'model = SentenceTransformer({folder}{trust})\nembeddings = model.encode(["one text", "another text"])'
        )
    code = [(f"{package} alone{'' if stock else ' (runs the small modelling file in the folder)'}", text)]
    if not stock:
        code.append(("SubLM (runs no code from the folder)", f"import sublm\n\nmodel = sublm.load({folder})"))
    if point.get("onnx"):
        file = json.dumps(point["onnx"], ensure_ascii=False)
        code.append(("ONNX Runtime", f"import onnxruntime\n\nsession = onnxruntime.InferenceSession({file})"))
    written = {entry["name"]: entry["file"] for entry in point.get("exports") or ()}
    if "openvino" in written:
        file = json.dumps(written["openvino"], ensure_ascii=False)
        code.append(("OpenVINO", f'import openvino\n\nmodel = openvino.Core().compile_model({file}, "CPU")'))
    return code


def _json_for_script(value: Any) -> str:
    """JSON that no script element ends early; numbers that are none become null."""

    def plain(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: plain(entry) for key, entry in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(entry) for entry in item]
        if isinstance(item, float) and item != item:
            return None
        return item

    return json.dumps(plain(value), separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
