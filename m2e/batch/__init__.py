"""Records of very many tracks as Arrow tables: for Ray, datasets, Spark and Daft, and for array jobs.

    from m2e.batch import RECORD_SCHEMA, Predictor
    ray.data.read_parquet("tracks.parquet").map_batches(Predictor, batch_format="pyarrow", batch_size=64, concurrency=8)

Needs pyarrow (pip install "m2e[batch]").
"""

from m2e.batch.predictor import Predictor
from m2e.batch.schema import RECORD_SCHEMA, record_schema

__all__ = ["RECORD_SCHEMA", "Predictor", "record_schema"]
