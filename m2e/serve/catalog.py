"""What the servers ask of a library. Every call opens the database, so that calls may come from any thread."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from m2e import __version__
from m2e.errors import LibraryError
from m2e.library.database import Library, default_path
from m2e.library.playlist_files import m3u8
from m2e.library.query import Tracks as QueryTracks
from m2e.library.query import order, search
from m2e.library.similarity import embeddings_of, nearest
from m2e.library.track import LibraryTrack
from m2e.serve.models import Failure, SimilarTrack, Status, Track, TrackRecord, Tracks, readable, record_of, similar_of
from m2e.serve.models import track_of as short
from m2e.serve.plans import Plan, planned

MAX_FAILURES = 1000


class NotFound(LibraryError):
    """There is no such track or job."""


class Catalog:
    """A library, asked from several threads.  db: its database; None for the user's."""

    def __init__(self, db: str | os.PathLike[str] | None = None):
        self.db = db

    @contextmanager
    def _library(self) -> Iterator[Library]:
        with Library.open(self.db) as library:
            yield library

    def status(self) -> Status:
        """The size of the library."""
        with self._library() as library:
            return Status(
                version=__version__,
                database=str(self.db or default_path()),
                tracks=len(library),
                missing_files=library.count_missing(),
                failed_files=sum(1 for _ in library.failures()),
                moods=library.columns().moods,
            )

    def all(self, offset: int, limit: int) -> Tracks:
        """A page of all tracks."""
        with self._library() as library:
            ids = sorted(int(each) for each in library.columns().ids)
            return Tracks(total=len(ids), tracks=self._short(library, ids[offset : offset + limit]))

    def track(self, track_id: int) -> TrackRecord:
        """A track. Raises: NotFound."""
        with self._library() as library:
            return record_of(self._known(library, track_id))

    def query(self, text: str, sort: str | None, limit: int) -> Tracks:
        """The first tracks that a query finds, by `sort`. Raises: QueryError."""
        with self._library() as library:
            tracks = QueryTracks(library)
            found = search(tracks, text)
            if sort:
                found = order(tracks, found, sort)
            ids = tracks.ids[found[:limit]].tolist()
            return Tracks(total=len(found), tracks=self._short(library, ids), notes=tracks.notes)

    def similar(self, track_id: int, limit: int) -> list[SimilarTrack]:
        """The nearest tracks, best first. Raises: NotFound, UsageError."""
        with self._library() as library:
            self._known(library, track_id)
            ids, matrix = library.embeddings()
            found = dict(nearest(ids, matrix, embeddings_of(ids, matrix, [track_id]), [track_id], limit))
            return [similar_of(track, found[track.id]) for track in library.tracks(found)]

    def playlist(self, plan: Plan) -> list[Track]:
        """The tracks of a playlist. Raises: UsageError."""
        with self._library() as library:
            return self._short(library, planned(library, plan))

    def m3u8(self, plan: Plan) -> str:
        """A playlist as M3U8 with absolute paths. Raises: UsageError."""
        with self._library() as library:
            return m3u8(list(library.tracks(planned(library, plan))))

    def failures(self) -> list[Failure]:
        """The first MAX_FAILURES files that failed."""
        with self._library() as library:
            found = zip(range(MAX_FAILURES), library.failures(), strict=False)
            return [Failure(path=readable(path), error=readable(why)) for _, (path, why) in found]

    @staticmethod
    def _short(library: Library, ids: Sequence[int]) -> list[Track]:
        return [short(track) for track in library.tracks(ids)]

    @staticmethod
    def _known(library: Library, track_id: int) -> LibraryTrack:
        """Raises: NotFound."""
        track = library.track(track_id) if -(1 << 63) <= track_id < 1 << 63 else None
        if track is None:
            raise NotFound(f"The library has no track {track_id}: look for its id with a query.")
        return track
