"""The MCP server: a library as tools of a language model, over stdin and stdout."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from m2e import __version__
from m2e.errors import M2EError
from m2e.inputs import Source
from m2e.serve.catalog import Catalog
from m2e.serve.jobs import Predict
from m2e.serve.models import SimilarTrack, Status, Track, TrackRecord, Tracks
from m2e.serve.plans import Plan
from m2e.workers import predict_one

P = ParamSpec("P")
R = TypeVar("R")
MAX_LIMIT = 200  # tracks in one answer, which a language model reads
READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
INSTRUCTIONS = """The user's music library, with moods, valence (1 unpleasant to 9 pleasant), arousal (1 calm to 9
energetic), key, tempo and attributes that a model predicted from the audio. Values crowd around 5: compare tracks by
percentiles, as in "arousal > 80%". Call status first to learn how large the library is and which moods it knows."""
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many tracks to answer at most.")]
TrackId = Annotated[int, Field(description="The id of a track, as other tools answer it.")]


def build(catalog: Catalog, load: Callable[[], Predict]) -> MCPServer:
    """The MCP server.  load: makes the model, at the first prediction."""
    server = MCPServer(
        "m2e", title="Music library", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    model: list[Predict] = []
    lock = threading.Lock()  # one prediction at a time: tools run in threads

    def tool(function: Callable[P, R]) -> Callable[P, R]:
        """Makes a tool of a function; errors that a user can mend are answered as sentences."""

        @wraps(function)
        def answered(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except M2EError as error:
                raise ToolError(str(error)) from error

        server.tool(annotations=READS)(answered)
        return function

    @tool
    def status() -> Status:
        """The size of the library and the moods it knows."""
        return catalog.status()

    @tool
    def search(
        query: Annotated[
            str,
            Field(
                description="Conditions joined by commas, 'and', 'or', 'not': moods (calm), valence, arousal, "
                "attributes (energy, danceability, tempo), key, duration, year, artist, title, path. Numbers take "
                "< > <= >= = and percentiles of the library: 'calm and happy, not dark, arousal < 30%, key = Am, "
                "year >= 1990, artist = Bach'."
            ),
        ],
        sort: Annotated[str | None, Field(description="Such as 'arousal'; '-arousal' for the highest first.")] = None,
        limit: Limit = 20,
    ) -> Tracks:
        """Find tracks in the library. `total` is the number of all that match."""
        return catalog.query(query, sort, limit)

    @tool
    def similar(track_id: TrackId, limit: Limit = 10) -> list[SimilarTrack]:
        """The tracks that sound most like a track, nearest first."""
        return catalog.similar(track_id, limit)

    @tool
    def playlist(plan: Plan) -> list[Track]:
        """Make a playlist: tracks like others, of a mood, or on a smooth path such as from calm to energetic."""
        return catalog.playlist(plan)

    @tool
    def track(track_id: TrackId) -> TrackRecord:
        """Everything about a track: all moods with probabilities, chords, key, the emotion over time."""
        return catalog.track(track_id)

    @tool
    def predict(
        path: Annotated[str, Field(description="A music file on this machine; it need not be in the library.")],
    ) -> dict[str, Any]:
        """Predict moods, valence, arousal, key and chords of a file. This takes some seconds."""
        if "://" in path:
            raise ToolError("Links are not fetched: give the path of a file on this machine.")
        with lock:
            if not model:
                model.append(load())
            record = predict_one(model[0], Source(path))
        if record.error is not None:
            raise ToolError(record.error)
        return record.to_dict()

    return server
