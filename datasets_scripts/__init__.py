"""From raw archives to data sets: one module each, one schema, `read_dataset` for all of them."""

from datasets_scripts.registry import read_dataset

__all__ = ["read_dataset"]
