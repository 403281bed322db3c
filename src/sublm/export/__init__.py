"""Writing ordinary models: transformers folders, ONNX, model cards."""

from sublm.export.onnx import check_onnx, export_onnx, quantise_onnx
from sublm.export.save import load, save

__all__ = ["check_onnx", "export_onnx", "load", "quantise_onnx", "save"]
