"""Bringing a model into the form that a runtime and a precision need: itself, an ONNX file, an int8 ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sublm.export.onnx import export_onnx, quantise_onnx
from sublm.export.save import load

ONNX_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
"""Names of a model's ONNX files in its folder."""


class Deployment:
    """A model in every form it is asked for; each is made once.

    Files that lie in the model's folder are used, others are written to a folder of their own.
    """

    def __init__(self, model: Any, scratch: str | Path, *, tokenizer: Any = None) -> None:
        """Nothing is read or written yet.

        Args:
            model: A model, its folder, or an ONNX file.
            scratch: Where files that are not there are written.
            tokenizer: Decides which inputs the ONNX file has; see `export_onnx`.
        """
        self._model = None if isinstance(model, (str, Path)) else model
        self._folder = Path(model) if isinstance(model, (str, Path)) else None
        self._scratch = Path(scratch)
        self._tokenizer = tokenizer

    def form(self, runtime: str, precision: str) -> Any:
        """What `measure_latency` takes for a runtime and a precision.

        Returns:
            The model for "torch", which makes its own bf16 copy; else the path of an ONNX file, in int8 if that is the
            precision. OpenVINO reads the same files.

        Raises:
            ExportError: If there is no model, or it cannot be written.
            MissingPackageError: If ONNX is needed and not installed.
        """
        if self._folder is not None and self._folder.suffix == ".onnx" and runtime != "torch":
            return self._int8(self._folder) if precision == "int8" else self._folder
        if runtime == "torch":
            return self._loaded()
        return self._int8(self._onnx()) if precision == "int8" else self._onnx()

    def _loaded(self) -> Any:
        if self._model is None:
            assert self._folder is not None
            self._model = load(self._folder)
        return self._model

    def _onnx(self) -> Path:
        path = self._find(ONNX_FILE)
        return path if path.exists() else export_onnx(self._loaded(), path, tokenizer=self._tokenizer)

    def _int8(self, source: Path) -> Path:
        path = self._find(INT8_FILE)
        return path if path.exists() else quantise_onnx(source, path)

    def _find(self, name: str) -> Path:
        beside = self._folder / name if self._folder is not None and self._folder.is_dir() else None
        return beside if beside is not None and beside.exists() else self._scratch / name
