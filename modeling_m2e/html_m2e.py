"""A record as HTML for notebooks: the valence-arousal plane, the moods, the curve. Pure; needs no library.

Styles are inline, because notebooks remove style sheets; the text has the colour of the notebook, light or dark.
"""

import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from .scale_m2e import POLES, QUADRANT_WORDS, SCALE

if TYPE_CHECKING:
    from .record_m2e import CurvePoint, Mood, MusicEmotion

MOODS = 6  # that are shown
CHORDS = 16
# Okabe & Ito (2008), lighter than in print: on white and on black.
VALENCE, AROUSAL = "#1a8fd1", "#e0701a"
_SIZE, _WIDTH, _HEIGHT = 200, 300, 90  # pixels of the plane and of the curve
_CORNERS = {"Q1": ("end", 194, 14), "Q2": ("start", 6, 14), "Q3": ("start", 6, 194), "Q4": ("end", 194, 194)}
_FAINT = 'stroke="currentColor" stroke-opacity=".2"'
_SMALL = 'font-size="9" fill="currentColor" fill-opacity=".6"'


def card(record: "MusicEmotion") -> str:
    """An HTML element that shows a record."""
    facts = [_clock(record.duration), f"{record.quadrant} {QUADRANT_WORDS[record.quadrant]}"]
    facts += [f"valence {record.valence:.1f}", f"arousal {record.arousal:.1f}"]
    if record.key is not None:
        facts.append(f"{record.key.tonic} {record.key.mode}")
    if record.tempo is not None:
        facts.append(f"{record.tempo:.0f} BPM")
    rows = "".join(_mood(mood, mood.label in record.selected_moods) for mood in record.moods[:MOODS])
    right = f'<table style="border:0;margin:0;font:inherit;color:inherit">{rows}</table>{_curve(record.curve or [])}'
    notes = [escape(sentence) for sentence in record.warnings]
    if names := [chord.label for chord in record.chords or [] if chord.label != "N"]:
        more = f" … +{len(names) - CHORDS}" if len(names) > CHORDS else ""
        notes.insert(0, "chords: " + escape(" ".join(names[:CHORDS])) + more)
    return (
        '<div style="font:13px/1.4 system-ui,sans-serif">'
        f'<b>{escape(_name(record.path))}</b> <span style="opacity:.7">{escape(" · ".join(filter(None, facts)))}</span>'
        f'<div style="display:flex;flex-wrap:wrap;gap:20px;margin:8px 0">{_plane(record)}<div>{right}</div></div>'
        + "".join(f'<div style="opacity:.7">{note}</div>' for note in notes)
        + "</div>"
    )


def _plane(record: "MusicEmotion") -> str:
    middle = _SIZE / 2
    (low, high), (calm, energetic) = POLES["valence"], POLES["arousal"]
    corners = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" {_SMALL}>{QUADRANT_WORDS[name]}</text>'
        for name, (anchor, x, y) in _CORNERS.items()
    )
    path = [(_x(point.valence), _y(point.arousal)) for point in record.curve or []]
    line = (
        f'<polyline points="{_points(path)}" fill="none" stroke="{VALENCE}" stroke-opacity=".6" stroke-width="1.5"/>'
        if path
        else ""
    )
    title = f"valence {record.valence:.1f}, arousal {record.arousal:.1f}"
    return (
        f'<svg width="{_SIZE + 20}" height="{_SIZE + 20}" viewBox="-18 -1 {_SIZE + 20} {_SIZE + 20}" role="img" '
        f'aria-label="{title}"><rect width="{_SIZE}" height="{_SIZE}" fill="none" {_FAINT}/>'
        f'<path d="M{middle} 0V{_SIZE}M0 {middle}H{_SIZE}" {_FAINT}/>{corners}{line}'
        f'<circle cx="{_x(record.valence):.1f}" cy="{_y(record.arousal):.1f}" r="6" fill="{VALENCE}" stroke="#fff">'
        f"<title>{title}</title></circle>"
        f'<text x="{middle}" y="{_SIZE + 13}" text-anchor="middle" {_SMALL}>{low} → {high}</text>'
        f'<text x="{-middle}" y="-7" transform="rotate(-90)" text-anchor="middle" {_SMALL}>{calm} → {energetic}</text>'
        "</svg>"
    )


def _curve(points: "Sequence[CurvePoint]") -> str:
    """Valence and arousal over time; nothing for a single window."""
    if len(points) < 2:
        return ""
    end = max(point.end for point in points) or 1.0
    lines = ""
    for name, color, dash in (("valence", VALENCE, ""), ("arousal", AROUSAL, ' stroke-dasharray="5 3"')):
        middles = [
            ((point.start + point.end) / 2 / end * _WIDTH, _y(getattr(point, name)) / _SIZE * _HEIGHT)
            for point in points
        ]
        lines += f'<polyline points="{_points(middles)}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
    legend = "".join(
        f'<text x="{x}" y="{_HEIGHT + 13}" font-size="10" fill="{color}">{words}</text>'
        for x, color, words in ((0, VALENCE, "— valence"), (70, AROUSAL, "--- arousal"))
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 18}" role="img" aria-label="valence and arousal over time" '
        f'style="margin-top:8px"><path d="M0 .5H{_WIDTH}M0 {_HEIGHT / 2}H{_WIDTH}M0 {_HEIGHT}H{_WIDTH}" {_FAINT}/>'
        f'{lines}{legend}<text x="{_WIDTH}" y="{_HEIGHT + 13}" text-anchor="end" {_SMALL}>{_clock(end)}</text></svg>'
    )


def _mood(mood: "Mood", selected: bool) -> str:
    cell = "border:0;padding:1px 8px 1px 0;text-align:left;background:none"
    name = f"<b>{escape(mood.label)}</b>" if selected else escape(mood.label)
    bar = f"width:{150 * mood.score:.0f}px;height:9px;border-radius:2px;background:{VALENCE}"
    return (
        f'<tr style="background:none"><td style="{cell}">{name}</td><td style="{cell}">{mood.score:.2f}</td>'
        f'<td style="{cell}"><div style="{bar}"></div></td></tr>'
    )


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _x(value: float) -> float:
    return (value - SCALE[0]) / (SCALE[1] - SCALE[0]) * _SIZE


def _y(value: float) -> float:
    return _SIZE - _x(value)


def _name(path: str | None) -> str:
    return os.path.basename((path or "").rstrip("/")) or path or "track"


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
