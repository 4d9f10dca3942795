"""Cached features of data sets: `m2e features` computes them once, training and evaluation read them."""

from m2e.features.store import StoredFeatures, read_features

__all__ = ["StoredFeatures", "read_features"]
