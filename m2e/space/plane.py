"""The valence-arousal plane as HTML: pure functions of records.

Positions are in percent, so that it fits any width while its text keeps its size.
"""

from collections.abc import Sequence

import numpy as np

from m2e.space.markup import text, tip
from m2e.space.scale import MANY, TYPICAL, Zoom, tint_layers, tint_style
from m2e.views.records import clock
from modeling_m2e import MusicEmotion
from modeling_m2e.record_m2e import CurvePoint
from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE, quadrant_words

LABEL_GAP, LABEL_EDGE = 9.5, 5.0  # percent of the plane: between the centres of labels, and to its border
_ROUNDS = 80  # in which labels push each other apart
_MOVED = 1.0  # percent; a label this far from its point is joined to it by a line


def plane(records: Sequence[MusicEmotion], shown: int, zoom: Zoom) -> str:
    """The plane with a numbered label for every record, and the path over time of the selected one."""
    spots = [(zoom.share(record.valence), zoom.share(record.arousal)) for record in records]
    labels = spread(spots)
    label = "; ".join(f"{index + 1}, {sentence(record)}" for index, record in enumerate(records)) or "no track yet"
    points = "".join(
        _point(record, index, index == shown, *place)
        for index, (record, place) in enumerate(zip(records, labels, strict=True))
    )
    chosen = _interval(records[shown], zoom) + _path(records[shown], zoom) if records else ""
    shade = f"scale {SCALE[0]}–{SCALE[1]}, shown {zoom.low:g}–{zoom.high:g}; frame: the usual range of songs"
    return (
        f'<div class="m2e-plane" role="group" aria-label="{text(f"Valence-arousal plane: {label}")}">'
        f'<div class="m2e-area"><div class="m2e-ground" aria-hidden="true">{tint_layers(zoom)}{_typical(zoom)}</div>'
        f"{_grid(zoom)}{_quadrants()}{chosen}{_leaders(spots, labels)}{points}"
        f'<span class="m2e-now" hidden></span>{_ticks(zoom)}</div>{_axes()}<p class="m2e-note">{shade}</p></div>'
    )


def spread(spots: Sequence[tuple[float, float]], gap: float = LABEL_GAP) -> list[tuple[float, float]]:
    """Places for the labels of points: as near to these as possible, `gap` from each other, inside the plane."""
    places = np.clip(np.array(spots, float).reshape(-1, 2), LABEL_EDGE, 100 - LABEL_EDGE)
    turns = 2.4 * np.arange(len(places))  # radians; points at one place leave it in different directions
    nudges = 0.01 * np.column_stack([np.cos(turns), np.sin(turns)])
    for _ in range(_ROUNDS):
        nudged = places + nudges
        between = nudged[:, None] - nudged[None]
        far = np.maximum(np.hypot(between[..., 0], between[..., 1]), 1e-6)
        push = np.where(np.eye(len(places)), 0, np.maximum(gap - far, 0) / 2 / far)
        if not push.any():
            break
        places = np.clip(places + (between * push[..., None]).sum(1), LABEL_EDGE, 100 - LABEL_EDGE)
    return [(round(float(x), 2), round(float(y), 2)) for x, y in places]


def values(point: MusicEmotion | CurvePoint) -> str:
    return f"valence {point.valence:.1f} · arousal {point.arousal:.1f}"


def sentence(record: MusicEmotion) -> str:
    where = quadrant_words(record.quadrant, record.get("between"))
    return f"{record.path}: {values(record)}, {where}".replace(" ·", ",")


# --- parts ---


def _grid(zoom: Zoom) -> str:
    lines = "".join(
        f'<line{" class=m2e-middle" if tick == 5 else ""} x1="{x}%" x2="{x}%" y2="100%"/>'
        f'<line{" class=m2e-middle" if tick == 5 else ""} y1="{100 - x}%" y2="{100 - x}%" x2="100%"/>'
        for tick, x in ((tick, zoom.share(tick)) for tick in zoom.ticks())
    )
    return f'<svg class="m2e-grid" aria-hidden="true">{lines}</svg>'


