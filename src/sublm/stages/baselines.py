"""The plain baselines, each at its own stated training cost: prune-and-distil, layer dropping, the original in int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sublm.costs import cost_model
from sublm.progress import plural
from sublm.spaces import Subnet
from sublm.stages.models import TOLERANCE
from sublm.stages.supernet import Prepared
from sublm.stages.teacher import TeacherResult
from sublm.stages.workspace import Workspace
from sublm.supernet import SuperNet
from sublm.training import fixed


def uniform_share(supernet: SuperNet, share: float, step: int) -> Subnet:
    """All layers alike: prune-and-distil's shape of a share of the MACs.

    The heads are the share rounded, the neurons fill up what is left.
    """
    shape, costs = supernet.shape, cost_model(supernet)
    heads = max(1, round(shape.heads * share))
    limit = share * costs.macs(supernet.largest) * TOLERANCE
    fitting = [step]
    for neurons in range(2 * step, shape.neurons + 1, step):
        if costs.macs(Subnet.uniform(shape, heads=heads, neurons=neurons)) <= limit:
            fitting.append(neurons)
    return Subnet.uniform(shape, heads=heads, neurons=min(fitting[-1], shape.neurons))


def dropped_layers(supernet: SuperNet, share: float) -> Subnet:
    """The first layers, whole: what is left when the top layers are dropped (Sajjad et al., 2023)."""
    return Subnet.uniform(supernet.shape, layers=max(1, round(supernet.shape.layers * share)))


def make_baselines(work: Workspace, teacher: TeacherResult, sorted_teacher: Prepared) -> list[dict[str, Any]]:
    """Trains and scores the baselines.

    Args:
        work: The run.
        teacher: Cut and learned from.
        sorted_teacher: The untrained super-network, sorted by importance: the teacher, unless the run starts from the
            model.

    Returns:
        Entries of `front.json`; the models to measure are under "model".
    """
    s = work.settings
    entries: list[dict[str, Any]] = []
    for share in s.baseline_sizes:
        if "prune-and-distil" in s.baselines:
            subnet = uniform_share(sorted_teacher.supernet, share, s.step)
            entries.append(_train(work, teacher, sorted_teacher, "prune-and-distil", share, subnet))
        if "layer-dropping" in s.baselines:
            subnet = dropped_layers(sorted_teacher.supernet, share)
            if all(entry.get("subnet") != subnet.to_dict() for entry in entries):
                entries.append(_train(work, teacher, sorted_teacher, "layer-dropping", share, subnet))
    if "original-int8" in s.baselines:
        entries.append(_int8(work, teacher, sorted_teacher))
    return entries


def _train(
    work: Workspace, teacher: TeacherResult, prepared: Prepared, kind: str, share: float, subnet: Subnet
) -> dict[str, Any]:
    from sublm.export import load, save

    s = work.settings
    name = f"{kind} {round(100 * share)} %"
    short = f"{kind}-{round(100 * share)}"
    path = f"baselines/{short}"
    inputs = {
        "subnet": subnet.to_dict(),
        "start": s.start,
        "epochs": s.teacher_epochs,
        "learning_rate": s.learning_rate,
        "distillation": [s.temperature, s.hidden, s.label_weight, s.logits_weight, s.freeze_embeddings, s.dropout],
    }
    stage = work.stage(f"baseline {name}", inputs, [path, *work.answers_of(short)], upto="importance")
    folder = work.run.folder / path
    if not stage.done:
        with work.doing(stage, f"Baseline: {name} ({plural(s.teacher_epochs, 'epoch')})") as checkpoints:
            model = prepared.supernet.extract(subnet)
            result = work.train(
                model,
                fixed(teach="teacher" if teacher.teaches else "labels"),
                work.options(s.teacher_epochs, s.learning_rate),
                checkpoints,
                teacher=teacher.model if teacher.teaches else None,
                probe=work.probe(model),
                layers=subnet.layers,
            )
            stage.result["train_seconds"] = result.seconds
            stage.result["scores"] = work.scores(model, "validation", keep=short)
            save(model.to("cpu"), folder, tokenizer=work.tokenizer, overwrite=True)
    costs = cost_model(prepared.supernet)
    return {
        "name": name,
        "kind": kind,
        "score": stage.result["scores"][work.metric],
        "scores": stage.result["scores"],
        "parameters": costs.parameters(subnet),
        "macs": costs.macs(subnet),
        "train_seconds": stage.result["train_seconds"],
        "subnet": subnet.to_dict(),
        "model": load(folder),
    }


def _int8(work: Workspace, teacher: TeacherResult, prepared: Prepared) -> dict[str, Any]:
    """The teacher with dynamic int8 weights in ONNX Runtime; scored there."""
    from sublm.export import export_onnx, predict_onnx, quantise_onnx
    from sublm.tasks import Encoded, evaluation_batches

    outputs = ["baselines/int8.onnx", *work.answers_of("original-int8")]
    stage = work.stage("baseline original int8", {"runtime": "onnx"}, outputs, upto="teacher")
    path = work.run.folder / "baselines" / "int8.onnx"
    if not stage.done:
        with work.doing(stage, "Baseline: the original in int8"), tempfile.TemporaryDirectory() as folder:
            path.parent.mkdir(exist_ok=True)
            export_onnx(teacher.model, Path(folder) / "original.onnx", tokenizer=work.tokenizer)
            quantise_onnx(Path(folder) / "original.onnx", path)

            def answer(encoded: Encoded) -> Any:
                return predict_onnx(path, evaluation_batches(encoded, pad_token_id=work.pad))

            stage.result["scores"] = work.judge(answer, "validation", keep="original-int8")
    costs = teacher.costs
    largest = Subnet.full(costs.shape)
    return {
        "name": "original int8",
        "kind": "original int8",
        "score": stage.result["scores"][work.metric],
        "scores": stage.result["scores"],
        "parameters": costs.parameters(largest),
        "macs": costs.macs(largest),
        "train_seconds": 0.0,
        "onnx": path,
    }
