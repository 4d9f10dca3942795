"""Evaluation of models: single metrics, all scores with intervals, tables, and metrics for the library `evaluate`."""
