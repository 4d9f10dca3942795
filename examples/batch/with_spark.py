"""Spark: mapInArrow over a table of paths.

spark-submit with_spark.py TRACKS.parquet OUT        # reads the column "path"
"""

import sys

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from m2e.batch import RECORD_SCHEMA, Predictor

tracks, out = sys.argv[1:]
predictor = Predictor(embedding=True, max_duration=1200)  # each Python worker loads the model once
schema = RECORD_SCHEMA.append(pa.field("embedding", pa.list_(pa.float32())))  # Spark has no lists of fixed size


def predict(batches):
    for batch in batches:
        yield from predictor(batch).cast(schema).to_batches()


spark = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 16).getOrCreate()
paths = spark.read.parquet(tracks).select("path")
paths.mapInArrow(predict, from_arrow_schema(schema)).write.parquet(out)
