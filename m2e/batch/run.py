"""Predicts tracks one after the other into a shard; what is computed is kept when the run breaks off."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from m2e.batch.schema import to_table
from m2e.batch.shards import Known, Shard, in_shard
from m2e.inputs import Source

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion

BLOCK_ROWS, BLOCK_SECONDS = 256, 60.0  # a block ends with either
SHOWN = 20  # sentences of failed tracks


@dataclass
class Tally:
    """The counts of a run. found: tracks, of all shards.  skipped: those that the output holds already.  sentences: of
    the first failures."""

    found: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    sentences: list[str] = field(default_factory=list)

    def add(self, errors: Iterable[str | None]) -> None:
        for error in errors:
            self.done += 1
            if error is not None:
                self.failed += 1
                if len(self.sentences) < SHOWN:
                    self.sentences.append(error)


def remaining(
    sources: Iterable[Source], known: Known, tally: Tally, index: int = 1, count: int = 1
) -> Iterator[Source]:
    """The sources of a shard that are not known yet."""
    for source in sources:
        tally.found += 1
        if not in_shard(source.path, index, count):
            continue
        if source.path in known:
            tally.skipped += 1
        else:
            yield source


def write(
    records: "Iterable[MusicEmotion | FailedTrack]",
    shard: Shard,
    tally: Tally,
    begin: Callable[[int, str], Any] = lambda done, path: None,
) -> None:
    """Writes records as they come, in blocks."""
    rows: list[MusicEmotion | FailedTrack] = []
    since = time.monotonic()
    try:
        for record in records:
            rows.append(record)
            tally.add([record.error])
            begin(tally.done, record.path or "")
            if len(rows) >= BLOCK_ROWS or time.monotonic() - since >= BLOCK_SECONDS:
                shard.add(to_table(rows, shard.schema))
                rows, since = [], time.monotonic()
    finally:
        if rows:
            shard.add(to_table(rows, shard.schema))
