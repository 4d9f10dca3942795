"""Daft: a class that is called with batches, and keeps its model.

python with_daft.py TRACKS.parquet OUT        # reads the column "path"
"""

import sys

import daft
import pyarrow as pa

from m2e.batch import RECORD_SCHEMA, Predictor

RECORD = daft.DataType.from_arrow_type(pa.struct(list(RECORD_SCHEMA)))


@daft.cls
class Emotion:
    def __init__(self):
        self.predictor = Predictor(max_duration=1200)

    @daft.method.batch(return_dtype=RECORD, batch_size=16)
    def predict(self, paths):
        return self.predictor({"path": paths.to_pylist()}).to_struct_array().combine_chunks()


tracks, out = sys.argv[1:]
daft.read_parquet(tracks).select(Emotion().predict(daft.col("path")).alias("record")).select(
    *(daft.col("record")[name].alias(name) for name in RECORD_SCHEMA.names)
).write_parquet(out)
