"""Readers of data sets: one module each, one common schema, `read_dataset` for all of them."""

from m2e.datasets.registry import read_dataset

__all__ = ["read_dataset"]
