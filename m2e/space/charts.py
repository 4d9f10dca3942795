"""The charts of the demo as HTML with inline SVG: pure functions of tracks. See style.css and timeline.js, too.

Positions are in percent, so that the charts fit any width while their text keeps its size. Every colour comes with a
number, a dash or a word.
"""

import html
import json
from collections.abc import Sequence
from urllib.parse import quote

from m2e.space.tracks import Track
from m2e.views.records import clock, short_chord
from modeling_m2e import MusicEmotion
from modeling_m2e.record_m2e import CurvePoint
from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE, quadrant

COLORS = 6  # of tracks, in style.css
TOP_MOODS = 8
TICKS = range(SCALE[0], SCALE[1] + 1, 2)
_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def header() -> str:
    return (
        '<header class="m2e-header"><h1>m2e <span>How does this music feel?</span></h1>'
        "<p>Moods, valence and arousal over time, key and chords, predicted by an open model.</p></header>"
    )


def status(sentences: Sequence[str] = (), doing: str = "") -> str:
    """What is being done, and a line per failure; empty if there is neither."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    busy = f'<div class="m2e-busy" role="status"><i></i>{text(doing)}</div>' if doing else ""
    alert = f'<div class="m2e-alert" role="alert"><b>Not analysed</b><ul>{items}</ul></div>' if items else ""
    return busy + alert


def compare(tracks: Sequence[Track], shown: int = 0) -> str:
    """The valence-arousal plane with all tracks, and their list; a click on either selects a track."""
    records = [track.record for track in tracks]
    rows = "".join(_row(record, index, index == shown) for index, record in enumerate(records))
    hint = "<p>Add a track to see it on this plane.</p><p>Add more to compare them.</p>"
    aside = f'<ol class="m2e-list">{rows}</ol>' if rows else f'<div class="m2e-hint">{hint}</div>'
    return f'<section class="m2e-card m2e-compare" aria-label="Tracks">{plane(records, shown)}{aside}</section>'


def plane(records: Sequence[MusicEmotion], shown: int = 0) -> str:
    """The plane with a numbered point for every record, and the path over time of the selected one."""
    quadrants = "".join(
        f'<span class="m2e-quadrant m2e-{name.lower()}"><b>{name}</b> {words}</span>'
        for name, words in QUADRANT_WORDS.items()
    )
    ticks = "".join(
        f'<span class="m2e-tick-x" style="left:{share(tick)}%">{tick}</span>'
        f'<span class="m2e-tick-y" style="bottom:{share(tick)}%">{tick}</span>'
        for tick in TICKS
    )
    lines = (f'<line x1="{x}%" x2="{x}%" y2="100%"/><line y1="{x}%" y2="{x}%" x2="100%"/>' for x in map(share, TICKS))
    grid = f'<svg class="m2e-grid" aria-hidden="true">{"".join(lines)}</svg>'
    path = _path(records[shown], shown) if records else ""
    points = "".join(_point(record, index, index == shown) for index, record in enumerate(records))
    label = "; ".join(f"{index + 1}, {_sentence(record)}" for index, record in enumerate(records)) or "no track yet"
    axes = "".join(
        f'<span class="m2e-axis m2e-axis-{name}"><i>{low}</i><b>{name}</b><i>{high}</i></span>'
        for name, (low, high) in POLES.items()
    )
    return (
        f'<div class="m2e-plane" role="group" aria-label="{text(f"Valence-arousal plane: {label}")}">'
        f'<div class="m2e-area">{grid}{quadrants}{path}{points}{ticks}</div>{axes}</div>'
    )


def details(track: Track | None, number: int = 1) -> str:
    """All results of one track; empty without one."""
    if track is None:
        return ""
    record = track.record
    model = f" · {text(record.model)}" if record.model else ""
    return (
        f'<section class="m2e-card m2e-details" aria-label="{text(record.path)}"><h2>{_badge(number - 1)}'
        f"<span>{text(record.path)}</span><small>{clock(record.duration)}{model}</small></h2>"
        f'<div class="m2e-columns"><div class="m2e-tiles">{_tiles(record)}</div>{moods(record)}</div>'
        f"{timeline(track)}</section>"
    )


def moods(record: MusicEmotion) -> str:
    """Bars of the most probable moods; the others are hidden until opened."""
    bars = [_mood(mood.label, mood.score, mood.label in record.selected_moods) for mood in record.moods]
    rest = bars[TOP_MOODS:]
    more = f"<details><summary>{len(rest)} more</summary><ul>{''.join(rest)}</ul></details>" if rest else ""
    return (
        f'<div class="m2e-moods"><h3>Moods <small>probability; ✓ above the threshold of the mood</small></h3>'
        f"<ul>{''.join(bars[:TOP_MOODS])}</ul>{more}</div>"
    )


def timeline(track: Track) -> str:
    """The track over time: waveform, curve, key and chords with one cursor."""
    record = track.record
    duration = _seconds(record)
    curve = [[p.start, p.end, f"{p.valence:.1f}", f"{p.arousal:.1f}"] for p in record.curve or []]
    names = [[chord.start, chord.end, short_chord(chord.label)] for chord in record.chords or []]
    data = text(json.dumps({"duration": duration, "curve": curve, "chords": names}))
    every = next((s for s in _TICK_SECONDS if duration / s <= 6), 2 * 3600)
    marks = ((f"{second / duration:.2%}", clock(second)) for second in range(0, int(duration) + 1, every))
    times = "".join(f'<span style="left:{left}">{label}</span>' for left, label in marks)
    source = text(f"gradio_api/file={quote(track.file)}")
    return (
        f'<div class="m2e-time" data-track="{data}"><div class="m2e-player">'
        '<button type="button" class="m2e-play" aria-label="Play">▶</button>'
        f'<output class="m2e-readout"></output><audio preload="metadata" src="{source}"></audio></div>'
        f'<div class="m2e-lanes"><div class="m2e-lane m2e-wave" role="slider" tabindex="0"'
        f' aria-label="Position in {text(record.path)}" aria-valuemin="0" aria-valuemax="{duration:.1f}"'
        f' aria-valuenow="0">{_wave(track.outline)}</div>'
        f'<div class="m2e-lane m2e-curve" role="img" aria-label="{_curve_sentence(record)}">{_curve(record)}</div>'
        f'{_harmony(record)}<div class="m2e-cursor"></div></div>'
        f'<div class="m2e-times" aria-hidden="true">{times}</div></div>'
    )


def share(value: float) -> float:
    """Position on the scale in percent."""
    return round(100 * (value - SCALE[0]) / (SCALE[1] - SCALE[0]), 2)


def text(value: str | None) -> str:
    """Text that is safe in HTML, and in the templates that Gradio makes of it."""
    escaped = html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in value or ""))
    return escaped.replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


# --- parts ---


def _seconds(record: MusicEmotion) -> float:
    """Duration of a track, never 0, because positions are parts of it."""
    return record.duration or 1.0


def _badge(index: int) -> str:
    return f'<span class="m2e-badge m2e-color-{index % COLORS}" aria-hidden="true">{index + 1}</span>'


def _row(record: MusicEmotion, index: int, shown: bool) -> str:
    name = text(record.path)
    return (
        f'<li class="{"m2e-shown" if shown else ""}"><button type="button" data-show="{index}" title="{name}"'
        f' aria-pressed="{str(shown).lower()}">{_badge(index)}<span><b>{name}</b><br><small>{_values(record)} ·'
        f" {record.quadrant} {QUADRANT_WORDS[record.quadrant]}</small></span></button>"
        f'<button type="button" class="m2e-remove" data-remove="{index}" aria-label="Remove {name}">×</button></li>'
    )


def _point(record: MusicEmotion, index: int, shown: bool) -> str:
    x, y = share(record.valence), share(record.arousal)
    return (
        f'<button type="button" class="m2e-point m2e-color-{index % COLORS}{" m2e-shown" if shown else ""}"'
        f' data-show="{index}" style="left:{x}%;bottom:{y}%" aria-label="{text(_sentence(record))}">{index + 1}'
        f"{_tip(f'<b>{text(record.path)}</b><br>{_values(record)}', x, y)}</button>"
    )


def _path(record: MusicEmotion, index: int) -> str:
    curve = record.curve or []
    if len(curve) < 2:
        return ""
    spots = [(share(point.valence), share(point.arousal)) for point in curve]
    line = " ".join(f"{x},{100 - y:.2f}" for x, y in spots)
    dots = "".join(
        f'<span class="m2e-step" style="left:{x}%;bottom:{y}%">'
        f"{_tip(f'<b>{clock(point.start)} – {clock(point.end)}</b><br>{_values(point)}', x, y)}</span>"
        for point, (x, y) in zip(curve, spots, strict=True)
    )
    return (
        f'<div class="m2e-path m2e-color-{index % COLORS}"><svg viewBox="0 0 100 100" preserveAspectRatio="none"'
        f' aria-hidden="true"><polyline points="{line}"/></svg>{dots}</div>'
    )


def _tip(content: str, x: float, y: float) -> str:
    sides = ("m2e-left" if x > 50 else "m2e-right") + (" m2e-below" if y > 50 else " m2e-above")
    return f'<span class="m2e-tip {sides}" aria-hidden="true">{content}</span>'


def _values(point: MusicEmotion | CurvePoint) -> str:
    return f"valence {point.valence:.1f} · arousal {point.arousal:.1f}"


def _sentence(record: MusicEmotion) -> str:
    return f"{record.path}: {_values(record)}, {record.quadrant} {QUADRANT_WORDS[record.quadrant]}".replace(" ·", ",")


def _tiles(record: MusicEmotion) -> str:
    tiles, ends = [], f"{SCALE[0]}–{SCALE[1]}"
    for name, (low, high) in POLES.items():
        value = getattr(record, name)
        tiles.append(
            f'<div class="m2e-tile m2e-{name}"><h3>{name.title()}</h3><p><b>{value:.1f}</b> of {ends}</p>'
            f'<div class="m2e-scale" aria-hidden="true"><i style="left:{share(value)}%"></i></div>'
            f"<small>{low}<span>{high}</span></small></div>"
        )
    differs = record.quadrant != quadrant(record.valence, record.arousal)  # possible near the centre
    words = QUADRANT_WORDS[record.quadrant] + ("; predicted by a separate head" if differs else "")
    cells = "".join(f"<i{' class=m2e-on' if name == record.quadrant else ''}></i>" for name in ("Q2", "Q1", "Q3", "Q4"))
    tiles.append(
        f'<div class="m2e-tile"><h3>Quadrant</h3><p><b>{record.quadrant}</b></p>'
        f'<div class="m2e-cells" aria-hidden="true">{cells}</div><small>{words}</small></div>'
    )
    if record.key is not None:
        key, note = f"{record.key.tonic} {record.key.mode}", f"confidence {record.key.confidence:.0%}"
    else:
        key, note = "–", "undecided" if record.chords is not None else "not requested"
    tiles.append(f'<div class="m2e-tile"><h3>Key</h3><p><b>{text(key)}</b></p><small>{note}</small></div>')
    return "".join(tiles)


def _mood(label: str, score: float, selected: bool) -> str:
    mark = '<span role="img" aria-label="selected">✓</span>' if selected else "<span></span>"
    return (
        f'<li class="{"m2e-on" if selected else ""}">{mark}<span>{text(label)}</span>'
        f'<span class="m2e-bar"><i style="width:{score:.1%}"></i></span><b>{score:.0%}</b></li>'
    )


def _wave(outline: Sequence[float]) -> str:
    count = max(1, len(outline))
    upper = [f"{index},{50 - 48 * max(peak, 0.02):.1f}" for index, peak in enumerate(outline)]
    lower = [f"{index},{50 + 48 * max(peak, 0.02):.1f}" for index, peak in enumerate(outline)]
    return (
        f'<svg viewBox="0 0 {max(1, count - 1)} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{" ".join(upper + lower[::-1])}"/></svg>'
    )


def _curve(record: MusicEmotion) -> str:
    lines = "".join(f'<line x2="100" y1="{100 - share(t)}" y2="{100 - share(t)}"/>' for t in TICKS)
    for name in POLES:
        points = [
            (50 * (point.start + point.end) / _seconds(record), 100 - share(getattr(point, name)))
            for point in record.curve or []
        ]
        if points:
            ends = [(0, points[0][1]), *points, (100, points[-1][1])]
            line = " ".join(f"{x:.2f},{y:.2f}" for x, y in ends)
            dots = "".join(f"M{x:.2f} {y:.2f}h.01" for x, y in points)
            lines += f'<polyline class="m2e-{name}" points="{line}"/><path class="m2e-{name}" d="{dots}"/>'
    ticks = "".join(f'<span style="bottom:{share(tick)}%">{tick}</span>' for tick in TICKS[::2])
    legend = "".join(
        f'<span class="m2e-{name}"><svg aria-hidden="true"><line y1="50%" y2="50%" x2="100%"/></svg>{name}</span>'
        for name in POLES
    )
    return (
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
        f'<div class="m2e-ticks">{ticks}</div><div class="m2e-legend">{legend}</div>'
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
        spans = [(0.0, _seconds(record), str(record.key or "key undecided"))]
    keys = "".join(_span(record, *span) for span in spans)
    chords = "".join(
        _span(record, chord.start, chord.end, short_chord(chord.label), chord.label)
        for chord in record.chords
        if chord.label != "N"
    )
    return (
        f'<div class="m2e-lane m2e-keys" role="group" aria-label="Key">{keys}</div>'
        f'<div class="m2e-lane m2e-chords" role="group" aria-label="Chords">{chords}</div>'
    )


def _span(record: MusicEmotion, start: float, end: float, name: str, chord: str = "") -> str:
    """A key or a chord at its position; its name is visible if there is room."""
    left, width = start / _seconds(record), (end - start) / _seconds(record)
    kind = _quality(chord) if chord else ""
    return (
        f'<span class="{kind}" title="{text(chord or name)}, {clock(start)} – {clock(end)}"'
        f' style="left:{left:.3%};width:{width:.3%}"><b class="m2e-long-{min(len(name), 6)}">{text(name)}</b></span>'
    )


def _quality(label: str) -> str:
    quality = label.partition(":")[2]
    return "m2e-minor" if quality.startswith(("min", "dim", "hdim")) else "m2e-major"
