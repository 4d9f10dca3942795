"""What a program asks of a playlist, and the tracks that this gives."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from m2e.errors import UsageError
from m2e.library import selection
from m2e.library.database import Library
from m2e.library.playlists import Length
from m2e.library.query import Tracks

COUNT = 25  # tracks, if neither a number nor minutes are asked for
Place = Annotated[
    str | None,
    # no path of a file: whether one exists is nobody's business
    Field(pattern=r"^[^/\\~]*$", description='A mood, "valence,arousal" such as "6.5,3", or the id of a track.'),
]


class Plan(BaseModel):
    """What a playlist is to be. Give one of: like; moods; quadrant; start with end."""

    model_config = ConfigDict(extra="forbid")

    like: list[int] = Field(default=[], max_length=100, description="Ids of tracks: it begins with them.")
    moods: list[str] = Field(default=[], max_length=20, description="Tracks with the most of all these moods.")
    quadrant: str | None = Field(default=None, description="Q1 happy, energetic; Q2 tense, angry; Q3 sad; Q4 calm.")
    start: Place = None
    end: Place = None
    where: str = Field(default="", description='Only tracks that a query finds: "year < 1980".')
    count: int | None = Field(default=None, ge=1, le=1000, description=f"Number of tracks; {COUNT} by default.")
    minutes: float | None = Field(default=None, ge=1, le=6000, description="About how long, instead of a count.")
    seed: int = Field(default=0, ge=0, description="Another number gives another playlist of the same kind.")


def planned(library: Library, plan: Plan) -> list[int]:
    """The ids of the tracks of a playlist, in its order. Raises: UsageError."""
    if sum(map(bool, (plan.like, plan.moods, plan.quadrant, plan.start or plan.end))) != 1:
        raise UsageError("give one of like, moods, quadrant, or start with end.")
    if plan.count is not None and plan.minutes is not None:
        raise UsageError("give count or minutes, not both.")
    length = Length(plan.count or (COUNT if plan.minutes is None else None), plan.minutes)
    tracks = Tracks(library)
    rest = length, plan.where, plan.seed
    if plan.like:
        ids = selection.like(tracks, [str(each) for each in plan.like], *rest)
    elif plan.moods:
        ids = selection.moods(tracks, plan.moods, *rest)
    elif plan.quadrant:
        ids = selection.quadrant(tracks, plan.quadrant, *rest)
    elif plan.start and plan.end:
        ids = selection.journey(tracks, plan.start, plan.end, *rest)
    else:
        raise UsageError("start needs end, and end needs start.")
    if not ids:
        raise UsageError(selection.NOTHING_FITS)
    return ids
