"""Writing ordinary models: transformers folders, ONNX and OpenVINO files, model cards."""

from sublm.export.calibration import quantise_static
from sublm.export.card import ModelCard, known_of, write_card
from sublm.export.deploy import Deployment, deployer, write_forms
from sublm.export.forms import FORMS, Form, check_forms, form_of
from sublm.export.hub import push
from sublm.export.onnx import check_onnx, export_onnx, longest_text, predict_onnx, quantise_onnx
from sublm.export.openvino import export_openvino
from sublm.export.save import load, save

__all__ = [
    "FORMS",
    "Deployment",
    "Form",
    "ModelCard",
    "check_forms",
    "check_onnx",
    "deployer",
    "export_onnx",
    "export_openvino",
    "form_of",
    "known_of",
    "load",
    "longest_text",
    "predict_onnx",
    "push",
    "quantise_onnx",
    "quantise_static",
    "save",
    "write_card",
    "write_forms",
]
