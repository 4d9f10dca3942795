"""Exports a model as ONNX graphs that take waveforms: for other languages, for browsers, and without PyTorch."""

FOLDER = "onnx"  # of a model
DESCRIPTION = "model.json"
HALF = "_fp16"  # in names of files: weights in half precision
