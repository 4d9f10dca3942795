"""Write a data set as Parquet, one or more files per split, in the common schema.

    python -m datasets_scripts.to_parquet NAME FOLDER OUT [--audio embed|path] [--option labels=published ...]

``datasets.load_dataset(OUT)`` and ``read_dataset("hub", OUT)`` read it. With ``--audio embed`` the files hold the audio
too, byte for byte. Files are written under a temporary name and renamed.
"""

import argparse
import logging
import math
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, Dataset, Features

from m2e.datasets.options import name_and_value
from m2e.datasets.registry import READERS, read_dataset
from m2e.datasets.schema import SPLITS
from m2e.errors import DataError, M2EError, reason
from m2e.storage import write_whole

SHARD_BYTES = 500_000_000  # of audio; the hub recommends files of this size
ROW_GROUP = 100  # tracks in memory at once
AUDIO = ("path", "embed")


def write_parquet(dataset: Dataset, out: str | Path, audio: str = "path") -> list[Path]:
    """The files written: ``SPLIT-00000-of-00001.parquet`` and so on for every split that has tracks.

    audio: "embed" stores the files' bytes.  Raises DataError if ``out`` holds Parquet files or cannot be written.
    """
    out = Path(out)
    if any(out.glob("*.parquet")):
        raise DataError(f"{out} holds Parquet files already: give an empty or new folder.")
    features = Features(dataset.features)
    if audio == "embed":
        features["audio"] = Audio(decode=False)
    splits = dataset["split"][:]
    written = []
    for split in SPLITS:
        part = dataset.select([i for i, s in enumerate(splits) if s == split])
        shards = max(1, math.ceil(_audio_bytes(part) / SHARD_BYTES)) if audio == "embed" else 1
        for index in range(shards if len(part) else 0):
            path = out / f"{split}-{index:05d}-of-{shards:05d}.parquet"
            shard = part.shard(shards, index, contiguous=True)
            try:
                write_whole(path, partial(_write, shard, features.arrow_schema, audio))
            except OSError as error:
                raise DataError(f"{path} cannot be written ({reason(error)}): check the disk and the audio.") from error
            written.append(path)
    return written


def _write(part: Dataset, schema: pa.Schema, audio: str, path: Path) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for rows in _batches(part, audio):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _audio_bytes(part: Dataset) -> int:
    return sum(os.path.getsize(path) for path in part["audio"] if isinstance(path, str))


def _batches(part: Dataset, audio: str) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(part), ROW_GROUP):
        rows = part.select(range(start, min(start + ROW_GROUP, len(part)))).to_list()
        if audio == "embed":
            rows = [row | {"audio": _embedded(row["audio"])} for row in rows]
        yield rows


def _embedded(audio: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(audio, dict):
        return audio
    return {"bytes": Path(audio).read_bytes(), "path": Path(audio).name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(READERS))
    parser.add_argument("folder", help="the user's copy; for hub the id of the data set")
    parser.add_argument("out", type=Path)
    parser.add_argument("--audio", choices=AUDIO, default="path")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        dataset = read_dataset(args.name, args.folder, **dict(map(name_and_value, args.option)))
        for path in write_parquet(dataset, args.out, args.audio):
            print(path)
    except M2EError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
