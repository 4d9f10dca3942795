"""`m2e playlist`: a playlist of a library, by example, mood, quadrant, or along a path between moods."""

from typing import Annotated

import typer

from m2e.cli.options import Database
from m2e.cli.track_output import Form, Output, Relative, chosen_form, refuse, write_tracks
from m2e.errors import M2EError, UsageError
from m2e.terminal import tell

TRACKS = 25  # if neither a number nor minutes are asked for


def playlist(
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|ID", help="Begin with this track, and take tracks like it; may be repeated."),
    ] = None,
    mood: Annotated[str | None, typer.Option(metavar="MOODS", help='Take tracks of moods: "calm, happy".')] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help='Begin at a mood, at "VALENCE,AROUSAL", or with a FILE or ID.'),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="PLACE", help="End there: the way between is smooth.")
    ] = None,
    quadrant: Annotated[str | None, typer.Option(metavar="Q1-Q4", help="Take tracks of a quadrant.")] = None,
    where: Annotated[
        str, typer.Option(metavar="QUERY", help="Take only tracks that a query of m2e library finds.")
    ] = "",
    minutes: Annotated[float | None, typer.Option(min=1, metavar="N", help="Make it about N minutes long.")] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=1, metavar="N", help="Take N tracks.", show_default=f"{TRACKS}"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Make another playlist of the same kind.")] = 0,
    database: Database = None,
    form: Form = None,
    output: Output = None,
    relative: Relative = None,
) -> None:
    """Make a playlist: like some tracks, of moods, of a quadrant, or from one mood to another.

    Keys that mix well follow each other where possible, and an artist comes once in five tracks. The same command
    gives the same playlist; --seed gives another one.
    """
    try:
        form = chosen_form(form, output)
        ways = [like, mood, quadrant, start or end]
        if sum(bool(way) for way in ways) != 1:
            raise UsageError("give one of --like, --mood, --quadrant, or --from with --to.")
        if minutes is not None and count is not None:
            raise UsageError("give --minutes or --count, not both.")
        from m2e.library import selection
        from m2e.library.database import Library
        from m2e.library.playlists import Length
        from m2e.library.query import Tracks

        length = Length(count or (TRACKS if minutes is None else None), minutes)
        with Library.open(database) as library:
            tracks = Tracks(library)
            if like:
                ids = selection.like(tracks, like, length, where, seed)
            elif mood:
                ids = selection.moods(tracks, mood.split(","), length, where, seed)
            elif quadrant:
                ids = selection.quadrant(tracks, quadrant, length, where, seed)
            elif start and end:
                ids = selection.journey(tracks, start, end, length, where, seed)
            else:
                raise UsageError("--from needs --to, and --to needs --from.")
            if not ids:
                raise UsageError(selection.NOTHING_FITS)
            chosen = list(library.tracks(ids))
            write_tracks(chosen, form, output, relative, name=_name(like, mood, quadrant, start, end))
    except M2EError as error:
        refuse(error)
    seconds = sum(track.seconds or 0 for track in chosen)
    if (length.count or 0) > len(ids) or (minutes or 0) * 60 > 1.5 * seconds:
        tell(f"only {len(ids)} tracks ({seconds / 60:.0f} minutes) fit: an artist comes once in five tracks.")


def _name(like: list[str] | None, mood: str | None, quadrant: str | None, start: str | None, end: str | None) -> str:
    if like:
        return f"Like {', '.join(like)}"
    return mood or quadrant or f"From {start} to {end}"
