"""The models in the forms that are deployed: written, compared with torch on the task's own texts, and scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sublm.costs.conditions import MODULES, is_installed
from sublm.errors import MissingPackageError
from sublm.export import Form, check_forms, form_of, load, predict_onnx, write_forms
from sublm.export.exporting import size_of
from sublm.settings import Settings
from sublm.stages.workspace import Workspace
from sublm.tasks import Encoded, evaluation_batches, predict

CALIBRATION_ROWS = 128
"""Training rows on which static int8 measures the ranges of activations."""
CALIBRATION_TOKENS = 1024
"""Tokens of a batch of them: the activations of one are held at a time."""

Answer = Callable[[Encoded], np.ndarray]


def forms_of(settings: Settings) -> tuple[Form, ...]:
    """The forms that a run writes: those asked for, and the one that it deploys."""
    deployed = form_of(settings.runtime, settings.runtime_precision)
    names = {*settings.exports, *(["onnx"] if settings.onnx else []), *([deployed.name] if deployed else [])}
    return check_forms(names)


def check_exports(settings: Settings) -> None:
    """Refuses, before any long work, forms that there are not, or that nothing here can write.

    Raises:
        ExportError: If a name is unknown.
        MissingPackageError: If a package is not installed.
    """
    forms = forms_of(settings)
    for runtime in ("onnx", *dict.fromkeys(form.runtime for form in forms)) if forms else ():
        if not is_installed(runtime):
            raise MissingPackageError(
                f"Writing {', '.join(form.name for form in forms)} needs the package {MODULES[runtime]}, which is not "
                f'installed: pip install "sublm[{runtime}]".',
                name=MODULES[runtime],
            )


def export_model(work: Workspace, name: str, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Writes a model's forms, and asks every one of them the texts that torch is asked.

    Args:
        work: The run.
        name: The model's name; it is a stage of its own, and comes after the model's.
        folder: Where the model is.

    Returns:
        An entry per form: name, title, runtime, precision, file (relative to the run), bytes, scores on the validation
        split, `difference` from torch there; and of the form that is deployed, the scores as `search` and
        `validation`. The latter is None where it is torch in fp32.
    """
    s, forms = work.settings, forms_of(work.settings)
    exact = (s.runtime, s.runtime_precision) == ("torch", "fp32")
    if not forms and exact:
        return [], None
    relative = folder.relative_to(work.run.folder)
    files = [str(relative / form.file) for form in forms]
    names = [form.name for form in forms]
    inputs: dict[str, Any] = {"forms": names, "runtime": s.runtime, "precision": s.runtime_precision}
    if any(form.precision == "int8-static" for form in forms):
        inputs |= {"calibration": [CALIBRATION_ROWS, s.seed]}
    stage = work.run.stage(f"export {name}", inputs, after=[f"model {name}"], outputs=files)
    if not stage.done:
        title = f"Exporting {name} ({', '.join(names) or s.runtime_precision})"
        with work.doing(stage, title):
            stage.result |= _export(work, folder, forms, exact)
    entries = [
        {
            "name": form.name,
            "title": form.title,
            "runtime": form.runtime,
            "precision": form.precision,
            "file": file,
            **stage.result["forms"][form.name],
        }
        for form, file in zip(forms, files, strict=True)
    ]
    return entries, stage.result.get("deployed")


def _export(work: Workspace, folder: Path, forms: tuple[Form, ...], exact: bool) -> dict[str, Any]:
    s, model = work.settings, load(folder)
    written = write_forms(model, folder, forms, tokenizer=work.tokenizer, calibration=calibration_texts(work))
    said = predict(model, work.encoded["validation"])
    found: dict[str, Any] = {"forms": {}}
    for form in forms:
        path = written[form.name]
        answer = _remember(partial(_ask, work, path, form.precision))
        found["forms"][form.name] = {
            "bytes": size_of(path),
            "scores": work.judge(answer, "validation"),
            "difference": differences(answer(work.encoded["validation"]), said),
        }
    if not exact:
        deployed = form_of(s.runtime, s.runtime_precision)
        if deployed is None:
            half = load(folder).to(torch.bfloat16)
            ask: Answer = partial(predict, half)
        else:
            ask = partial(_ask, work, written[deployed.name], s.runtime_precision)
        same = deployed is not None and deployed.precision == s.runtime_precision
        validation = found["forms"][deployed.name]["scores"] if deployed and same else work.judge(ask, "validation")
        found["deployed"] = {"search": work.judge(ask, "search"), "validation": validation}
    return found


def calibration_texts(work: Workspace) -> list[dict[str, Any]]:
    """Training rows drawn at random, in batches; the search's and the reported rows are not among them."""
    rows = work.encoded["train"]
    drawn = np.random.default_rng(work.settings.seed).permutation(len(rows))[:CALIBRATION_ROWS]
    return list(evaluation_batches(rows.select(drawn), tokens=CALIBRATION_TOKENS, pad_token_id=work.pad))


def differences(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest and the mean absolute difference of two files' outputs, where both are finite."""
    width = min(found.shape[1], expected.shape[1])  # spans and tags are padded to the longest row of a batch
    with np.errstate(invalid="ignore"):  # where neither has a token, both are -inf
        both = np.abs(found[:, :width].astype(np.float64) - expected[:, :width])
    finite = both[np.isfinite(both)]
    if not finite.size:
        return {"largest": math.nan, "mean": math.nan}
    return {"largest": float(finite.max()), "mean": float(finite.mean())}


def _ask(work: Workspace, path: Path, precision: str, encoded: Encoded) -> np.ndarray:
    return predict_onnx(path, evaluation_batches(encoded, pad_token_id=work.pad), precision=precision)


def _remember(answer: Answer) -> Answer:
    """Asks once per split."""
    said: dict[int, np.ndarray] = {}

    def ask(encoded: Encoded) -> np.ndarray:
        if id(encoded) not in said:
            said[id(encoded)] = answer(encoded)
        return said[id(encoded)]

    return ask
