"""What the page says, as HTML: its header, what is being done, and the results. Pure functions of tracks.

See style.css and results.js, too. Every colour comes with a number, a dash or a word.
"""

from collections.abc import Sequence
from typing import Any

from m2e.space import facts
from m2e.space.markup import notes, text
from m2e.space.plane import plane, values
from m2e.space.scale import Zoom, tint_style, zoom_of
from m2e.space.timeline import timeline
from m2e.space.tracks import Track
from m2e.views.records import clock
from modeling_m2e import MusicEmotion
from modeling_m2e.scale_m2e import quadrant_words


def header() -> str:
    return (
        '<header class="m2e-header"><h1>m2e <span>How does this music feel?</span></h1>'
        "<p>Moods, emotion over time, key and chords of any track, predicted by an open model.</p></header>"
    )


def status(sentences: Sequence[str] = (), doing: str = "") -> str:
    """What is being done, and a line per failure."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    busy = f'<div class="m2e-busy" role="status"><i></i><span>{text(doing)}</span></div>' if doing else ""
    alert = f'<div class="m2e-alert" role="alert"><b>Not analysed</b><ul>{items}</ul></div>' if items else ""
    return f'<div class="m2e-status">{busy}{alert}</div>'


def results(tracks: Sequence[Track], shown: int = 0) -> str:
    """The selected track, and its place among the others; a click on a point or in the list selects a track."""
    records = [track.record for track in tracks]
    if not records:
        hint = '<p class="m2e-hint">Add a track to see how it feels. Add more to compare them.</p>'
        return f'<section class="m2e-card m2e-empty" aria-label="Plane">{plane([], 0, zoom_of([]))}{hint}</section>'
    zoom = zoom_of(_shown_values(records, shown))
    record = records[shown]
    return (
        f"{_track(tracks[shown], shown, len(records), zoom)}"
        f'<section class="m2e-card m2e-compare" aria-label="Plane and numbers"><div class="m2e-places">'
        f"{plane(records, shown, zoom)}{_list(records, shown)}</div>"
        f'<div class="m2e-facts">{facts.tiles(record)}{facts.moods(record)}</div>{facts.attributes(record)}</section>'
    )


# --- parts ---


def _shown_values(records: Sequence[MusicEmotion], shown: int) -> list[float]:
    """All numbers that must be inside of what is shown."""
    chosen = records[shown]
    points: list[Any] = [*records, *(chosen.curve or [])]
    intervals = [end for name in ("valence", "arousal") for end in chosen.get(f"{name}_interval") or ()]
    return [value for point in points for value in (point.valence, point.arousal)] + intervals


def _track(track: Track, index: int, count: int, zoom: Zoom) -> str:
    """The selected track: the sentence about it, the player and the track over time."""
    record = track.record
    about = [text(record.path), clock(record.duration), text(record.model)]
    badge = _badge(record, index) if count > 1 else ""
    return (
        f'<section class="m2e-card m2e-track" aria-label="{text(record.path)}"><div class="m2e-head">'
        '<button type="button" class="m2e-play" aria-label="Play"><svg viewBox="0 0 24 24" aria-hidden="true">'
        '<path class="m2e-sign-play" d="M8 5v14l11-7z"/>'
        '<path class="m2e-sign-pause" d="M7 5h4v14H7zm6 0h4v14h-4z"/></svg>'
        f'</button><div><h2>{notes(facts.headline(record))}</h2><p class="m2e-about">{badge}'
        f"{' · '.join(part for part in about if part)}</p></div></div>{facts.warnings(record)}"
        f"{timeline(track, zoom)}</section>"
    )


def _badge(record: MusicEmotion, index: int) -> str:
    style = tint_style(record.valence, record.arousal)
    return f'<span class="m2e-badge" style="{style}" aria-hidden="true">{index + 1}</span>'


def _list(records: Sequence[MusicEmotion], shown: int) -> str:
    """A row for every track, to select and to remove it; empty where there is no other track."""
    if len(records) == 1:
        return ""
    rows = "".join(_row(record, index, index == shown) for index, record in enumerate(records))
    return f'<ol class="m2e-list" tabindex="0" aria-label="Tracks">{rows}</ol>'


def _row(record: MusicEmotion, index: int, shown: bool) -> str:
    name = text(record.path)
    return (
        f'<li class="{"m2e-shown" if shown else ""}"><button type="button" data-show="{index}" title="{name}"'
        f' aria-pressed="{str(shown).lower()}">{_badge(record, index)}<span><b>{name}</b>'
        f"<small>{notes(facts.headline(record))}</small><small>{values(record)} · "
        f"{quadrant_words(record.quadrant, record.get('between'))}</small></span></button>"
        f'<button type="button" class="m2e-remove" data-remove="{index}" aria-label="Remove {name}">×</button></li>'
    )
