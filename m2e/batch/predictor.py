"""`Predictor`: the callable that Ray, datasets, Spark and Daft apply to batches of tracks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from m2e.batch.schema import record_schema, to_table
from m2e.errors import UsageError
from m2e.inputs import Source
from m2e.workers import predict_one

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion

Batch: TypeAlias = Mapping[str, np.ndarray | Sequence[Any]] | pa.Table | pa.RecordBatch
AUDIO = "audio"  # the column of Hugging Face data sets, {"path", "bytes"}


class Predictor:
    """Maps a batch of tracks to a `pyarrow.Table` of records, one row per track, in order.

    A batch is a dict of columns, a Table or a RecordBatch. It has the column "path" (files and URLs, as `m2e predict`
    takes them), or "bytes" (the content of audio files, perhaps with "path" as their names), or "audio" as data sets
    have it, undecoded. A track that cannot be read gets a row with its `error`, and the batch goes on.

    It is small and can be pickled: the model is loaded at the first batch, once per process.
    model, device, settings: the arguments of `m2e.load`, such as harmony=False or max_duration=600.
    embedding: adds the column "embedding", the mean embedding of the track.

    Raises, at the first batch: ModelError; UsageError for a batch without such columns.
    """

    def __init__(self, model: str | None = None, device: str = "auto", *, embedding: bool = False, **settings: Any):
        self.embedding = embedding
        self.settings = {"model": model, "device": device, "include_embedding": embedding, **settings}

    @property
    def pipe(self) -> "MusicEmotionPipeline":
        """The loaded model. Raises: ModelError."""
        return _loaded(**self.settings)

    @property
    def schema(self) -> pa.Schema:
        """The schema of the rows. Raises: ModelError, with embeddings, whose width is that of the model."""
        return record_schema(embedding_size(self.settings["model"]) if self.embedding else None)

    def __call__(self, batch: Batch) -> pa.Table:
        return to_table(self.records(batch), self.schema)

    def records(self, batch: Batch) -> "Iterator[MusicEmotion | FailedTrack]":
        """The records of a batch, one by one."""
        return (self._record(path, audio) for path, audio in tracks(batch))

    def _record(self, path: str | None, audio: bytes | None) -> "MusicEmotion | FailedTrack":
        if path is None and audio is None:
            source = Source("<nothing>", "the row has neither a path nor bytes.")
        else:
            source = Source("<bytes>" if path is None else path)
        record = predict_one(self.pipe if audio is None else _Bytes(self.pipe, audio), source)
        record.path = path
        return record


class _Bytes:
    """A model for one track, whose content is known."""

    def __init__(self, pipe: "MusicEmotionPipeline", audio: bytes):
        self.pipe, self.audio, self.name = pipe, audio, pipe.name

    def __call__(self, path: str) -> "MusicEmotion":
        return self.pipe({"path": path, "bytes": self.audio})


@lru_cache(maxsize=1)
def _loaded(**settings: Any) -> "MusicEmotionPipeline":
    from m2e.checkpoints.load import load

    return load(**settings)


@lru_cache(maxsize=1)
def embedding_size(model: str | None) -> int:
    """The width of the embeddings of a model, which is not loaded. Raises: ModelError."""
    from m2e.checkpoints.load import EMBEDDED, local_folder, readable
    from modeling_m2e import M2EConfig

    name = model or EMBEDDED
    with readable(name):
        return M2EConfig.from_pretrained(local_folder(name)[0]).embedding_size


def tracks(batch: Batch) -> Iterator[tuple[str | None, bytes | None]]:
    """(path, bytes) of each row; either may be None. Raises: UsageError."""
    columns = _columns(batch)
    if AUDIO in columns and not {"path", "bytes"} & set(columns):
        audio = [value or {} for value in columns[AUDIO]]
        columns = {name: [value.get(name) for value in audio] for name in ("path", "bytes")}
    if not {"path", "bytes"} & set(columns):
        raise UsageError(f'the batch has the columns {", ".join(columns)}: name one of them "path" or "bytes".')
    rows = len(next(iter(columns.values())))
    missing = [None] * rows
    for path, audio in zip(columns.get("path", missing), columns.get("bytes", missing), strict=True):
        yield None if path is None else str(path), None if audio is None else bytes(audio)


def _columns(batch: Batch) -> dict[str, Sequence[Any]]:
    """The columns that name audio, as Python values; the names of all if there is none."""
    if isinstance(batch, pa.Table | pa.RecordBatch):
        wanted = [name for name in batch.column_names if name in ("path", "bytes", AUDIO)] or batch.column_names
        return {name: batch.column(name).to_pylist() for name in wanted}
    return dict(cast(Mapping[str, Any], batch))
