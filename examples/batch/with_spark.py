"""Spark: mapInArrow over a table of paths.

spark-submit with_spark.py TRACKS.parquet OUT        # reads the column "path"
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from m2e.batch import Predictor

tracks, out = sys.argv[1:]
predictor = Predictor(embedding=True, max_duration=1200)  # each Python worker loads the model once


def predict(batches):
    for batch in batches:
        yield from predictor(batch).to_batches()


spark = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 16).getOrCreate()
paths = spark.read.parquet(tracks).select("path")
paths.mapInArrow(predict, from_arrow_schema(predictor.schema)).write.parquet(out)
