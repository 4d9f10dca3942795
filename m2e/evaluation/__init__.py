"""Evaluation: metrics, `score` with bootstrap intervals, tables of results, and metrics for the library `evaluate`.

The classes of `m2e.evaluation.hf_metrics` need `evaluate`; import them from there.
"""

from m2e.evaluation.data import Emotions
from m2e.evaluation.score import Evaluation, score

__all__ = ["Emotions", "Evaluation", "score"]
