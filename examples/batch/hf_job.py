# /// script
# requires-python = ">=3.11"
# dependencies = ["m2e[batch,remote]"]
# ///
"""A Hugging Face job: predicts one shard of the audio in a bucket or a data set. Start one job for each shard:

for i in $(seq 1 100); do
    hf jobs uv run --detach --flavor cpu-upgrade --timeout 6h --secrets HF_TOKEN \
        hf_job.py hf://datasets/ME/music hf://datasets/ME/records $i/100
done
m2e merge hf://datasets/ME/records -o records.parquet

A job that is started again goes on where it was. Its status is 1 if tracks failed; their rows say why.
"""

import os
import subprocess
import sys

music, records, shard = sys.argv[1:]
workers = os.environ.get("WORKERS") or str(os.cpu_count() or 1)
command = ["m2e", "predict", music, "--format", "parquet", "-o", records, "--shard", shard, "--resume"]
sys.exit(subprocess.run([*command, "--embedding", "--workers", workers]).returncode)
