"""Ray Data: the predictor as a stage of your own pipeline (`m2e predict --engine ray` is the ready-made one).

python with_ray.py TRACKS.parquet OUT        # reads the column "path"
"""

import sys

import ray

from m2e.batch import Predictor

tracks, out = sys.argv[1:]
records = ray.data.read_parquet(tracks, columns=["path"]).map_batches(
    Predictor,
    fn_constructor_kwargs={"embedding": True, "max_duration": 1200},
    batch_size=16,
    batch_format="pyarrow",  # keeps the types of columns that are null in a whole batch
    compute=ray.data.ActorPoolStrategy(min_size=1, max_size=8),  # each loads the model once; reading needs a CPU too
)
records.write_parquet(out)