def _typical(zoom: Zoom) -> str:
    """A frame around where most songs lie; what is outside of it is paler."""
    (left, right), (bottom, top) = ([zoom.share(end) for end in TYPICAL[name]] for name in ("valence", "arousal"))
    return (
        f'<span class="m2e-typical" style="left:{left}%;bottom:{bottom}%;width:{right - left:.2f}%;'
        f'height:{top - bottom:.2f}%"></span>'
    )


def _quadrants() -> str:
    return "".join(
        f'<span class="m2e-quadrant m2e-{name.lower()}"><b>{words}</b> {name}</span>'
        for name, words in QUADRANT_WORDS.items()
    )


def _ticks(zoom: Zoom) -> str:
    return "".join(
        f'<span class="m2e-tick-x" style="left:{zoom.share(tick)}%">{tick}</span>'
        f'<span class="m2e-tick-y" style="bottom:{zoom.share(tick)}%">{tick}</span>'
        for tick in zoom.ticks()
    )


def _axes() -> str:
    return "".join(
        f'<span class="m2e-axis m2e-axis-{name}"><i>{low}</i><b>{name}</b><i>{high}</i></span>'
        for name, (low, high) in POLES.items()
    )


def _point(record: MusicEmotion, index: int, shown: bool, x: float, y: float) -> str:
    return (
        f'<button type="button" class="m2e-point{" m2e-shown" if shown else ""}" data-show="{index}"'
        f' aria-pressed="{str(shown).lower()}" aria-label="{index + 1} {text(sentence(record))}"'
        f' style="left:{x}%;bottom:{y}%;{tint_style(record.valence, record.arousal)}">{index + 1}'
        f"{tip(f'<b>{text(record.path)}</b><br>{values(record)}', x, y)}</button>"
    )


def _leaders(spots: Sequence[tuple[float, float]], labels: Sequence[tuple[float, float]]) -> str:
    """A dot at the place of every label that was moved, and the line to it."""
    lines = "".join(
        f'<line x1="{x}%" y1="{100 - y:.2f}%" x2="{a}%" y2="{100 - b:.2f}%"/>'
        f'<circle cx="{x}%" cy="{100 - y:.2f}%" r="3"/>'
        for (x, y), (a, b) in zip(spots, labels, strict=True)
        if np.hypot(x - a, y - b) > _MOVED
    )
    return f'<svg class="m2e-leaders" aria-hidden="true">{lines}</svg>' if lines else ""


def _path(record: MusicEmotion, zoom: Zoom) -> str:
    """The emotion over time as a line; its points seek to their time."""
    curve = record.curve or []
    if len(curve) < 2:
        return ""
    spots = [(zoom.share(point.valence), zoom.share(point.arousal)) for point in curve]
    line = " ".join(f"{x},{100 - y:.2f}" for x, y in spots)
    steps = "".join(
        f'<button type="button" class="m2e-step" tabindex="-1" data-second="{point.start:.3f}"'
        f' aria-label="{clock(point.start)} – {clock(point.end)}: {values(point)}" style="left:{x}%;bottom:{y}%">'
        f"{tip(f'<b>{clock(point.start)} – {clock(point.end)}</b><br>{values(point)}', x, y)}</button>"
        for point, (x, y) in zip(curve, spots, strict=True)
    )
    dense = " m2e-dense" if len(curve) > MANY else ""
    return (
        f'<div class="m2e-path{dense}"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{line}"/></svg>{steps}</div>'
    )


def _interval(record: MusicEmotion, zoom: Zoom) -> str:
    """An ellipse as wide and high as the record is unsure of its values, where it says how unsure."""
    x, y = record.get("valence_interval"), record.get("arousal_interval")
    if not x or not y:
        return ""
    (left, right), (bottom, top) = map(zoom.share, x), map(zoom.share, y)
    return (
        f'<span class="m2e-interval" aria-hidden="true" style="left:{left}%;bottom:{bottom}%;'
        f'width:{right - left:.2f}%;height:{top - bottom:.2f}%"></span>'
    )
