"""Writing ordinary models: transformers folders, ONNX, model cards."""
