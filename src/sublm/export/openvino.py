"""Writing a model for OpenVINO: its intermediate representation, an .xml file with the weights beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sublm.errors import ExportError
from sublm.optional import try_import


def export_openvino(source: str | Path, path: str | Path, *, fp16: bool = False) -> Path:
    """Turns an ONNX file into OpenVINO's own form; inputs and outputs keep their names.

    Args:
        source: An ONNX file in float, or one that `quantise_static` wrote, which stays in int8.
        path: The .xml file to write; the weights come beside it under the same name with .bin. What is there is
            replaced.
        fp16: Store the weights in half precision. OpenVINO computes as it would have done.

    Returns:
        The .xml file.

    Raises:
        MissingPackageError: If openvino is not installed.
        ExportError: If there is no such file, or OpenVINO cannot read it.
    """
    openvino = try_import("openvino", extra="openvino", purpose="Writing OpenVINO files")
    found, target = Path(source), Path(path)
    if target.suffix != ".xml":
        raise ExportError(f"OpenVINO files end in .xml; got {target.name}.")
    if not found.is_file():
        raise ExportError(f"{found} does not exist: write it first with export_onnx(model, path).")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        written = Path(beside) / target.name
        try:
            model = openvino.Core().read_model(str(found))
            for output in model.outputs:  # of the names it got on its way, the one that ONNX gave it
                output.get_tensor().set_names({output.node.get_friendly_name().split("/sink_port")[0]})
            openvino.save_model(model, str(written), compress_to_fp16=fp16)
        except Exception as error:  # OpenVINO raises RuntimeError and whatever its frontend met
            raise ExportError(f"OpenVINO cannot read {found}: {error}") from error
        # The weights first: whoever sees the .xml finds them.
        for suffix in (".bin", ".xml"):
            written.with_suffix(suffix).replace(target.with_suffix(suffix))
    return target
