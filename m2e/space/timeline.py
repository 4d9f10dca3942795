"""A track over time as HTML: waveform, curve, key and chords with one cursor. See results.js, too."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from m2e.space.markup import notes, text
from m2e.space.scale import MANY, Zoom, tint_style
from m2e.space.tracks import Track
from m2e.views.records import clock, short_chord
from modeling_m2e import MusicEmotion
from modeling_m2e.scale_m2e import POLES

_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MOST_TICKS = 6
_FAINTEST = 0.03  # of the height of the waveform, so that silence is a line


def timeline(track: Track, zoom: Zoom) -> str:
    """The lanes of a track under each other; their data for results.js is in `data-track`."""
    record, duration = track.record, seconds(track.record)
    return (
        f'<div class="m2e-time" data-track="{text(json.dumps(_data(record, zoom)))}"'
        f' data-source="{text(f"gradio_api/file={quote(track.file)}")}">'
        f'<div class="m2e-along"><output class="m2e-readout" aria-live="off"></output></div>'
        f'<div class="m2e-lanes"><div class="m2e-lane m2e-wave" role="slider" tabindex="0"'
        f' aria-label="Position in {text(record.path)}" aria-valuemin="0" aria-valuemax="{duration:.1f}"'
        f' aria-valuenow="0">{_highlight(record)}{_wave(track.outline, record)}</div>{_segments(record)}'
        f'<div class="m2e-lane m2e-curve" role="img" aria-label="{_curve_sentence(record)}">'
        f"{_curve(record, zoom)}</div>"
        f'{_harmony(record)}<div class="m2e-cursor" aria-hidden="true"></div></div>'
        f'<div class="m2e-times" aria-hidden="true">{_times(duration)}</div></div>'
    )


def seconds(record: MusicEmotion) -> float:
    """Duration of a track, never 0, because positions are parts of it."""
    return record.duration or 1.0


def _data(record: MusicEmotion, zoom: Zoom) -> dict[str, object]:
    """What the cursor says: [start, end, valence, arousal, x, y] of windows and [start, end, name] of chords."""
    curve = [
        [p.start, p.end, f"{p.valence:.1f}", f"{p.arousal:.1f}", zoom.share(p.valence), zoom.share(p.arousal)]
        for p in record.curve or []
    ]
    chords = [[chord.start, chord.end, short_chord(chord.label)] for chord in record.chords or []]
    return {"duration": seconds(record), "curve": curve, "chords": chords}


def _times(duration: float) -> str:
    every = next((s for s in _TICK_SECONDS if duration / s <= _MOST_TICKS), 2 * 3600)
    marks = ((f"{second / duration:.2%}", clock(second)) for second in range(0, int(duration) + 1, every))
    return "".join(f'<span style="left:{left}">{label}</span>' for left, label in marks)


def _wave(outline: Sequence[float], record: MusicEmotion) -> str:
    """A bar per peak, in the colours of the emotion at its time."""
    bars = "".join(
        f"M{index + 0.5:g} {50 - 48 * height:.1f}V{50 + 48 * height:.1f}"
        for index, height in enumerate(max(peak, _FAINTEST) for peak in outline)
    )
    count = max(1, len(outline))
    stops = "".join(
        f'<stop class="m2e-tint" offset="{(point.start + point.end) / 2 / seconds(record):.1%}"'
        f' style="{tint_style(point.valence, point.arousal)}"/>'
        for point in record.curve or []
    )
    stops = stops or f'<stop class="m2e-tint" style="{tint_style(record.valence, record.arousal)}"/>'
    gradient = f'<linearGradient id="m2e-emotion" gradientUnits="userSpaceOnUse" x2="{count}">{stops}</linearGradient>'
    return (
        f'<svg viewBox="0 0 {count} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<defs>{gradient}</defs><path stroke="url(#m2e-emotion)" d="{bars}"/></svg>'
    )


def _highlight(record: MusicEmotion) -> str:
    """The part of the track that the record calls its most telling."""
    part = record.get("highlight")
    return "" if not part else _span(record, part["start"], part["end"], "highlight", "m2e-highlight")


def _segments(record: MusicEmotion) -> str:
    """The sections of the track, in the colours of their emotion, with their first moods."""
    parts = record.get("segments") or []
    spans = "".join(
        _span(
            record,
            part["start"],
            part["end"],
            ", ".join(
                str(mood.get("label", "")) if isinstance(mood, dict) else str(mood) for mood in part["moods"][:2]
            ),
            "m2e-tint",
            tint_style(part["valence"], part["arousal"]),
            f"valence {part['valence']:.1f}, arousal {part['arousal']:.1f}, ",
        )
        for part in parts
    )
    return f'<div class="m2e-lane m2e-segments" role="group" aria-label="Sections">{spans}</div>' if spans else ""


def _curve(record: MusicEmotion, zoom: Zoom) -> str:
    ticks = zoom.ticks()
    lines = "".join(
        f'<line{" class=m2e-middle" if tick == 5 else ""} x2="100" y1="{y}" y2="{y}"/>'
        for tick, y in ((tick, 100 - zoom.share(tick)) for tick in ticks)
    )
    for name in POLES:
        points = [
            (50 * (point.start + point.end) / seconds(record), 100 - zoom.share(getattr(point, name)))
            for point in record.curve or []
        ]
        if points:
            ends = [(0, points[0][1]), *points, (100, points[-1][1])]
            line = " ".join(f"{x:.2f},{y:.2f}" for x, y in ends)
            lines += f'<polyline class="m2e-{name}" points="{line}"/>'
            if len(points) <= MANY:
                dots = "".join(f"M{x:.2f} {y:.2f}h.01" for x, y in points)
                lines += f'<path class="m2e-{name}" d="{dots}"/>'
    numbers = "".join(f'<span style="bottom:{zoom.share(tick)}%">{tick}</span>' for tick in ticks)
    return (
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
        f'<div class="m2e-ticks">{numbers}</div>'
    )


def _curve_sentence(record: MusicEmotion) -> str:
    parts = []
    for name in POLES:
        values = [getattr(point, name) for point in record.curve or []]
        if values:
            parts.append(f"{name} from {min(values):.1f} to {max(values):.1f}")
    return "Emotion curve: " + (", ".join(parts) or "none")


def _harmony(record: MusicEmotion) -> str:
    if record.chords is None:
        return ""
    keys_over_time = record.key_segments or []
    if len(keys_over_time) > 1:
        spans = [(part.start, part.end, part.key) for part in keys_over_time]
    else:
        spans = [(0.0, seconds(record), str(record.key or "key undecided"))]
    keys = "".join(_span(record, *span) for span in spans)
    chords = "".join(
        _span(record, chord.start, chord.end, short_chord(chord.label), _quality(chord.label))
        for chord in record.chords
        if chord.label != "N"
    )
    return (
        f'<div class="m2e-lane m2e-keys" role="group" aria-label="Key">{keys}</div>'
        f'<div class="m2e-lane m2e-chords" role="group" aria-label="Chords">{chords}</div>'
    )


def _span(
    record: MusicEmotion, start: float, end: float, name: str, kind: str = "", style: str = "", more: str = ""
) -> str:
    """A named part of the track at its position; its name is visible if there is room."""
    left, width = start / seconds(record), (end - start) / seconds(record)
    return (
        f'<span class="{kind}" title="{notes(name)}, {more}{clock(start)} – {clock(end)}"'
        f' style="left:{left:.3%};width:{width:.3%};{style}"><b class="m2e-long-{min(len(name), 6)}">{notes(name)}</b>'
        "</span>"
    )


def _quality(label: str) -> str:
    quality = label.partition(":")[2]
    return "m2e-minor" if quality.startswith(("min", "dim", "hdim")) else "m2e-major"
