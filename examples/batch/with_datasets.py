"""Hugging Face datasets: a data set with audio in, its records out.

python with_datasets.py TRACKS.parquet OUT.parquet        # with a column "path", or "audio"
"""

import sys

from datasets import Features, load_dataset

from m2e.batch import Predictor

tracks, out = sys.argv[1:]
predictor = Predictor(embedding=True, max_duration=1200)
data = load_dataset(
    "parquet", data_files=tracks, split="train"
)  # of the hub: cast_column("audio", Audio(decode=False))
records = data.map(
    predictor, batched=True, batch_size=16, features=Features.from_arrow_schema(predictor.schema)
)  # num_proc=8: as many processes, each with its own model
records.to_parquet(out)
