"""What the servers answer: the shapes in the OpenAPI description and in the schemas of MCP tools."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from m2e.library.keys import key_name, key_number

if TYPE_CHECKING:
    from m2e.library.track import LibraryTrack


class Answer(BaseModel):
    """Base of all answers: names that are not UTF-8 become readable text."""

    model_config = ConfigDict(extra="forbid")


class Track(Answer):
    """A track of the library, in short."""

    id: int
    path: str
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    year: int | None = None
    duration: float | None = Field(description="Seconds.")
    valence: float = Field(description="Unpleasant (1) to pleasant (9).")
    arousal: float = Field(description="Calm (1) to energetic (9).")
    quadrant: str = Field(description="Q1 happy, energetic; Q2 tense, angry; Q3 sad; Q4 calm.")
    moods: list[str] = Field(description="The moods above their thresholds, best first.")
    key: str | None = Field(description='Such as "A minor".')
    tempo: float | None = Field(default=None, description="Beats per minute.")
    attributes: dict[str, float] = Field(default={}, description="0-1: energy, danceability, ...")
    missing: bool = Field(default=False, description="Whether the file is not there now.")


class TrackRecord(Track):
    """A track of the library with its whole record."""

    paths: list[str] = Field(description="All files with this audio.")
    record: dict[str, Any] = Field(description="As m2e predict writes it: moods, key, chords, curve.")


class Tracks(Answer):
    """Tracks in order."""

    total: int = Field(description="How many there are in all.")
    tracks: list[Track]
    notes: list[str] = Field(default=[], description="What to know about the query.")


class SimilarTrack(Track):
    """A track with its similarity to the one asked for."""

    similarity: float = Field(description="-1 to 1, for the same sound: cosine of the embeddings around their mean.")


class Job(Answer):
    """The prediction of an uploaded file."""

    id: str
    name: str
    status: str = Field(description="waiting, running, done or failed.")
    before: int = Field(description="How many jobs come first.")
    record: dict[str, Any] | None = Field(default=None, description="As m2e predict writes it, once done.")
    error: str | None = Field(default=None, description="One sentence, once failed.")


class Status(Answer):
    """The server and its library."""

    version: str
    database: str
    tracks: int
    missing_files: int
    failed_files: int
    moods: list[str] = Field(description="The moods that queries know.")
    waiting_jobs: int = 0
    max_waiting_jobs: int = 0
    max_upload_mib: int = 0


class Failure(Answer):
    """A file that could not be predicted, and why."""

    path: str
    error: str


def track_of(track: "LibraryTrack") -> Track:
    """The short answer for a track."""
    return Track(**_fields(track))


def record_of(track: "LibraryTrack") -> TrackRecord:
    """The whole answer for a track."""
    record = {**track.values, "path": readable(track.path)}
    return TrackRecord(**_fields(track), paths=[readable(path) for path in track.paths], record=record)


def similar_of(track: "LibraryTrack", similarity: float) -> SimilarTrack:
    """The short answer for a neighbour."""
    return SimilarTrack(**_fields(track), similarity=round(similarity, 4))


def _fields(track: "LibraryTrack") -> dict[str, Any]:
    values, tags = track.values, track.tags
    key = values.get("key")
    return {
        "id": track.id,
        "path": readable(track.path),
        "title": tags.title,
        "artist": tags.artist,
        "album": tags.album,
        "year": tags.year,
        "moods": values["selected_moods"],
        "key": key and key_name(key_number(key["tonic"], key["mode"])),
        "tempo": values.get("tempo"),
        "attributes": {name: each for name, each in (values.get("attributes") or {}).items() if each is not None},
        "missing": track.missing,
        **{name: values[name] for name in ("duration", "valence", "arousal", "quadrant")},
    }


def readable(path: str) -> str:
    """A path as text that JSON can carry: bytes that are not UTF-8 become replacement characters."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
