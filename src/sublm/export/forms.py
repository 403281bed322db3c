"""The forms in which a model can be handed over: for which runtime, in which precision, in which file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sublm.errors import ExportError


@dataclass(frozen=True)
class Form:
    """One form of a model.

    Attributes:
        runtime: What runs it: "onnx" or "openvino".
        precision: "fp32", "fp16", "int8" (dynamic) or "int8-static".
        file: Its file's name in the model's folder.
        title: As people write it.
    """

    runtime: str
    precision: str
    file: str
    title: str

    @property
    def name(self) -> str:
        """Such as onnx-int8; of fp32 the runtime alone."""
        return self.runtime if self.precision == "fp32" else f"{self.runtime}-{self.precision}"


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("onnx", "fp32", "model.onnx", "ONNX Runtime"),
        Form("onnx", "fp16", "model.fp16.onnx", "ONNX Runtime, fp16"),
        Form("onnx", "int8", "model.int8.onnx", "ONNX Runtime, int8"),
        Form("onnx", "int8-static", "model.int8-static.onnx", "ONNX Runtime, static int8"),
        Form("openvino", "fp32", "openvino_model.xml", "OpenVINO"),
        Form("openvino", "fp16", "openvino_model.fp16.xml", "OpenVINO, weights in fp16"),
        Form("openvino", "int8-static", "openvino_model.int8-static.xml", "OpenVINO, static int8"),
    )
}
"""Name -> form, in the order in which they are written: what is made from another one comes after it."""


def form_of(runtime: str, precision: str) -> Form | None:
    """What a runtime reads for a precision; None in torch. OpenVINO computes in bf16 from the fp32 file."""
    if runtime == "torch":
        return None
    stored = "fp32" if precision == "bf16" else precision
    return next(form for form in FORMS.values() if (form.runtime, form.precision) == (runtime, stored))


def check_forms(names: Iterable[str]) -> tuple[Form, ...]:
    """The forms of the given names, each once, in the order in which they are written.

    Raises:
        ExportError: If one is unknown.
    """
    wanted = set(names)
    if unknown := sorted(wanted - FORMS.keys()):
        raise ExportError(f"exports: {', '.join(map(repr, unknown))} not known; choose from {', '.join(FORMS)}.")
    return tuple(form for name, form in FORMS.items() if name in wanted)
