"""Bringing a model into the form that a runtime and a precision need: itself, or a file of `FORMS`."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sublm.errors import ExportError
from sublm.export.calibration import quantise_static
from sublm.export.forms import FORMS, Form, form_of
from sublm.export.onnx import export_onnx, quantise_onnx, random_texts
from sublm.export.openvino import export_openvino
from sublm.export.save import load

Batches = Sequence[Mapping[str, Tensor]]


class Deployment:
    """A model in every form it is asked for; each is made once.

    Files that lie in the model's folder are used, others are written to a folder of their own.
    """

    def __init__(
        self, model: Any, scratch: str | Path, *, tokenizer: Any = None, calibration: Batches | None = None
    ) -> None:
        """Nothing is read or written yet.

        Args:
            model: A model, its folder, or an ONNX file.
            scratch: Where files that are not there are written.
            tokenizer: Decides which inputs the ONNX file has; see `export_onnx`.
            calibration: Texts for static int8, as `quantise_static` takes them. None takes random ones, on which the
                model takes as long but answers worse: for measuring latency alone.
        """
        self._model = None if isinstance(model, (str, Path)) else model
        self._folder = Path(model) if isinstance(model, (str, Path)) else None
        self._scratch = Path(scratch)
        self._tokenizer = tokenizer
        self._calibration = calibration

    def form(self, runtime: str, precision: str) -> Any:
        """What `measure_latency` takes for a runtime and a precision.

        Returns:
            The model for "torch", which makes its own bf16 copy; else the path of a file. OpenVINO reads ONNX files as
            well as its own: the latter are only written where they differ.

        Raises:
            ExportError: If there is no model, or it cannot be written.
            MissingPackageError: If a package is needed that is not installed.
        """
        form = form_of(runtime, precision)
        if form is None:
            return self._loaded()
        if form.runtime == "openvino" and form.precision != "fp16" and not self._find(form).exists():
            return self.file(_source(form))
        return self.file(form)

    def file(self, form: Form) -> Path:
        """The file of a form.

        Raises:
            ExportError: If it cannot be written.
            MissingPackageError: If a package is needed that is not installed.
        """
        path, given = self._find(form), self._folder is not None and self._folder.suffix == ".onnx"
        if given and form.name == "onnx":
            assert self._folder is not None
            return self._folder
        if path.exists():
            return path
        if form.runtime == "openvino":
            return export_openvino(self.file(_source(form)), path, fp16=form.precision == "fp16")
        if form.precision == "int8":
            return quantise_onnx(self.file(FORMS["onnx"]), path)
        if form.precision == "int8-static":
            return quantise_static(self.file(FORMS["onnx"]), path, self._texts())
        if given:
            raise ExportError(f"{self._folder} is in fp32, and fp16 is written from the model: give its folder.")
        return export_onnx(self._loaded(), path, tokenizer=self._tokenizer, fp16=form.precision == "fp16")

    def _loaded(self) -> Any:
        if self._model is None:
            assert self._folder is not None
            self._model = load(self._folder)
        return self._model

    def _texts(self) -> Batches:
        return random_texts(self.file(FORMS["onnx"])) if self._calibration is None else self._calibration

    def _find(self, form: Form) -> Path:
        beside = self._folder / form.file if self._folder is not None and self._folder.is_dir() else None
        return beside if beside is not None and beside.exists() else self._scratch / form.file


def deployer(
    scratch: str | Path,
    runtime: str,
    precision: str,
    *,
    tokenizer: Any = None,
    progress: Callable[[int], None] | None = None,
) -> Callable[[Any], Any]:
    """Brings every model it is given into one form, for measuring; see `Deployment.form`.

    Args:
        scratch: Where files are written, each model's to a folder of its own: one that is there already would be
            measured instead.
        runtime: "torch", "onnx" or "openvino".
        precision: "fp32", "bf16" or "int8".
        tokenizer: See `Deployment`.
        progress: Called before each model with the number of those done, as writing may take longer than measuring.
    """
    numbers = itertools.count()

    def deploy(model: Any) -> Any:
        number = next(numbers)
        if progress is not None:
            progress(number)
        Path(scratch).mkdir(parents=True, exist_ok=True)
        return Deployment(model, tempfile.mkdtemp(dir=scratch), tokenizer=tokenizer).form(runtime, precision)

    return deploy


def write_forms(
    model: Any, folder: str | Path, forms: Sequence[Form], *, tokenizer: Any = None, calibration: Batches | None = None
) -> dict[str, Path]:
    """Writes forms of a model; what a form is made from stays only if it was asked for.

    Args:
        model: The model.
        folder: Where to, such as the model's folder. Files of these forms that are there are replaced.
        forms: See `check_forms`.
        tokenizer: See `Deployment`.
        calibration: See `Deployment`; needed for static int8.

    Returns:
        Name -> file.

    Raises:
        ExportError: If one cannot be written.
        MissingPackageError: If a package is needed that is not installed.
    """
    target, written = Path(folder), {}
    if calibration is None and any(form.precision == "int8-static" for form in forms):
        raise ExportError("Static int8 measures ranges on texts of the task: give some with calibration=.")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exports-", dir=target) as scratch:
        deployment = Deployment(model, scratch, tokenizer=tokenizer, calibration=calibration)
        made = {form.name: deployment.file(form) for form in forms}
        for form in forms:
            for suffix in (".bin", ".xml") if form.runtime == "openvino" else (".onnx",):
                made[form.name].with_suffix(suffix).replace((target / form.file).with_suffix(suffix))
            written[form.name] = target / form.file
    return written


def _source(form: Form) -> Form:
    """The ONNX file that an OpenVINO file is made from."""
    return FORMS["onnx-int8-static" if form.precision == "int8-static" else "onnx"]
